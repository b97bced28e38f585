//! Waiting for a level: looked at again and again until it is reached, or until the deadline, which tells the last
//! state that was seen.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long most things may take on a machine that is busy with other tests.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until it finds what it waits for; `look` gives either that or the state it sees instead.
pub fn until<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Result<T, String>) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        let seen = match look() {
            Ok(found) => return Ok(found),
            Err(seen) => seen,
        };
        if Instant::now() >= end {
            bail!("waited {deadline:?} for: {what}\nseen last: {seen}");
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::until;

    #[test]
    fn who_waits_in_vain_is_told_what_was_seen_last() {
        let error = until::<()>("rain", Duration::ZERO, || Err("sun".into())).unwrap_err().to_string();
        assert!(error.contains("rain") && error.contains("seen last: sun"), "{error}");
    }

    #[test]
    fn a_level_that_is_reached_is_found() {
        let mut looks = 0..;
        let found = until("the third look", super::DEADLINE, || match looks.next() {
            Some(2) => Ok("there"),
            seen => Err(format!("{seen:?}")),
        });
        assert_eq!(found.unwrap(), "there");
    }
}
