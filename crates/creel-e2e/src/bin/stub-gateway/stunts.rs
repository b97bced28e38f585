//! What the stub does wrong when it is told to: by `stub.json` in its state folder, and under it by environment
//! variables (`STUB_START_DELAY_MS=500` is `startDelayMs`). The file is read again for each request, so that a test can
//! make a running gateway hang and heal it.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio, exit};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{REFUSED, end, log};

/// The first argument of a process that shall outlive the gateway starts with this.
pub(crate) const LEAKED: &str = "--leaked-";

/// Counts the starts, in the state folder.
const STARTS: &str = "stub-starts";

/// Stacks of threads that do nothing; the system's smallest is 16 KiB.
const SMALL_STACK: usize = 64 << 10;

/// All that can be asked of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Stunts {
    /// Between the start and the first open port.
    pub(crate) start_delay_ms: u64,
    /// Between the open port and `started`.
    pub(crate) sidecar_delay_ms: u64,
    /// End by itself so long after the start, with `exitCode`.
    pub(crate) exit_after_ms: Option<u64>,
    /// The code of that end.
    pub(crate) exit_code: i32,
    /// End at once with 1, at each of the first so many starts.
    pub(crate) crash_loop: u64,
    /// End at once as on a refused config.
    pub(crate) refuse: bool,
    /// Take no notice of TERM and INT.
    pub(crate) ignore_term: bool,
    /// Accept connections and never answer.
    pub(crate) hang: bool,
    /// Names that `/readyz` tells as failing.
    pub(crate) failing: Vec<String>,
    /// Start so many processes in sessions of their own that do not end with the gateway.
    pub(crate) leak_children: u32,
    /// Have so much memory in use.
    pub(crate) eat_memory_bytes: usize,
    /// Have so many more threads.
    pub(crate) threads: u32,
    /// The pause before each word of an answer.
    pub(crate) word_delay_ms: u64,
}

/// When it comes up.
pub(crate) struct Pace {
    /// Before the port is open.
    pub(crate) start: Duration,
    /// From then to `started`.
    pub(crate) sidecars: Duration,
}

impl Pace {
    /// As asked.
    pub(crate) fn of(stunts: &Stunts) -> Self {
        let ms = Duration::from_millis;
        Self { start: ms(stunts.start_delay_ms), sidecars: ms(stunts.sidecar_delay_ms) }
    }
}

impl Stunts {
    /// As asked now. A wrong word ends the stub, so that no test passes by a typing error.
    pub(crate) fn read(state: &Path) -> Self {
        let mut asked: Map<String, Value> =
            env::vars().filter_map(|(name, value)| from_env(&name, &value)).collect();
        if let Ok(text) = fs::read_to_string(state.join("stub.json")) {
            match serde_json::from_str::<Map<String, Value>>(&text) {
                Ok(file) => asked.extend(file),
                Err(error) => end(2, &format!("stub.json is not an object: {error}")),
            }
        }
        serde_json::from_value(Value::Object(asked))
            .unwrap_or_else(|error| end(2, &format!("stub.json: {error}")))
    }

    /// Does what is to be done before anything else.
    pub(crate) fn begin(&self, state: &Path) {
        let starts = count_start(state);
        if self.refuse {
            end(REFUSED, "Invalid config: refused because the test asked for it");
        }
        if starts <= self.crash_loop {
            end(1, &format!("Uncaught error: crash {starts} of {}", self.crash_loop));
        }
        (0..self.leak_children).for_each(|_| start_leaked());
        (0..self.threads).for_each(|_| park());
        self.eat();
        if let Some(ms) = self.exit_after_ms {
            let code = self.exit_code;
            spawn(move || {
                thread::sleep(Duration::from_millis(ms));
                end(code, "ended by itself because the test asked for it");
            });
        }
    }

    fn eat(&self) {
        // Not zeros: those would be shared pages until they are written.
        let eaten = vec![1_u8; self.eat_memory_bytes];
        std::mem::forget(eaten);
    }
}

/// `STUB_EXIT_CODE=3` as `exitCode: 3`.
fn from_env(name: &str, value: &str) -> Option<(String, Value)> {
    let words = name.strip_prefix("STUB_")?.split('_').map(str::to_ascii_lowercase);
    let key =
        words.enumerate().map(|(index, word)| if index == 0 { word } else { capitalized(&word) }).collect();
    Some((key, serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.into()))))
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn count_start(state: &Path) -> u64 {
    let file = state.join(STARTS);
    let before = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0_u64);
    if let Err(error) = fs::write(&file, format!("{}\n", before + 1)) {
        end(REFUSED, &format!("the state folder can't be written: {error}"));
    }
    before + 1
}

fn park() {
    spawn(|| {
        loop {
            thread::park();
        }
    });
}

/// A thread with a small stack: a stub has many, and each does little.
pub(crate) fn spawn(work: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().stack_size(SMALL_STACK).spawn(work) {
        log("warn", &format!("no thread: {error}"));
    }
}

/// Starts a process that nothing but its end can find by its parents: its parent is gone and its session is its own.
fn start_leaked() {
    let parent = env::current_exe().and_then(|me| Command::new(me).arg(format!("{LEAKED}parent")).status());
    if let Err(error) = parent {
        log("warn", &format!("nothing leaked: {error}"));
    }
}

/// What a leaked process does: the parent makes a session and a child and ends, the child stays for ever.
pub(crate) fn leak(role: &str) -> ! {
    if role != "parent" {
        loop {
            thread::park();
        }
    }
    let session = nix::unistd::setsid().map_err(std::io::Error::from);
    let child = session.and_then(|_| env::current_exe()).and_then(|me| {
        // It keeps the gateway's output open, as careless children do.
        Command::new(me).arg(format!("{LEAKED}child")).stdin(Stdio::null()).spawn()
    });
    exit(i32::from(child.is_err()))
}
