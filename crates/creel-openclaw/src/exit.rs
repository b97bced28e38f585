//! What the end of a gateway's process means.
//!
//! An exit status alone never says that the end was wanted: that is for whoever knows the intent to say, and for
//! [`crate::handoff`], because a gateway that wants to be started anew exits with 0.

use std::fmt;

/// SIGKILL.
const KILL: i32 = 9;
/// SIGHUP.
const HANGUP: i32 = 1;
/// The code for what no restart cures.
const REFUSED: i32 = 78;

/// What the end of a gateway's process means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitMeaning {
    /// It shut down in order: it was told to, or it wants to be started anew.
    Clean,
    /// It refuses to run with this config or this state; starting it again as it is changes nothing.
    ConfigRefusedOrState,
    /// Something else listens on its port.
    PortTaken,
    /// A signal ended it.
    Killed(i32),
    /// It gave up.
    Crash(i32),
    /// Nobody saw how it ended.
    Unknown,
}

/// What this exit code or signal means.
pub fn meaning(code: Option<i32>, signal: Option<i32>) -> ExitMeaning {
    match (code, signal) {
        (_, Some(signal)) => ExitMeaning::Killed(signal),
        (Some(0), None) => ExitMeaning::Clean,
        (Some(REFUSED), None) => ExitMeaning::ConfigRefusedOrState,
        (Some(code), None) => ExitMeaning::Crash(code),
        (None, None) => ExitMeaning::Unknown,
    }
}

impl ExitMeaning {
    /// The same with what the last lines of its log add: a taken port has the same exit code as any other failure.
    pub fn with_log(self, last_lines: &str) -> Self {
        match self {
            Self::Crash(_) if last_lines.contains("EADDRINUSE") => Self::PortTaken,
            other => other,
        }
    }

    /// Whether starting it again as it is can help.
    pub fn may_pass(self) -> bool {
        self != Self::ConfigRefusedOrState
    }
}

impl fmt::Display for ExitMeaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.write_str("the gateway shut down in order (exit 0)"),
            Self::ConfigRefusedOrState => f.write_str(
                "the gateway refuses its config or its state (exit 78): it is invalid, needs a migration, is of a \
                 newer release, or another process uses it; its log says which",
            ),
            Self::PortTaken => f.write_str("the gateway's port is taken by another program (exit 1)"),
            Self::Killed(KILL) => f.write_str(
                "the gateway was killed (SIGKILL): by someone, or by the kernel because memory ran out",
            ),
            Self::Killed(HANGUP) => f.write_str("the gateway was hung up on (SIGHUP), which ends it at once"),
            Self::Killed(signal) => write!(f, "the gateway was ended by signal {signal}"),
            Self::Crash(1) => f.write_str(
                "the gateway gave up (exit 1): a required secret is missing, its config was written by a newer \
                 release, its port is taken, or it crashed; its log says which",
            ),
            Self::Crash(code) => write!(f, "the gateway crashed (exit {code})"),
            Self::Unknown => f.write_str("the gateway ended and nobody saw how"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_meaning() {
        assert_eq!(meaning(Some(0), None), ExitMeaning::Clean);
        assert_eq!(meaning(Some(78), None), ExitMeaning::ConfigRefusedOrState);
        assert_eq!(meaning(Some(1), None), ExitMeaning::Crash(1));
        assert_eq!(meaning(None, Some(9)), ExitMeaning::Killed(9));
        assert_eq!(meaning(None, None), ExitMeaning::Unknown);
    }

    #[test]
    fn a_taken_port_is_known_from_the_log() {
        let log = "Gateway failed to start: listen EADDRINUSE: address already in use 127.0.0.1:19100";
        assert_eq!(meaning(Some(1), None).with_log(log), ExitMeaning::PortTaken);
        assert_eq!(meaning(Some(0), None).with_log(log), ExitMeaning::Clean);
    }

    #[test]
    fn only_a_refusal_is_not_worth_another_try() {
        assert!(!meaning(Some(78), None).may_pass());
        assert!(meaning(Some(1), None).may_pass() && meaning(None, Some(9)).may_pass());
    }
}
