//! What a warden must still know of an agent after it died: the story, what runs, what ran last, and what was
//! rendered. Written whole and synced before the effect that it describes.

use std::fs;
use std::io;

use creel_api::keeper::Exit;
use creel_api::meta::Generation;
use creel_api::node::Revision;
use creel_core::unit::{End, EndKind, Running, Story};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::folder::{AgentFolder, write_whole};

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Record {
    /// The newest generation that was acted on: an older order is refused.
    pub(crate) generation: Option<Generation>,
    /// The highest run number given.
    pub(crate) run: u64,
    /// The gateway that was started and whose end was not noted yet.
    pub(crate) running: Option<RunningRecord>,
    /// The revision that ran last.
    pub(crate) previous: Option<Revision>,
    /// What creel rendered last: the base that drift is measured against.
    pub(crate) rendered: Option<Value>,
    /// Which of the gateway's own agents a message goes to.
    pub(crate) owner: Option<String>,
    /// The port on the shared network.
    pub(crate) port: Option<u16>,
    /// The gateway's token.
    pub(crate) token: String,
    /// What happened so far.
    pub(crate) story: StoryRecord,
}

/// A [`Running`] as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunningRecord {
    pub(crate) run: u64,
    pub(crate) revision: u64,
    pub(crate) release: String,
    pub(crate) restart: u64,
    pub(crate) started_at: Timestamp,
    /// When it was ready, if it was.
    #[serde(default)]
    pub(crate) ready_at: Option<Timestamp>,
    /// Whether creel told it to end.
    #[serde(default)]
    pub(crate) asked: bool,
}

impl RunningRecord {
    pub(crate) fn running(&self) -> Running {
        Running {
            run: self.run,
            revision: self.revision,
            release: self.release.clone(),
            restart: self.restart,
            started_at: self.started_at,
        }
    }
}

/// A [`Story`] as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StoryRecord {
    was_ready: bool,
    end: Option<EndRecord>,
    bad_ends: u32,
    restarts: u64,
    restart: u64,
    revision: u64,
    /// The exit itself, for the status.
    pub(crate) exit: Option<ExitRecord>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndRecord {
    at: Timestamp,
    kind: EndKindRecord,
    words: String,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum EndKindRecord {
    Asked,
    HandOff,
    Crash,
    Refused,
}

/// How a gateway ended, as the keeper said.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExitRecord {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
}

impl From<&Exit> for ExitRecord {
    fn from(exit: &Exit) -> Self {
        Self { code: exit.code, signal: exit.signal }
    }
}

impl StoryRecord {
    pub(crate) fn story(&self) -> Story {
        let kind = |kind| match kind {
            EndKindRecord::Asked => EndKind::Asked,
            EndKindRecord::HandOff => EndKind::HandOff,
            EndKindRecord::Crash => EndKind::Crash,
            EndKindRecord::Refused => EndKind::Refused,
        };
        Story {
            was_ready: self.was_ready,
            last_end: self.end.as_ref().map(|end| End {
                at: end.at,
                kind: kind(end.kind),
                words: end.words.clone(),
            }),
            bad_ends: self.bad_ends,
            restarts: self.restarts,
            restart: self.restart,
            revision: self.revision,
        }
    }

    pub(crate) fn of(story: &Story, exit: Option<ExitRecord>) -> Self {
        let kind = |kind| match kind {
            EndKind::Asked => EndKindRecord::Asked,
            EndKind::HandOff => EndKindRecord::HandOff,
            EndKind::Crash => EndKindRecord::Crash,
            EndKind::Refused => EndKindRecord::Refused,
        };
        Self {
            was_ready: story.was_ready,
            end: story.last_end.as_ref().map(|end| EndRecord {
                at: end.at,
                kind: kind(end.kind),
                words: end.words.clone(),
            }),
            bad_ends: story.bad_ends,
            restarts: story.restarts,
            restart: story.restart,
            revision: story.revision,
            exit,
        }
    }
}

impl Record {
    /// The agent's record; a fresh one where there is none. One that can't be read is set aside, not overwritten:
    /// the agent itself is still whole, and what is lost (counts, drift base) is learnt anew.
    pub(crate) fn read(folder: &AgentFolder) -> Self {
        let path = folder.record();
        let Ok(bytes) = fs::read(&path) else { return Self::default() };
        serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "the agent's record can't be read and is set aside");
            drop(fs::rename(&path, path.with_extension("json.unreadable")));
            Self::default()
        })
    }

    pub(crate) fn write(&self, folder: &AgentFolder) -> io::Result<()> {
        write_whole(&folder.record(), &serde_json::to_vec(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_a_broken_one_is_set_aside() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = AgentFolder { root: scratch.path().to_owned() };
        let record = Record { run: 7, port: Some(19_100), token: "t".into(), ..Record::default() };
        record.write(&folder).unwrap();
        assert_eq!((Record::read(&folder).run, Record::read(&folder).port), (7, Some(19_100)));
        fs::write(folder.record(), "{").unwrap();
        assert_eq!(Record::read(&folder).run, 0);
        assert!(scratch.path().join("warden.json.unreadable").exists());
    }
}
