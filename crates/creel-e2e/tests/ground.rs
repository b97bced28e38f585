//! The ground that creel stands on when it is bad: data folders, ports, disks, registries, and starts cut short.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use anyhow::{Result, ensure};
use creel_e2e::{Creel, DEADLINE, kill, pid_of, runs, stub_agent, tells, until};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;
use sqlx::Connection;

/// A file system of this test alone, over a folder.
struct Mount(PathBuf);

impl Mount {
    /// None where this user may not mount.
    fn over(folder: &Path, options: &str) -> Option<Self> {
        let made = mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some(options));
        made.ok().map(|()| Self(folder.to_owned()))
    }

    fn make_read_only(&self) -> Result<()> {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        Ok(mount(None::<&str>, &self.0, None::<&str>, flags, None::<&str>)?)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let ended = umount2(&self.0, MntFlags::MNT_DETACH);
        assert!(ended.is_ok(), "{} stays mounted: {ended:?}", self.0.display());
    }
}

#[test]
fn a_data_folder_that_may_not_be_written_is_named() -> Result<()> {
    let creel = Creel::new()?;
    let mounted = Mount::over(creel.data(), "size=1m");
    match &mounted {
        Some(mounted) => mounted.make_read_only()?,
        None => fs::set_permissions(creel.data(), fs::Permissions::from_mode(0o500))?,
    }
    let told = creel.try_up(&[])?.with_code(1)?.stderr;
    tells(&told, &[&*creel.data().to_string_lossy(), "cure: ", "--data"])
}

/// On a disk of its own, which only root can make. Creel is down before the disk goes.
fn on_small_disk(options: &str, body: impl FnOnce(&Creel) -> Result<()>) -> Result<()> {
    let creel = Creel::new()?;
    let Some(mounted) = Mount::over(creel.data(), options) else { return Ok(()) };
    let done = body(&creel);
    // Where the body failed it may still be there.
    let _ = fs::remove_file(creel.data().join("filler"));
    let ended = creel.down();
    drop(mounted);
    done.and(ended.map(drop))
}

#[test]
fn a_full_disk_is_told_and_what_was_acknowledged_stays() -> Result<()> {
    on_small_disk("size=48m", |creel| {
        creel.up(&[])?;
        creel.add_stub()?;
        let before = pid_of(&creel.start("a", "")?)?;
        fill(creel)?;
        let told = creel.apply(&stub_agent("b", ""), &[])?.with_code(1)?.stderr;
        tells(&told, &["full"])?;
        ensure!(runs(before), "a full disk ended the agent");
        tells(&creel.done(&["get", "agents"])?, &["Running"])?;
        fs::remove_file(creel.data().join("filler"))?;
        creel.apply(&stub_agent("b", ""), &["--wait"])?.done()?;
        assert_eq!(creel.pid("a")?, before);
        Ok(())
    })
}

#[test]
fn a_start_on_a_full_disk_says_so() -> Result<()> {
    on_small_disk("size=1m", |creel| {
        fill(creel)?;
        let told = creel.try_up(&[])?.with_code(1)?.stderr;
        ensure!(told.contains("full") || told.contains("No space left"), "{told}");
        tells(&told, &["cure: "])
    })
}

fn fill(creel: &Creel) -> Result<()> {
    let mut file = fs::File::create(creel.data().join("filler"))?;
    // In ever smaller parts, until not one byte more fits.
    for part in [1 << 20, 4096, 1] {
        while file.write(&vec![1; part]).is_ok() {}
    }
    Ok(())
}

#[test]
fn a_data_folder_with_a_long_path_a_space_and_an_umlaut_is_as_good_as_any() -> Result<()> {
    let creel = Creel::in_folder(&format!("dä ta/{}/{}", "x".repeat(70), "y".repeat(70)))?;
    creel.up(&[])?;
    creel.add_stub()?;
    let before = pid_of(&creel.start("a", "")?)?;
    creel.say("a", "one")?;
    kill(before, Signal::SIGKILL)?;
    creel.until_new_pid("a", before)?;
    creel.kill_all_bodies()?;
    creel.up(&[])?;
    tells(&creel.say("a", "two")?, &["Before that: \"one\"."])?;
    tells(&creel.done(&["logs", "a"])?, &["gateway ready"])?;
    let uid = creel.uid("a")?;
    creel.done(&["delete", "agent", "a"])?;
    creel.until_nothing_is_left(&uid)
}

#[test]
fn a_store_of_a_newer_creel_is_refused_and_not_touched() -> Result<()> {
    let creel = Creel::new()?;
    creel.up(&[])?;
    creel.down()?;
    let store = creel.data().join("store/creel.db");
    sql(&store, "UPDATE creel_schema SET version = 999")?;
    let before = fs::read(&store)?;
    tells(&creel.try_up(&[])?.with_code(1)?.stderr, &["newer creel", "999"])?;
    ensure!(fs::read(&store)? == before, "it was written to");
    Ok(())
}

