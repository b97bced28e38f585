//! Installing a release: everything happens in a staging folder, and only a whole, proven release gets its name.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::{Timestamp, Unit};
use thiserror::Error;

use crate::file_error::{FileError, at};
use crate::node::{self, Choice};
use crate::npm::{Npm, Wanted};
use crate::options::Options;
use crate::prove::{self, Layout};
use crate::record::{self, Installed, Record};
use crate::registry::{Registry, RegistryError};
use crate::staging::{self, LOCKS, Staging};
use crate::tarball::{self, Tarball};
use crate::tree::{self, Tree};
use crate::{archive, remove, share, start, version};

/// How often to look whether another installer of the same version is done.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How far an install has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, in a few words: `downloading Node 26.10.0`.
    pub step: String,
    /// 0 to 1000 of the whole; never goes back.
    pub permille: u16,
}

/// Why a release was not installed. Nothing of it is left, and the other releases are as they were.
#[derive(Debug, Error)]
pub enum InstallError {
    /// There is no such version.
    #[error("there is no OpenClaw {version} on the registry{}", instead(newest.as_deref(), nearest.as_deref()))]
    UnknownVersion {
        /// As asked for.
        version: String,
        /// The newest on the registry.
        newest: Option<String>,
        /// The one next to it, not newer.
        nearest: Option<String>,
    },
    /// The registry did not help.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// No Node for it.
    #[error("OpenClaw {version} needs Node {range}, and the registry's package {package} has none of these")]
    NoNode {
        /// The OpenClaw version.
        version: String,
        /// What its `engines.node` says.
        range: String,
        /// Where Node was looked for.
        package: String,
    },
    /// No npm for that Node.
    #[error("no npm on the registry runs on Node {node}")]
    NoNpm {
        /// The Node version.
        node: String,
    },
    /// Neither x64 nor arm64.
    #[error("OpenClaw's releases need an x86-64 or arm64 machine; this one is {0}")]
    NoSuchMachine(&'static str),
    /// No room.
    #[error("the disk (or your quota) of {} is full; a release needs about 2 GB while it is installed: \
             make room, or remove a release with `creel release rm`", folder.display())]
    DiskFull {
        /// Where it was to be written.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder could not be used.
    #[error(transparent)]
    File(FileError),
    /// npm could not reach the registry.
    #[error(
        "npm could not reach its registry: check the network, and registry and proxy in npm's settings\n{output}"
    )]
    NpmCutOff {
        /// Its last lines.
        output: String,
    },
    /// npm failed for another reason.
    #[error("npm could not install OpenClaw's dependencies:\n{output}")]
    NpmFailed {
        /// Its last lines.
        output: String,
    },
    /// A native part is missing.
    #[error(
        "the dependency {package} was installed without its native part ({builds}): \
             the registry or its mirror may lack it"
    )]
    NativePartMissing {
        /// The dependency.
        package: String,
        /// Any of these would do.
        builds: String,
    },
    /// It was installed, but does not run here.
    #[error("the release was laid out, but `openclaw {command}` fails on this machine:\n{output}")]
    DoesNotRun {
        /// What was tried.
        command: &'static str,
        /// What it wrote.
        output: String,
    },
    /// The part of the work that blocks was lost.
    #[error("the install was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
}

impl From<FileError> for InstallError {
    fn from(error: FileError) -> Self {
        match error.is_full() {
            true => Self::DiskFull { folder: error.path, source: error.source },
            false => Self::File(error),
        }
    }
}

fn instead(newest: Option<&str>, nearest: Option<&str>) -> String {
    match (newest, nearest) {
        (Some(newest), Some(nearest)) if newest != nearest => {
            format!("; the newest is {newest}, the nearest {nearest}")
        }
        (Some(newest), _) => format!("; the newest is {newest}"),
        _ => ", which has none at all: check `registry` in npm's settings".to_owned(),
    }
}

