//! Carrying out the steps of the plan. A step either changes what is there, so that the next look sees it, or fails
//! with a [`Trouble`] that names cause and cure; it decides nothing.

use std::fs::{self, OpenOptions};
use std::io;

use creel_api::keeper::{Exit, KeeperAsk, Launch, LogFile, SpawnerOutcome, SpawnerVerb, Start};
use creel_api::node::{Assignment, Revision};
use creel_core::unit::{End, EndKind, Step, Stopping, Trouble, Verdict, noted};
use creel_openclaw::config::Rendered;
use creel_openclaw::exit::{self, ExitMeaning};
use creel_openclaw::paths::Paths;
use creel_openclaw::{chat, handoff, launch};
use creel_release::Installed;
use jiff::{SignedDuration, Timestamp};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::agent::{Agent, Looked, running};
use crate::children::chain;
use crate::config::{self, Checked, Surroundings};
use crate::link::KeeperLink;
use crate::opinion;
use crate::record::{ExitRecord, RunningRecord, StoryRecord};

/// The pause after a step that failed for a reason outside the agent.
const RETRY: SignedDuration = SignedDuration::from_secs(5);

/// How many files the gateway's log is rotated through.
const LOG_FILES: u32 = 5;

const SIGTERM: i32 = 15;

fn trouble(message: impl Into<String>) -> Trouble {
    Trouble { message: message.into(), retry_at: Timestamp::now() + RETRY }
}

fn because(what: &'static str) -> impl Fn(io::Error) -> Trouble {
    move |error| trouble(format!("{what}: {error}"))
}

impl Agent {
    pub(crate) async fn carry_out(&mut self, step: Step) -> Result<(), Trouble> {
        match step {
            Step::Look => self.look().await,
            Step::Install { release } => {
                self.node.releases.install(&release);
                Ok(())
            }
            Step::Check { revision } => self.check(revision).await,
            Step::Launch => self.launch().await,
            Step::Start { revision } => self.start(revision).await,
            Step::Stop { run, kill_at } => self.stop(run, kill_at).await,
            Step::Kill { run } => self.kill(run).await,
            Step::Note { run } => self.note(run).await,
            Step::Retire => self.retire().await,
            Step::Sweep => self.sweep().await,
            Step::Remove => self.remove().await,
        }
    }

    /// Connects to the keeper if there is one; else sees whether somebody else holds the state.
    async fn look(&mut self) -> Result<(), Trouble> {
        self.link = None;
        if let Ok(link) = KeeperLink::connect(&self.folder.root, self.wake.clone()).await {
            self.link = Some(link);
            self.adopt();
            return Ok(());
        }
        self.looked = match self.is_claimed() {
            Ok(true) => {
                Looked::Foreign("a process that is not a keeper, or a keeper that does not answer".into())
            }
            Ok(false) => Looked::Absent,
            Err(error) => return Err(trouble(format!("its claim can't be read: {error}"))),
        };
        if self.looked == Looked::Absent {
            self.note_lost("its keeper was killed");
        }
        Ok(())
    }

    /// Takes over what runs: the record follows the keeper, who knows.
    fn adopt(&mut self) {
        let known = self.record.running.as_ref().map(|record| record.run);
        let Some(run) = self.run() else { return self.note_lost("its keeper was replaced") };
        self.record.run = self.record.run.max(run.run);
        self.stopping = None;
        if known != Some(run.run) {
            let found = running(&run);
            self.record.running = Some(RunningRecord {
                run: found.run,
                revision: found.revision,
                release: found.release,
                restart: found.restart,
                started_at: found.started_at,
                ready_at: None,
                asked: false,
            });
        }
        self.node.give_port(&self.uid, run.port);
        tracing::info!(agent = %self.uid, run = run.run, pid = run.gateway.map(|gateway| gateway.pid), "adopted");
    }

    /// A gateway whose keeper is gone: its exit status went with it.
    fn note_lost(&mut self, words: &str) {
        let Some(record) = self.record.running.take() else { return };
        let kind = if record.asked { EndKind::Asked } else { EndKind::Crash };
        let end = End { at: Timestamp::now(), kind, words: words.into() };
        let story = noted(&self.record.story.story(), &record.running(), record.ready_at, end);
        self.record.story = StoryRecord::of(&story, None);
        self.stopping = None;
        self.save();
    }