fn sql(store: &Path, statement: &'static str) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(store);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
        sqlx::query(statement).execute(&mut connection).await?;
        Ok(connection.close().await?)
    })
}

#[test]
fn a_second_up_on_the_same_data_finds_the_first() -> Result<()> {
    let creel = Creel::new()?;
    creel.up(&[])?;
    let pid = creel.body("up")?;
    tells(&creel.up(&[])?, &["already up", &pid.to_string()])?;
    let told = creel.run(&["up", "--listen", "127.0.0.1:0"])?.with_code(1)?.stderr;
    tells(&told, &["already up", &pid.to_string(), "creel down"])?;
    ensure!(runs(pid), "the first one ended");
    Ok(())
}

#[test]
fn a_taken_port_is_named() -> Result<()> {
    let creel = Creel::new()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let told = creel.run(&["up", "-d", "--listen", &address])?.with_code(1)?.stderr;
    tells(&told, &[&address, "another program", "--listen"])?;
    until("nothing of it is left", DEADLINE, || match creel.processes() {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    })?;
    creel.up(&[]).map(drop)
}

#[test]
fn a_start_that_was_cut_short_is_taken_up_again() -> Result<()> {
    let creel = Creel::new()?;
    cut_short(&creel, |_| true)?;
    cut_short(&creel, |data| data.join("token").exists())?;
    cut_short(&creel, |data| data.join("run/server.json").exists())?;
    creel.up(&[])?;
    creel.add_stub()?;
    creel.start("a", "").map(drop)
}

#[test]
fn a_creel_killed_while_it_brings_an_agent_up_goes_on_where_it_was() -> Result<()> {
    let creel = Creel::new()?;
    creel.up(&[])?;
    creel.add_stub()?;
    creel.apply(&stub_agent("a", "env: {STUB_START_DELAY_MS: '3000'}"), &[])?.done()?;
    creel.kill_all_bodies()?;
    creel.up(&[])?;
    let uid = creel.uid("a")?;
    let keeper = creel.keeper(&uid)?;
    creel.kill_all_bodies()?;
    creel.up(&[])?;
    let agent = creel.until_phase("a", "Running")?;
    assert_eq!((creel.keeper(&uid)?, agent["status"]["restarts"].as_u64()), (keeper, Some(0)));
    assert_eq!(creel.record("a")?["run"], 1);
    Ok(())
}

/// Starts creel and kills it as soon as it came this far.
fn cut_short(creel: &Creel, came_so_far: impl Fn(&Path) -> bool) -> Result<()> {
    let mut up = creel.command(&["up", "--listen", "127.0.0.1:0"]);
    let mut child = up.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let came = until("it came so far", DEADLINE, || {
        if came_so_far(creel.data()) { Ok(()) } else { Err("not yet".into()) }
    });
    child.kill()?;
    child.wait()?;
    came
}

#[test]
fn a_release_that_does_not_exist_is_told_on_the_command_and_on_the_agent() -> Result<()> {
    let registry = registry()?;
    let creel = Creel::new()?.with_env("npm_config_registry", &registry);
    creel.up(&[])?;
    let told = creel.run(&["release", "install", "2026.9.1"])?.with_code(1)?.stderr;
    tells(&told, &["2026.9.1", "cure: "])?;
    let wanted = stub_agent("a", "").replace("2026.9.6", "2026.9.1");
    let told = creel.apply(&wanted, &["--wait"])?.with_code(1)?.stderr;
    tells(&told, &["2026.9.1", "could not be installed"])?;
    tells(&creel.done(&["explain", "a"])?, &["ReleaseFailed", "2026.9.1"])?;
    assert_eq!(fs::read_dir(creel.data().join("releases"))?.flatten().filter(is_release).count(), 0);
    Ok(())
}

fn is_release(entry: &fs::DirEntry) -> bool {
    entry.path().join("release.json").exists()
}

#[test]
fn a_registry_that_cannot_be_reached_is_told_and_installed_releases_go_on() -> Result<()> {
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let creel = Creel::new()?.with_env("npm_config_registry", format!("http://{nobody}/"));
    creel.up(&[])?;
    creel.add_stub()?;
    creel.start("a", "")?;
    let told = creel.run(&["release", "install", "2026.9.5"])?.with_code(1)?.stderr;
    tells(&told, &["cannot be reached", "network"])?;
    creel.pid("a").map(drop)
}

/// A registry that knows one version of `openclaw`, and nothing of it to download. Ends with the test's process.
fn registry() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // A request this short comes in one piece; whatever it asks for, the answer is the same.
            let _ = stream.read(&mut [0; 4096]);
            let dist = r#"{"tarball":"http://127.0.0.1:9/openclaw.tgz","integrity":"sha512-AA=="}"#;
            let body = format!(
                r#"{{"name":"openclaw","dist-tags":{{"latest":"2026.9.5"}},"versions":{{"2026.9.5":{{"dist":{dist}}}}}}}"#
            );
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
        }
    });
    Ok(format!("http://{address}/"))
}