/// Installs a version, or finds it installed. Of two installers of one version, in whatever processes, the second
/// waits for the first. Dropping the future stops the install and leaves nothing of it.
pub async fn install(
    root: &Path,
    version: &str,
    options: &Options,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Installed, InstallError> {
    let mut teller = Teller { progress, last: 0 };
    fs::create_dir_all(root).map_err(at("make", root))?;
    if !version::is_plain(version) {
        return Err(unknown(&Registry::open(options)?, version).await);
    }
    let _held = take(root, version, &mut teller).await?;
    if let Some(found) = record::find(root, version) {
        return Ok(found);
    }
    let swept = root.to_owned();
    blocking(move || staging::sweep(&swept)).await?;
    let job = Job { root, version, options, registry: Registry::open(options)? };
    job.install(&mut teller).await
}

async fn unknown(registry: &Registry, version: &str) -> InstallError {
    match registry.package("openclaw").await {
        Ok(package) => unknown_among(version, &package.versions_in_order()),
        Err(error) => error.into(),
    }
}

fn unknown_among(version: &str, published: &[String]) -> InstallError {
    let (newest, nearest) = version::neighbours(version, published);
    InstallError::UnknownVersion { version: version.to_owned(), newest, nearest }
}

/// Waits for whoever else installs or removes this version.
async fn take(root: &Path, version: &str, teller: &mut Teller<'_>) -> Result<fs::File, FileError> {
    loop {
        if let Some(held) = staging::take(root, version)? {
            return Ok(held);
        }
        teller.tell("waiting for another install of it", 0);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Runs what blocks (unpacking, hashing) beside the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, InstallError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(InstallError::Interrupted)?;
    Ok(done?)
}

/// Tells how far it is, in steps of one permille.
struct Teller<'a> {
    progress: &'a mut (dyn FnMut(Progress) + Send),
    last: u16,
}

impl Teller<'_> {
    fn tell(&mut self, step: &str, permille: u16) {
        self.last = self.last.max(permille);
        (self.progress)(Progress { step: step.to_owned(), permille: self.last });
    }

    /// For a step that tells its own share: from one permille of the whole to another.
    fn part<'b>(&'b mut self, step: &'b str, from: u16, to: u16) -> impl FnMut(u16) + Send + 'b {
        self.tell(step, from);
        move |share| {
            let permille = from + u16::try_from(u32::from(to - from) * u32::from(share) / 1000).unwrap_or(0);
            if permille > self.last {
                self.tell(step, permille);
            }
        }
    }
}

/// One install of one version.
struct Job<'a> {
    root: &'a Path,
    version: &'a str,
    options: &'a Options,
    registry: Registry,
}

impl Job<'_> {
    async fn install(&self, teller: &mut Teller<'_>) -> Result<Installed, InstallError> {
        teller.tell("asking the registry", 0);
        let range = self.node_range().await?;
        let staging = Staging::make(self.root)?;
        let layout = Layout { root: staging.folder("release")?, scratch: staging.folder("scratch")? };
        let node_version = self.fetch_node(range.as_deref(), &layout, teller).await?;
        self.fetch_openclaw(&node_version, &layout, teller).await?;
        self.prove(&layout, teller).await?;
        teller.tell("sharing files with other releases", 960);
        let (release, root, record) = (layout.root.clone(), self.root.to_owned(), self.record(&node_version));
        blocking(move || publish(&release, &root, record)).await?;
        teller.tell("installed", 1000);
        record::find(self.root, self.version).ok_or_else(|| {
            let path = self.root.join(self.version);
            at("read", &path)(io::ErrorKind::NotFound.into()).into()
        })
    }

    /// Which Node this version wants; an error if there is no such version.
    async fn node_range(&self) -> Result<Option<String>, InstallError> {
        let openclaw = self.registry.package("openclaw").await?;
        match openclaw.versions.get(self.version) {
            Some(published) => Ok(published.node_range().map(str::to_owned)),
            None => Err(unknown_among(self.version, &openclaw.versions_in_order())),
        }
    }

    async fn fetch_node(
        &self,
        range: Option<&str>,
        layout: &Layout,
        teller: &mut Teller<'_>,
    ) -> Result<String, InstallError> {
        let package = node::package_name().ok_or(InstallError::NoSuchMachine(std::env::consts::ARCH))?;
        let nodes = self.registry.package(package).await?;
        let choice = node::choose(range, &nodes).ok_or_else(|| InstallError::NoNode {
            version: self.version.to_owned(),
            range: range.unwrap_or("*").to_owned(),
            package: package.to_owned(),
        })?;
        let step = format!("downloading Node {}", choice.version);
        let mut seen = teller.part(&step, 10, 200);
        self.unpack(package, &choice, layout.root.join("node"), &mut seen).await?;
        Ok(choice.version)
    }

    async fn fetch_openclaw(
        &self,
        node_version: &str,
        layout: &Layout,
        teller: &mut Teller<'_>,
    ) -> Result<(), InstallError> {
        let npms = self.registry.package("npm").await?;
        let choice = node::choose_npm(node_version, &npms)
            .ok_or_else(|| InstallError::NoNpm { node: node_version.to_owned() })?;
        let npm = layout.scratch.join("npm");
        let step = format!("downloading npm {}", choice.version);
        self.unpack("npm", &choice, npm.clone(), &mut teller.part(&step, 250, 270)).await?;
        let npm = Npm {
            node: &layout.node(),
            program: &npm.join("bin/npm-cli.js"),
            cache: &self.options.cache,
            registry: self.options.registry.as_deref(),
        };
        let lock = self.lock_path();
        let lock = lock.exists().then_some(lock.as_path());
        let wanted = Wanted { version: self.version, lock, folder: &layout.root.join("openclaw") };
        let step = format!("installing OpenClaw {}", self.version);
        npm.install(&wanted, &mut teller.part(&step, 270, 800)).await
    }

    async fn unpack(
        &self,
        package: &str,
        choice: &Choice<'_>,
        into: PathBuf,
        seen: &mut (dyn FnMut(u16) + Send),
    ) -> Result<(), InstallError> {
        let tarball = Tarball { package, version: &choice.version, published: choice.published };
        let file = tarball::fetch(&self.registry, &self.options.cache, &tarball, seen).await.map_err(full)?;
        seen(1000);
        blocking(move || archive::unpack(file, &into)).await
    }

    async fn prove(&self, layout: &Layout, teller: &mut Teller<'_>) -> Result<(), InstallError> {
        teller.tell("checking that it runs", 800);
        prove::native_parts(layout)?;
        prove::version(layout, self.version).await?;
        if let Some(schema) = prove::schema(layout).await? {
            let path = layout.root.join("schema.json");
            fs::write(&path, schema).map_err(at("write", &path))?;
        }
        let release = layout.root.clone();
        blocking(move || Tree::walk(&release)?.settle_files()).await?;
        if self.options.prove_start {
            teller.tell("starting it once", 840);
            keep(start::prove(layout).await?, &layout.root)?;
        }
        Ok(())
    }

    fn lock_path(&self) -> PathBuf {
        self.root.join(LOCKS).join(format!("{}.json", self.version))
    }

    fn record(&self, node_version: &str) -> Record {
        let now = Timestamp::now();
        Record {
            version: self.version.to_owned(),
            node_version: node_version.to_owned(),
            argv: Layout::argv(),
            installed_at: now.round(Unit::Second).unwrap_or(now).to_string(),
            size_bytes: 0,
            lock_hash: String::new(),
        }
    }
}

