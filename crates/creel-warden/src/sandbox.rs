//! What an agent sees of its machine: the system read-only, its release as `/release`, its own tree as `/agent`, and
//! nothing else. Bubblewrap makes that view. The wall (an own network) joins it when its time comes; until then an
//! agent shares the machine's network.
//!
//! OpenClaw writes its paths into its databases, so they are the same everywhere for ever.

use std::fs;
use std::path::{Path, PathBuf};

use creel_openclaw::paths::Paths;

use crate::folder::AgentFolder;

/// Where the keeper's program lies inside, to be the sandbox's init.
const INIT: &str = "/creel-keeper";

/// What of `/etc` a gateway and its tools need: names, certificates, time zone, shared libraries. Nothing that says
/// who else lives here.
const ETC: [&str; 17] = [
    "alternatives",
    "ca-certificates",
    "fonts",
    "gai.conf",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "pki",
    "protocols",
    "resolv.conf",
    "services",
    "ssl",
];

/// How agents are run on this node.
#[derive(Clone, Debug)]
pub(crate) enum Sandbox {
    /// In bubblewrap, this program.
    Bubblewrap(PathBuf),
    /// Without walls, because the machine does not allow any; agents then see the machine's own paths.
    None,
}

impl Sandbox {
    /// The paths that the gateway itself sees.
    pub(crate) fn paths(&self, folder: &AgentFolder, release: &Path) -> Paths {
        match self {
            Self::Bubblewrap(_) => Paths::sandboxed(),
            Self::None => Paths::at(folder.tree(), release),
        }
    }

    /// The whole command, from the gateway's own.
    pub(crate) fn command(
        &self,
        keeper: &Path,
        folder: &AgentFolder,
        release: &Path,
        gateway: &[String],
    ) -> Vec<String> {
        match self {
            Self::Bubblewrap(program) => {
                let mut argv = vec![text(program)];
                argv.extend(view(keeper, folder, release));
                argv.extend(["--".into(), INIT.into(), "init".into(), "--".into()]);
                argv.extend(gateway.iter().cloned());
                argv
            }
            Self::None => {
                let init = [text(keeper), "init".into(), "--".into()];
                let real = gateway.iter().map(|word| outside(word, release));
                init.into_iter().chain(real).collect()
            }
        }
    }
}

/// A path of the release as the machine sees it.
fn outside(word: &str, release: &Path) -> String {
    match word.strip_prefix("/release/") {
        Some(rest) => text(&release.join(rest)),
        None => word.to_owned(),
    }
}

fn view(keeper: &Path, folder: &AgentFolder, release: &Path) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut add = |more: &[&str]| words.extend(more.iter().map(ToString::to_string));
    add(&["--unshare-user", "--uid", "1000", "--gid", "1000", "--disable-userns", "--cap-drop", "ALL"]);
    add(&[
        "--unshare-pid",
        "--as-pid-1",
        "--die-with-parent",
        "--unshare-ipc",
        "--unshare-uts",
        "--hostname",
        "agent",
    ]);
    add(&["--unshare-cgroup-try", "--ro-bind", "/usr", "/usr"]);
    for top in ["/bin", "/sbin", "/lib", "/lib32", "/lib64"] {
        match fs::read_link(top) {
            Ok(target) => add(&["--symlink", &target.to_string_lossy(), top]),
            Err(_) => add(&["--ro-bind-try", top, top]),
        }
    }
    for name in ETC {
        let path = format!("/etc/{name}");
        // A link (resolv.conf often is one) is followed here, because its target is not in the agent's view.
        if let Ok(real) = fs::canonicalize(&path) {
            add(&["--ro-bind", &real.to_string_lossy(), &path]);
        }
    }
    add(&["--ro-bind", &text(&folder.passwd()), "/etc/passwd"]);
    add(&["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"]);
    add(&["--bind", &text(&folder.tree()), "/agent", "--ro-bind", &text(release), "/release"]);
    add(&["--ro-bind", &text(keeper), INIT, "--chdir", "/agent"]);
    words
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The program of this name on the `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_sandbox_the_release_is_where_it_really_is() {
        let folder = AgentFolder { root: "/d/agents/u".into() };
        let gateway = ["/release/node/bin/node".to_owned(), "gateway".into()];
        let argv = Sandbox::None.command(Path::new("/k"), &folder, Path::new("/d/releases/1"), &gateway);
        assert_eq!(argv, ["/k", "init", "--", "/d/releases/1/node/bin/node", "gateway"]);
    }

    #[test]
    fn only_the_agents_own_tree_is_writable() {
        let folder = AgentFolder { root: "/d/agents/u".into() };
        let argv = Sandbox::Bubblewrap("/usr/bin/bwrap".into()).command(
            Path::new("/k"),
            &folder,
            Path::new("/d/releases/1"),
            &["/release/x".to_owned()],
        );
        let binds: Vec<usize> =
            argv.iter().enumerate().filter(|(_, word)| *word == "--bind").map(|(at, _)| at).collect();
        assert_eq!(binds.len(), 1);
        assert_eq!(argv[binds[0] + 1..binds[0] + 3], ["/d/agents/u/agent", "/agent"]);
        assert!(argv.ends_with(&[
            "--".into(),
            "/creel-keeper".into(),
            "init".into(),
            "--".into(),
            "/release/x".into()
        ]));
    }
}
