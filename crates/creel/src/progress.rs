//! Waiting for agents and releases, and showing how far they are: one moving line each for a person, a line per
//! change for a log.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::out;

/// How often is looked. A level is waited for, not an event, so nothing is lost between two looks.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(300);

/// A line per thing that is waited for.
pub(crate) struct Progress {
    lines: BTreeMap<String, Line>,
    bars: Option<MultiProgress>,
}

struct Line {
    bar: Option<ProgressBar>,
    /// What was said last, and when.
    said: Option<(String, Instant)>,
}

/// How far a thing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// What is being done; a new word here is always worth a line.
    pub(crate) word: String,
    /// The same in a sentence.
    pub(crate) sentence: String,
    /// 0 to 1000, if it is known.
    pub(crate) permille: Option<u16>,
}

/// Between two lines of a log that say the same word.
const LOG_EVERY: Duration = Duration::from_secs(10);

impl Progress {
    pub(crate) fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { lines: BTreeMap::new(), bars }
    }

    /// Shows how far this is.
    pub(crate) fn show(&mut self, name: &str, step: &Step) {
        let bars = self.bars.as_ref();
        let line = self.lines.entry(name.to_owned()).or_insert_with(|| Line {
            bar: bars.map(|bars| bars.add(ProgressBar::new(1000).with_prefix(name.to_owned()))),
            said: None,
        });
        match &line.bar {
            Some(bar) => move_bar(bar, step),
            None => line.log(name, step),
        }
    }

    /// Takes the moving lines away, so that what is printed next stands alone.
    pub(crate) fn clear(&mut self) {
        if let Some(bars) = &self.bars {
            // Only a terminal that has gone away can fail here.
            let _ = bars.clear();
        }
        self.lines.clear();
    }
}

impl Line {
    fn log(&mut self, name: &str, step: &Step) {
        let (new, old) = match &self.said {
            None => (true, false),
            Some((word, at)) => (*word != step.word, at.elapsed() >= LOG_EVERY),
        };
        if new || old {
            out::note(format!("{name}: {}", step.sentence));
            self.said = Some((step.word.clone(), Instant::now()));
        }
    }
}

fn move_bar(bar: &ProgressBar, step: &Step) {
    let template = match step.permille {
        Some(_) => "{spinner} {prefix}  [{bar:24}] {percent:>3} %  {wide_msg}",
        None => "{spinner} {prefix}  {wide_msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_position(step.permille.unwrap_or_default().into());
    bar.set_message(step.sentence.clone());
    bar.tick();
}