/// A download for which there is no room is a full disk like any other.
fn full(error: RegistryError) -> InstallError {
    match error {
        RegistryError::File(error) => error.into(),
        other => other.into(),
    }
}

fn keep(cache: Option<PathBuf>, release: &Path) -> Result<(), FileError> {
    let Some(cache) = cache else { return Ok(()) };
    let kept = release.join("compile-cache");
    fs::rename(&cache, &kept).map_err(at("keep", &kept))
}

/// Shares, records, seals and names the release.
fn publish(release: &Path, root: &Path, mut record: Record) -> Result<(), FileError> {
    let tree = Tree::walk(release)?;
    tree.settle_files()?;
    share::share(&tree, &root.join(share::FOLDER))?;
    let resolved = release.join("openclaw/package-lock.json");
    let lock = fs::read(&resolved).map_err(at("read", &resolved))?;
    record.size_bytes = tree.size_bytes;
    record.lock_hash = digest(&SHA256, &lock).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    write_whole(&root.join(LOCKS).join(format!("{}.json", record.version)), &lock)?;
    write_record(release, &record)?;
    tree.seal_folders()?;
    share::flush(root).map_err(at("write", root))?;
    let name = root.join(&record.version);
    if name.exists() {
        // Without a readable record it is no release: somebody's remains.
        remove::put_away(root, &name)?;
    }
    name_it(release, &name)?;
    share::flush(root).map_err(at("write", root))
}

fn write_record(release: &Path, record: &Record) -> Result<(), FileError> {
    let path = release.join(record::FILE);
    let text = serde_json::to_vec_pretty(record).map_err(io::Error::from).map_err(at("write", &path))?;
    fs::write(&path, text).map_err(at("write", &path))?;
    fs::set_permissions(&path, Permissions::from_mode(0o444)).map_err(at("make read-only", &path))
}

/// A folder that changes its parent must be writable while it does.
fn name_it(release: &Path, name: &Path) -> Result<(), FileError> {
    tree::unseal(release)?;
    fs::rename(release, name).map_err(at("name", name))?;
    fs::set_permissions(name, Permissions::from_mode(0o555)).map_err(at("make read-only", name))
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(path);
    let mut part = tempfile::NamedTempFile::new_in(folder).map_err(at("write in", folder))?;
    io::Write::write_all(&mut part, bytes).map_err(at("write in", folder))?;
    part.persist(path).map_err(|error| at("name", path)(error.error))?;
    fs::set_permissions(path, Permissions::from_mode(0o644)).map_err(at("make readable", path))
}
