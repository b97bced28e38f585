//! Installing, sharing and removing releases, against a registry on loopback whose packages are made up.

mod registry;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use creel_release::{
    InstallError, Installed, Options, RegistryError, RemoveError, find, installed, published, remove,
};
use registry::{Answer, Registry, node_tarball, options};
use tempfile::TempDir;

const A: &str = "2026.7.1";
const B: &str = "2026.9.6";

/// A registry, and a folder with an umlaut and a space in its name for the releases.
struct Scene {
    registry: Registry,
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("creel rel\u{e4}se ").tempdir().unwrap();
        Self { registry: Registry::with(&[A, B]), folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn root(&self) -> PathBuf {
        self.path().join("releases")
    }

    async fn install(&self, version: &str) -> Result<Installed, InstallError> {
        install(self.path(), &self.registry.url(), version).await
    }

    /// Tells the made-up npm what to do otherwise.
    fn tell(&self, word: &str) {
        fs::create_dir_all(self.path().join("cache")).unwrap();
        fs::write(self.path().join("cache").join(word), "").unwrap();
    }

    fn npm_runs(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path().join("cache/npm-runs")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn inode(&self, version: &str, file: &str) -> u64 {
        fs::metadata(self.root().join(version).join(file)).unwrap().ino()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for release in installed(&self.root()) {
            // An ordinary user cannot delete a read-only folder without this.
            let _ = remove(&self.root(), &release.version);
        }
    }
}

async fn install(folder: &Path, registry: &str, version: &str) -> Result<Installed, InstallError> {
    let options = options(registry, folder);
    creel_release::install(&folder.join("releases"), version, &options, &mut |_| {}).await
}

/// The releases and the works in progress: all that an install may add to or leave in the root.
fn visible(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != ".files" && name != ".locks").collect();
    names.sort();
    names
}

fn stored(root: &Path) -> usize {
    let shelves = fs::read_dir(root.join(".files")).unwrap().flatten();
    shelves.map(|shelf| fs::read_dir(shelf.path()).unwrap().count()).sum()
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn an_installed_release_is_found_whole_and_read_only() {
    let scene = Scene::new();
    let release = scene.install(B).await.unwrap();
    assert_eq!((release.version.as_str(), release.node_version.as_str()), (B, "26.10.0"));
    assert_eq!(release.argv[0], "/release/node/bin/node");
    assert!(release.has_schema && !release.has_compile_cache && release.size_bytes > 1000);
    assert_eq!(find(&scene.root(), B), Some(release.clone()));
    for path in ["", "release.json", "schema.json", "node/bin/node", "openclaw/node_modules/dep/same.js"] {
        assert_eq!(fs::metadata(release.folder.join(path)).unwrap().mode() & 0o222, 0, "{path}");
    }
    assert_eq!(visible(&scene.root()), vec![B]);
}

#[tokio::test]
async fn progress_never_goes_back_and_ends_at_the_end() {
    let scene = Scene::new();
    let (mut told, options) = (Vec::new(), options(&scene.registry.url(), scene.path()));
    let mut tell = |progress: creel_release::Progress| told.push((progress.permille, progress.step));
    creel_release::install(&scene.root(), B, &options, &mut tell).await.unwrap();
    assert!(told.is_sorted_by_key(|(permille, _)| *permille), "{told:?}");
    assert_eq!(told.last().unwrap(), &(1000, "installed".to_owned()));
    assert!(told.iter().any(|(_, step)| step == "downloading Node 26.10.0"), "{told:?}");
}

#[tokio::test]
async fn an_installed_release_needs_no_network() {
    let scene = Scene::new();
    let first = scene.install(B).await.unwrap();
    let again = install(scene.path(), "http://127.0.0.1:1", B).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(scene.npm_runs(), vec![format!("install {B}")]);
}

#[tokio::test]
async fn a_second_install_repeats_the_first_ones_dependencies() {
    let scene = Scene::new();
    let first = scene.install(B).await.unwrap();
    remove(&scene.root(), B).unwrap();
    assert!(!first.folder.exists());
    scene.install(B).await.unwrap();
    assert_eq!(scene.npm_runs(), vec![format!("install {B}"), format!("ci {B}")]);
}

#[tokio::test]
async fn two_releases_share_equal_files_and_removing_one_keeps_them() {
    let scene = Scene::new();
    scene.install(A).await.unwrap();
    scene.install(B).await.unwrap();
    for shared in ["node/bin/node", "openclaw/node_modules/dep/same.js"] {
        assert_eq!(scene.inode(A, shared), scene.inode(B, shared), "{shared}");
    }
    let own = "openclaw/node_modules/openclaw/VERSION";
    assert_ne!(scene.inode(A, own), scene.inode(B, own));
    let both = stored(&scene.root());

    remove(&scene.root(), A).unwrap();
    let names: Vec<String> = installed(&scene.root()).into_iter().map(|release| release.version).collect();
    assert_eq!(names, vec![B]);
    assert!(stored(&scene.root()) < both, "what only the removed release held is gone");
    let kept = fs::read_to_string(scene.root().join(B).join("openclaw/node_modules/dep/same.js")).unwrap();
    assert_eq!(kept, "the same in every release\n");

    remove(&scene.root(), B).unwrap();
    assert_eq!(stored(&scene.root()), 0);
    assert!(matches!(remove(&scene.root(), B), Err(RemoveError::NotInstalled(_))));
}

#[tokio::test]
async fn two_installs_at_once_do_the_work_once() {
    let scene = Scene::new();
    let (first, second) = tokio::join!(scene.install(B), scene.install(B));
    assert_eq!(first.unwrap(), second.unwrap());
    assert_eq!(scene.npm_runs().len(), 1);
    assert_eq!(visible(&scene.root()), vec![B]);
}

#[tokio::test]
async fn an_unknown_version_is_answered_with_its_neighbours() {
    let scene = Scene::new();
    let error = scene.install("2026.8.9").await.unwrap_err();
    let said = "there is no OpenClaw 2026.8.9 on the registry; the newest is 2026.9.6, the nearest 2026.7.1";
    assert_eq!(error.to_string(), said);
    let error = scene.install("../../etc").await.unwrap_err();
    assert!(matches!(error, InstallError::UnknownVersion { .. }), "{error}");
    assert_eq!(visible(&scene.root()), Vec::<String>::new());
}

#[tokio::test]
async fn a_registry_without_openclaw_is_named() {
    let scene = Scene::new();
    let empty = format!("{}/elsewhere", scene.registry.url());
    let error = published(&options(&empty, scene.path())).await.unwrap_err();
    assert!(error.to_string().contains("has no package `openclaw`"), "{error}");
    let all = published(&options(&scene.registry.url(), scene.path())).await.unwrap();
    assert_eq!(all, vec![A, B]);
}

#[tokio::test]
async fn without_a_network_the_error_says_so() {
    let scene = Scene::new();
    let error = install(scene.path(), "http://127.0.0.1:1", B).await.unwrap_err();
    assert!(matches!(error, InstallError::Registry(RegistryError::Unreachable { .. })), "{error}");
    assert!(error.to_string().contains("check the network"), "{error}");
    assert_eq!(visible(&scene.root()), Vec::<String>::new());
}

#[tokio::test]
async fn an_altered_download_leaves_nothing_behind() {
    let scene = Scene::new();
    scene.install(A).await.unwrap();
    forget_downloads(&scene);
    let mut body = scene.registry.body(&node_tarball());
    body[20] ^= 1;
    scene.registry.answer(&node_tarball(), Answer::Body(body));
    let error = scene.install(B).await.unwrap_err();
    assert!(matches!(error, InstallError::Registry(RegistryError::Altered { .. })), "{error}");
    assert_eq!(visible(&scene.root()), vec![A]);
    assert_eq!(fs::read_dir(scene.path().join("cache/npm")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_truncated_download_leaves_nothing_behind() {
    let scene = Scene::new();
    let body = scene.registry.body(&node_tarball());
    scene.registry.answer(&node_tarball(), Answer::Truncated(body));
    let error = scene.install(B).await.unwrap_err();
    assert!(matches!(error, InstallError::Registry(RegistryError::BrokenOff { .. })), "{error}");
    assert_eq!(visible(&scene.root()), Vec::<String>::new());
    assert_eq!(fs::read_dir(scene.path().join("cache/npm")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_damaged_file_of_the_cache_is_fetched_again() {
    let scene = Scene::new();
    scene.install(A).await.unwrap();
    for kept in fs::read_dir(scene.path().join("cache/npm")).unwrap().flatten() {
        fs::write(kept.path(), "rot").unwrap();
    }
    scene.install(B).await.unwrap();
}

#[tokio::test]
async fn a_release_without_its_native_part_is_refused() {
    let scene = Scene::new();
    scene.tell("forget");
    let error = scene.install(B).await.unwrap_err();
    assert!(matches!(error, InstallError::NativePartMissing { .. }), "{error}");
    assert!(error.to_string().contains("dep-linux-"), "{error}");
    assert_eq!(visible(&scene.root()), Vec::<String>::new());
}

#[tokio::test]
async fn a_proving_start_leaves_its_compile_cache() {
    let scene = Scene::new();
    let options = Options { prove_start: true, ..options(&scene.registry.url(), scene.path()) };
    let release = creel_release::install(&scene.root(), B, &options, &mut |_| {}).await.unwrap();
    assert!(release.has_compile_cache);
    assert_eq!(fs::read_to_string(release.folder.join("compile-cache/x")).unwrap(), "code\n");
}

#[tokio::test]
async fn a_release_whose_gateway_gives_up_is_refused() {
    let scene = Scene::new();
    scene.tell("break");
    let options = Options { prove_start: true, ..options(&scene.registry.url(), scene.path()) };
    let error = creel_release::install(&scene.root(), B, &options, &mut |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("lifecycle is incomplete"), "{error}");
    assert_eq!(visible(&scene.root()), Vec::<String>::new());
}

#[tokio::test]
async fn the_remains_of_something_else_give_way() {
    let scene = Scene::new();
    fs::create_dir_all(scene.root().join(B).join("half")).unwrap();
    assert_eq!(installed(&scene.root()), Vec::new());
    scene.install(B).await.unwrap();
    assert!(!scene.root().join(B).join("half").exists());
}

fn forget_downloads(scene: &Scene) {
    for kept in fs::read_dir(scene.path().join("cache/npm")).unwrap().flatten() {
        fs::remove_file(kept.path()).unwrap();
    }
}

// The next two tests need a process of their own: one to kill, one with a tiny disk. They run this program again.

const FOLDER: &str = "CREEL_TEST_FOLDER";
const REGISTRY: &str = "CREEL_TEST_REGISTRY";

fn again(program: &mut Command, test: &str, scene: &Scene) {
    program
        .args([test, "--exact", "--nocapture"])
        .env(FOLDER, scene.path())
        .env(REGISTRY, scene.registry.url());
    program.stdout(Stdio::null());
}

fn told() -> Option<(PathBuf, String)> {
    Some((std::env::var_os(FOLDER)?.into(), std::env::var(REGISTRY).ok()?))
}

#[tokio::test]
async fn an_install_that_was_killed_is_swept_by_the_next() {
    if let Some((folder, registry)) = told() {
        install(&folder, &registry, B).await.unwrap();
        return;
    }
    let scene = Scene::new();
    scene.tell("wait");
    let mut program = Command::new(std::env::current_exe().unwrap());
    again(&mut program, "an_install_that_was_killed_is_swept_by_the_next", &scene);
    let mut child = program.spawn().unwrap();
    wait_until("npm runs", || !scene.npm_runs().is_empty());
    let abandoned = visible(&scene.root());
    assert!(abandoned[0].starts_with(".staging-"), "{abandoned:?}");
    assert!(matches!(remove(&scene.root(), B), Err(RemoveError::NotInstalled(_))));

    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(scene.path().join("cache/wait")).unwrap();
    wait_until("npm, which outlived its install, ends", || scene.path().join("cache/npm-ends").exists());
    scene.install(B).await.unwrap();
    assert_eq!(visible(&scene.root()), vec![B]);
}

#[tokio::test]
async fn an_install_that_is_dropped_leaves_nothing_behind() {
    let scene = Scene::new();
    scene.tell("wait");
    let npm_runs = async {
        while scene.npm_runs().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = scene.install(B) => unreachable!("npm waits"),
        () = npm_runs => {}
    }
    assert_eq!(visible(&scene.root()), Vec::<String>::new());
    fs::remove_file(scene.path().join("cache/wait")).unwrap();
    scene.install(B).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_named_and_leaves_the_other_releases_alone() {
    if let Some((folder, registry)) = told() {
        return on_a_small_disk(&folder, &registry).await;
    }
    let scene = Scene::new();
    let disk = scene.path().join("releases");
    fs::create_dir_all(&disk).unwrap();
    scene.install(A).await.unwrap();
    remove(&disk, A).unwrap();
    forget_downloads(&scene);
    let noise = fs::read(std::env::current_exe().unwrap()).unwrap();
    let noise: String = noise.iter().take(3 << 20).map(|byte| char::from(byte % 64 + 48)).collect();
    scene.registry.publish_node(&[("package/share/noise", &noise, 0o644)]);

    let script = "mount -t tmpfs -o size=2m tmpfs \"$0\" && exec \"$@\"";
    let mut program = Command::new("unshare");
    program.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    program.arg(&disk).arg(std::env::current_exe().unwrap());
    again(&mut program, "a_full_disk_is_named_and_leaves_the_other_releases_alone", &scene);
    let ended = program.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

async fn on_a_small_disk(folder: &Path, registry: &str) {
    let root = folder.join("releases");
    let small = Registry::with(&[A]);
    install(folder, &small.url(), A).await.unwrap();
    let error = install(folder, registry, B).await.unwrap_err();
    assert!(matches!(error, InstallError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("make room"), "{error}");
    assert_eq!(visible(&root), vec![A]);
    assert!(find(&root, A).is_some());
}
