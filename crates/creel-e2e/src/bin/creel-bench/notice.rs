//! From a kill to the moment at which the API shows it, over many kills of a stub as large as a gateway.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use creel_e2e::{Creel, add_stub_release, kill};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::numbers::{Samples, row};
use crate::stage::{Api, VERSION, time_until};

/// As many as a p99 needs.
const KILLS: usize = 300;

/// See the module.
pub(crate) fn measure() -> Result<()> {
    let creel = Creel::new()?;
    add_stub_release(creel.data(), VERSION)?;
    creel.up(&[])?;
    let api = Api::of(&creel)?;
    let env = json!({"STUB_EAT_MEMORY_BYTES": (800_u64 << 20).to_string(), "STUB_THREADS": "20"});
    api.put("large", &json!({"release": VERSION, "env": env}))?;
    let (mut shown, mut own) = (Samples::default(), Samples::default());
    for _ in 0..KILLS {
        let pid = api.until_running("large")?;
        let since = Instant::now();
        let at = now_us();
        kill(pid.try_into()?, Signal::SIGKILL)?;
        shown.add(time_until(since, "noticed", || {
            api.status("large").is_ok_and(|status| status["phase"] != "Running" || status["pid"] != pid)
        })?);
        own.add(own_share(&api, at, shown_us(since, at))?);
        api.begin_anew("large")?;
    }
    let p99 = format!(
        "p99 {:.0} ms, median {:.0} ms, maximum {:.0} ms",
        ms(shown.percentile(0.99)),
        ms(shown.median()),
        ms(shown.max())
    );
    row("kill to noticed (API), stub of 800 MB and 20 threads", shown.count(), &p99, "p99 <= 250 ms");
    let p99 = format!("p99 {:.0} ms, median {:.0} ms", ms(own.percentile(0.99)), ms(own.median()));
    row("of that, creel's own share (exit known to shown)", own.count(), &p99, "<= 50 ms");
    Ok(())
}

fn ms(seconds: f64) -> f64 {
    seconds * 1000.0
}

/// Microseconds since 1970, by the same clock as the keeper's.
fn now_us() -> i128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i128::try_from(since.unwrap_or_default().as_micros()).unwrap_or_default()
}

/// The moment at which it was shown, by that clock.
fn shown_us(since: Instant, at: i128) -> i128 {
    at + i128::try_from(since.elapsed().as_micros()).unwrap_or_default()
}

/// From the exit as the keeper learnt of it, to shown. The kernel's share (tearing 800 MB down) lies before that.
fn own_share(api: &Api, killed_us: i128, shown_us: i128) -> Result<Duration> {
    let exit =
        time_until(Instant::now(), "the exit is told", || exit_us(api).is_some_and(|exit| exit >= killed_us));
    exit?;
    let exit = exit_us(api).context("no exit")?;
    Ok(Duration::from_micros(u64::try_from((shown_us - exit).max(0))?))
}

fn exit_us(api: &Api) -> Option<i128> {
    let status = api.status("large").ok()?;
    let at = status["lastExit"]["at"].as_str()?.parse::<jiff::Timestamp>().ok()?;
    Some(i128::from(at.as_microsecond()))
}