    fn is_claimed(&self) -> io::Result<bool> {
        let file = match OpenOptions::new().read(true).write(true).open(self.folder.claim()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    async fn check(&mut self, number: u64) -> Result<(), Trouble> {
        let Some(revision) = self.revision(number) else { return Ok(()) };
        let (release, checked) = self.render(&revision).await?;
        let checked = match checked {
            Checked::Good(rendered) => self.ask_release(&release, rendered).await,
            other => other,
        };
        self.verdict = match checked {
            Checked::Good(rendered) => {
                self.accepted = Some(rendered.config);
                Verdict::Good { revision: number }
            }
            Checked::Refused(issues) => Verdict::Refused { revision: number, issues },
            Checked::Impossible(message) => Verdict::Impossible {
                revision: number,
                message,
                retry_at: Timestamp::now() + SignedDuration::from_secs(30),
            },
        };
        Ok(())
    }

    /// A change of what already runs is put before the release itself; a new agent, which has nothing to lose by a
    /// refusal, is not made to wait for that.
    async fn ask_release(&self, release: &Installed, rendered: Box<Rendered>) -> Checked {
        if self.record.previous.is_none() || !release.has_schema {
            return Checked::Good(rendered);
        }
        match opinion::ask(&self.node, &self.uid, release, &rendered.config).await {
            Ok(issues) if issues.is_empty() => Checked::Good(rendered),
            Ok(issues) => Checked::Refused(issues),
            Err(message) => Checked::Impossible(message),
        }
    }

    async fn render(&mut self, revision: &Revision) -> Result<(Installed, Checked), Trouble> {
        let release = self.node.releases.find(&revision.release);
        let release = release
            .ok_or_else(|| trouble(format!("release {} is not installed any more", revision.release)))?;
        let port = self
            .node
            .port_for(&self.uid, self.record.port)
            .ok_or_else(|| trouble("there is no free port left on this machine for its gateway"))?;
        self.record.port = Some(port);
        let practice = self.node.practice();
        let paths = self.node.sandbox.paths(&self.folder, &release.folder);
        let around = Surroundings {
            release: &release,
            paths: &paths,
            port,
            practice: practice.as_deref(),
            program: &self.node.program,
        };
        let checked =
            config::check(revision, &self.record, &self.folder, &around, self.accepted.as_ref()).await;
        Ok((release, checked))
    }

    async fn launch(&mut self) -> Result<(), Trouble> {
        let Some(told) = self.assignment() else { return Ok(()) };
        self.folder.make().map_err(because("its folder could not be made"))?;
        let resources = &told.revision.resources;
        let ask = SpawnerVerb::Launch(Box::new(Launch {
            agent: self.uid.clone(),
            folder: self.folder.root.to_string_lossy().into_owned(),
            epoch: told.generation.epoch,
            generation: told.generation.number,
            cgroup_root: self.node.folder.cgroup_root(),
            memory_bytes: resources.memory_bytes.unwrap_or(0),
            pids: resources.pids.unwrap_or(0),
        }));
        match self.node.spawner.ask(ask).await.map_err(|error| trouble(chain(&error)))? {
            SpawnerOutcome::Launched { .. } => self.connect().await,
            SpawnerOutcome::Held { holder } => {
                self.looked = Looked::Foreign(holder);
                Ok(())
            }
            SpawnerOutcome::Older { epoch, generation } => Err(trouble(format!(
                "its state was claimed by a newer order ({epoch}.{generation}); this one ({}) is not carried out",
                told.generation
            ))),
            SpawnerOutcome::Failed { message } => {
                Err(trouble(format!("its keeper could not be started: {message}")))
            }
            other => Err(trouble(format!("the spawner answered something else: {other:?}"))),
        }
    }

    async fn connect(&mut self) -> Result<(), Trouble> {
        let link = KeeperLink::connect(&self.folder.root, self.wake.clone()).await;
        self.link = Some(link.map_err(because("its keeper was started and can't be reached"))?);
        Ok(())
    }

    async fn start(&mut self, number: u64) -> Result<(), Trouble> {
        let (Some(told), Some(revision)) = (self.assignment(), self.revision(number)) else { return Ok(()) };
        self.folder.make().map_err(because("its folder could not be made"))?;
        let (release, checked) = self.render(&revision).await?;
        let Checked::Good(rendered) = checked else {
            // What was good has changed since; the next look asks again, and names what it finds.
            self.verdict = Verdict::Unasked;
            return Err(trouble("its config changed while it was being started; it is checked again"));
        };
        self.put_secrets(&revision).await?;
        self.seed_cache(&release).await;
        config::put(&self.folder, &rendered.config, Timestamp::now())
            .map_err(because("its config could not be written"))?;
        self.record.owner = Some(chat::owner(&rendered.config));
        self.record.rendered = Some(rendered.base);
        self.accepted = Some(rendered.config);
        let start = self.start_order(&told, &revision, &release)?;
        self.write_before(&start, &revision)?;
        let (run, ask) = (start.run, KeeperAsk::Start(Box::new(start)));
        let Some(link) = self.link.as_mut() else { return Err(trouble("its keeper went away")) };
        let shown = link.ask(&ask, |state| state.run.as_ref().is_some_and(|now| now.run == run)).await;
        shown.map_err(|error| trouble(format!("its gateway could not be started: {}", chain(&error))))
    }

    fn start_order(
        &mut self,
        told: &Assignment,
        revision: &Revision,
        release: &Installed,
    ) -> Result<Start, Trouble> {
        if self.record.token.is_empty() {
            self.record.token = random_token().map_err(because("no random token could be made"))?;
        }
        self.record.run += 1;
        self.record.generation = Some(told.generation);
        let port = self.record.port.unwrap_or_default();
        let paths: Paths = self.node.sandbox.paths(&self.folder, &release.folder);
        let env = launch::environment(
            &paths,
            port,
            &self.record.token,
            revision.agent_may_edit,
            &revision.env,
            None,
        );
        let gateway = launch::command(&release.argv, port);
        Ok(Start {
            run: self.record.run,
            epoch: told.generation.epoch,
            generation: told.generation.number,
            revision: revision.number,
            restart: told.restart,
            release: revision.release.clone(),
            port,
            argv: self.node.sandbox.command(
                self.node.spawner.program(),
                &self.folder,
                &release.folder,
                &gateway,
            ),
            env: env.variables,
            cwd: self.folder.tree().to_string_lossy().into_owned(),
            log: LogFile {
                path: self.folder.log().to_string_lossy().into_owned(),
                max_bytes: revision.resources.log_bytes.unwrap_or(creel_core::limits::LOG_BYTES),
                files: LOG_FILES,
            },
        })
    }

    /// Doubt is written before the effect and the truth after it: a warden that dies in between leaves a record that
    /// says "was to run", which the next one compares with the keeper.
    fn write_before(&mut self, start: &Start, revision: &Revision) -> Result<(), Trouble> {
        self.record.running = Some(RunningRecord {
            run: start.run,
            revision: start.revision,
            release: start.release.clone(),
            restart: start.restart,
            started_at: Timestamp::now(),
            ready_at: None,
            asked: false,
        });
        self.record.previous = Some(revision.clone());
        self.stopping = None;
        self.record.write(&self.folder).map_err(because("its record could not be written"))
    }

    /// The secrets' file. Without a server the one that is there serves, as long as it has what is wanted.
    async fn put_secrets(&self, revision: &Revision) -> Result<(), Trouble> {
        let path = self.folder.secrets();
        if revision.secrets.is_empty() {
            return crate::folder::write_whole(&path, b"{}")
                .map_err(because("its secrets could not be written"));
        }
        match self.node.server.secrets(&self.uid).await {
            Ok(values) => {
                let text = serde_json::to_vec(&values).map_err(|error| trouble(error.to_string()))?;
                crate::folder::write_whole(&path, &text).map_err(because("its secrets could not be written"))
            }
            Err(_) if self.ran_with_same_secrets(revision) && path.exists() => Ok(()),
            Err(error) => {
                Err(trouble(format!("its secrets can't be had from the server: {}", chain(&error))))
            }
        }
    }

    fn ran_with_same_secrets(&self, revision: &Revision) -> bool {
        self.record.previous.as_ref().is_some_and(|previous| previous.secrets == revision.secrets)
    }

    /// A new agent starts with the compile cache that the release's proving start left: 2 to 3 s faster. Without it
    /// the start is only slower, so a failure is no trouble.
    async fn seed_cache(&self, release: &Installed) {
        let (from, to) = (release.folder.join("compile-cache"), self.folder.compile_cache());
        if to.exists() || !from.exists() {
            return;
        }
        let copied = tokio::task::spawn_blocking(move || copy_tree(&from, &to)).await;
        if !matches!(copied, Ok(Ok(()))) {
            tracing::warn!(agent = %self.uid, "the compile cache could not be copied");
        }
    }

    async fn stop(&mut self, run: u64, kill_at: Timestamp) -> Result<(), Trouble> {
        if let Some(record) = self.record.running.as_mut() {
            record.asked = true;
        }
        self.save();
        self.stopping = Some(Stopping { run, kill_at, killed: false });
        self.say(&KeeperAsk::Signal { run, signal: SIGTERM }).await
    }

    async fn kill(&mut self, run: u64) -> Result<(), Trouble> {
        let kill_at = self.stopping.map_or_else(Timestamp::now, |stopping| stopping.kill_at);
        self.stopping = Some(Stopping { run, kill_at, killed: true });
        self.say(&KeeperAsk::Kill { run }).await
    }

    async fn say(&mut self, ask: &KeeperAsk) -> Result<(), Trouble> {
        let Some(link) = self.link.as_mut() else { return Err(trouble("its keeper went away")) };
        link.say(ask).await.map_err(because("its keeper can't be reached"))
    }

    /// The end of a run goes into the record before the keeper may forget it.
    async fn note(&mut self, run: u64) -> Result<(), Trouble> {
        let Some(ended) = self.run().filter(|ended| ended.run == run) else { return Ok(()) };
        let exit = ended.exit.clone().unwrap_or_default();
        let record = self.record.running.take().filter(|record| record.run == run);
        let asked = record.as_ref().is_some_and(|record| record.asked);
        let kind = self.kind_of(&exit, asked, ended.started_us).await;
        let end = End { at: moment(exit.at_us), kind, words: words_of(&exit) };
        tracing::info!(agent = %self.uid, run, words = %end.words, ?kind, "the gateway ended");
        let ready_at = record.and_then(|record| record.ready_at);
        let story = noted(&self.record.story.story(), &running(&ended), ready_at, end);
        self.record.story = StoryRecord::of(&story, Some(ExitRecord::from(&exit)));
        self.stopping = None;
        self.record.write(&self.folder).map_err(because("its record could not be written"))?;
        let Some(link) = self.link.as_mut() else { return Ok(()) };
        let gone = link.ask(&KeeperAsk::Acknowledge { run }, |state| state.run.is_none()).await;
        gone.map_err(|error| trouble(chain(&error)))
    }

    /// Exit 0 is not "on purpose": it is held against what creel asked for, and against OpenClaw's hand-off.
    async fn kind_of(&self, exit: &Exit, asked: bool, since_us: i64) -> EndKind {
        if asked {
            return EndKind::Asked;
        }
        let meaning = exit::meaning(exit.code, exit.signal);
        if !meaning.may_pass() {
            return EndKind::Refused;
        }
        if meaning != ExitMeaning::Clean {
            return EndKind::Crash;
        }
        match handoff::restart_requested(&self.folder.tree().join("state"), since_us).await {
            Ok(true) => EndKind::HandOff,
            Ok(false) => EndKind::Crash,
            Err(error) => {
                tracing::warn!(agent = %self.uid, error = %chain(&error), "whether a restart was asked for can't be read");
                EndKind::Crash
            }
        }
    }

    async fn retire(&mut self) -> Result<(), Trouble> {
        if let Some(link) = self.link.take() {
            link.quit()
                .await
                .map_err(|error| trouble(format!("its keeper does not end: {}", chain(&error))))?;
        }
        self.sweep().await
    }

    async fn sweep(&mut self) -> Result<(), Trouble> {
        let ask = SpawnerVerb::Sweep {
            agent: self.uid.clone(),
            folder: self.folder.root.to_string_lossy().into_owned(),
            cgroup_root: self.node.folder.cgroup_root(),
        };
        self.looked = Looked::NotYet;
        match self.node.spawner.ask(ask).await.map_err(|error| trouble(chain(&error)))? {
            SpawnerOutcome::Swept { .. } => Ok(()),
            SpawnerOutcome::Failed { message } => {
                Err(trouble(format!("what is left of it does not go: {message}")))
            }
            other => Err(trouble(format!("the spawner answered something else: {other:?}"))),
        }
    }

    async fn remove(&mut self) -> Result<(), Trouble> {
        let root = self.folder.root.clone();
        let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(root)).await;
        self.node.take_port_back(&self.uid);
        match removed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Ok(Err(error)) => Err(trouble(format!("its state could not be removed: {error}"))),
            Err(error) => Err(trouble(format!("its state could not be removed: {error}"))),
        }
    }
}

fn moment(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or_else(|_| Timestamp::now())
}

fn words_of(exit: &Exit) -> String {
    match &exit.never_started {
        Some(why) => format!("never started: {why}"),
        None => exit::meaning(exit.code, exit.signal).to_string(),
    }
}

/// 256 bits, as hex.
fn random_token() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn copy_tree(from: &std::path::Path, to: &std::path::Path) -> io::Result<()> {
    crate::folder::make_private(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            let mut source = fs::File::open(entry.path())?;
            let mut file = fs::File::create(&target)?;
            io::copy(&mut source, &mut file)?;
        }
    }
    Ok(())
}
