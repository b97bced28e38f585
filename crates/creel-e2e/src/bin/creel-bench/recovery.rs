//! From a kill to a gateway that has started, and to an answered message; from `apply` to started: each against the
//! bare gateway, in turns.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use creel_e2e::{Creel, kill};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::bare::Bare;
use crate::http;
use crate::numbers::{Samples, row};
use crate::stage::{Api, link_release, port_of, real_releases, time_until};

/// Pairs measured; each is two starts of some ten seconds.
const PAIRS: usize = 3;

/// Kills of the real gateway, those of the pairs included.
const KILLS: usize = 10;

/// The pause after a restart, for what the machine still has to do for the gateway before it.
const CALM: Duration = Duration::from_secs(5);

/// Between two looks at an agent that starts.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// See the module.
pub(crate) fn measure() -> Result<()> {
    let creel = stage()?;
    restarts(&creel, &Api::of(&creel)?)
}

/// New agents against the bare gateway on a fresh state.
pub(crate) fn create() -> Result<()> {
    let creel = stage()?;
    new_agents(&creel, &Api::of(&creel)?)
}

fn stage() -> Result<Creel> {
    let creel = Creel::new()?;
    link_release(&creel)?;
    creel.up(&["--practice-model"])?;
    Ok(creel)
}

fn spec() -> Value {
    json!({"release": crate::stage::VERSION, "config": {"agents": {"defaults": {"model": {"primary": "practice/practice-1"}}}}})
}

fn practice_url(creel: &Creel) -> Result<String> {
    let file: Value = serde_json::from_slice(&std::fs::read(creel.data().join("practice.json"))?)?;
    Ok(format!("http://127.0.0.1:{}/v1", file["port"]))
}

fn restarts(creel: &Creel, api: &Api) -> Result<()> {
    let bare = Bare::new(&creel.scratch().join("bare"), &real_releases()?, &practice_url(creel)?)?;
    let temp = creel.scratch().join("bare-tmp");
    // Each side boots and answers once before anything counts: databases made, caches warm.
    bare.start(&temp)?.0.turn("warm up")?;
    api.put("bench", &spec())?;
    api.until_running("bench")?;
    api.chat("bench", "warm up")?;
    let port = port_of(creel, &api.agent("bench")?)?;
    let (mut bare_start, mut bare_answer) = (Samples::default(), Samples::default());
    let (mut noticed, mut started, mut answered) =
        (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..PAIRS {
        let (running, start) = bare.start(&temp)?;
        bare_start.add(start);
        bare_answer.add(start + running.turn("hello")?);
        drop(running);
        let since = crash(api)?;
        noticed.add(time_until(since, "noticed", || is_noticed(api))?);
        started.add(time_until(since, "started again", || http::has_started(port))?);
        api.chat("bench", "hello")?;
        answered.add(since.elapsed());
        begin_anew(api)?;
    }
    let ratio = started.median() / bare_start.median();
    let against = format!("{ratio:.3} x: {} after a kill, bare {}", started.seconds(), bare_start.seconds());
    row("gateway killed with -9, to `/startupz` started", started.count(), &against, "<= 1.05 x bare start");
    let ratio = answered.median() / bare_answer.median();
    let against =
        format!("{ratio:.3} x: {} after a kill, bare {}", answered.seconds(), bare_answer.seconds());
    row("the same, to an answered message", answered.count(), &against, "<= 1.1 x (bare start + first turn)");
    for _ in PAIRS..KILLS {
        // Not begun anew each time: the growing pauses cost less than a restart.
        if noticed.count() == KILLS / 2 {
            begin_anew(api)?;
        }
        let since = crash(api)?;
        noticed.add(time_until(since, "noticed", || is_noticed(api))?);
    }
    api.until_running("bench")?;
    let worst =
        format!("maximum {:.0} ms, median {:.0} ms", noticed.max() * 1000.0, noticed.median() * 1000.0);
    row("kill of the real gateway to noticed (API)", noticed.count(), &worst, "<= 250 ms");
    Ok(())
}

fn crash(api: &Api) -> Result<Instant> {
    let pid = api.until_running("bench")?;
    let since = Instant::now();
    kill(pid.try_into()?, Signal::SIGKILL)?;
    Ok(since)
}

fn is_noticed(api: &Api) -> bool {
    api.status("bench").is_ok_and(|status| status["phase"] != "Running")
}

fn begin_anew(api: &Api) -> Result<()> {
    api.begin_anew("bench")?;
    std::thread::sleep(CALM);
    Ok(())
}

fn new_agents(creel: &Creel, api: &Api) -> Result<()> {
    let temp = creel.scratch().join("bare-tmp");
    // Once without counting: a user's compile cache is warm, and so is the one that a release brings.
    Bare::new(&creel.scratch().join("bare-warm"), &real_releases()?, &practice_url(creel)?)?.start(&temp)?;
    let (mut bare_first, mut created) = (Samples::default(), Samples::default());
    for n in 0..PAIRS {
        let folder = creel.scratch().join(format!("bare-{n}"));
        let (running, took) = Bare::new(&folder, &real_releases()?, &practice_url(creel)?)?.start(&temp)?;
        bare_first.add(took);
        drop(running);
        let name = format!("new-{n}");
        let since = Instant::now();
        api.put(&name, &spec())?;
        // A start takes all cores there are; asking more often would be measured too.
        let running = || {
            std::thread::sleep(LOOK_EVERY);
            api.status(&name).is_ok_and(|status| status["phase"] == "Running")
        };
        created.add(time_until(since, "a new agent ran", running)?);
        api.ask("DELETE", &format!("tenants/default/agents/{name}?purge=true"), "")?;
        let gone = || api.agent(&name).is_err();
        time_until(Instant::now(), "it was gone", gone).context(name)?;
    }
    let ratio = created.median() / bare_first.median();
    let against =
        format!("{ratio:.3} x: {}, bare on a fresh state {}", created.seconds(), bare_first.seconds());
    row(
        "new agent, from `PUT` to Running (release installed)",
        created.count(),
        &against,
        "<= 1.15 x bare start",
    );
    Ok(())
}
