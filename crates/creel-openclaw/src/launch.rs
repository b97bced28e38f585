//! How a gateway is launched: its command line and its environment.
//!
//! The environment is made whole here, nothing is inherited. No secret is in it but the gateway's own token.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::GATEWAY_TOKEN;
use crate::paths::Paths;

/// Variables that a user can't set, besides those that creel sets: each would move OpenClaw's files, take the place of
/// its token or put another process between creel and the gateway.
const RESERVED: [&str; 8] = [
    "NODE_COMPILE_CACHE",
    "OPENCLAW_ALLOW_MULTI_GATEWAY",
    "OPENCLAW_CONFIG_READONLY",
    "OPENCLAW_GATEWAY_PASSWORD",
    "OPENCLAW_GATEWAY_URL",
    "OPENCLAW_HOME",
    "OPENCLAW_NO_RESPAWN",
    "OPENCLAW_PROFILE",
];

/// Where programs are, besides the release's own.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// A gateway's environment.
#[derive(Clone, PartialEq, Eq)]
pub struct Environment {
    /// All of it.
    pub variables: BTreeMap<String, String>,
    /// Names that the user set and that do not count.
    pub overruled: Vec<String>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.variables.keys().collect();
        f.debug_struct("Environment").field("variables", &names).field("overruled", &self.overruled).finish()
    }
}

/// The gateway's command line; `argv` starts OpenClaw's program (`node …/openclaw.mjs`).
pub fn command(argv: &[String], port: u16) -> Vec<String> {
    let gateway = ["gateway", "run", "--port"].map(str::to_owned);
    argv.iter().cloned().chain(gateway).chain([port.to_string()]).collect()
}

/// The gateway's environment. `time_zone` counts if `user` does not set `TZ`.
pub fn environment(
    paths: &Paths,
    port: u16,
    token: &str,
    agent_may_edit: bool,
    user: &BTreeMap<String, String>,
    time_zone: Option<&str>,
) -> Environment {
    let mut variables = defaults(time_zone);
    variables.extend(user.iter().map(|(name, value)| (name.clone(), value.clone())));
    let own = own(paths, port, token, agent_may_edit, user.get("PATH"));
    let counts = |name: &str| name == "PATH" || !(own.contains_key(name) || RESERVED.contains(&name));
    let overruled = user.keys().filter(|name| !counts(name)).cloned().collect();
    variables.retain(|name, _| counts(name));
    variables.extend(own);
    Environment { variables, overruled }
}

/// What a user may set otherwise.
fn defaults(time_zone: Option<&str>) -> BTreeMap<String, String> {
    let time_zone = time_zone.map(|zone| ("TZ".to_owned(), zone.to_owned()));
    time_zone.into_iter().chain([("LANG".to_owned(), "C.UTF-8".to_owned())]).collect()
}

/// What creel sets, whatever a user says.
fn own(
    paths: &Paths,
    port: u16,
    token: &str,
    agent_may_edit: bool,
    user_path: Option<&String>,
) -> BTreeMap<String, String> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let programs = format!("{}:{}", text(&paths.node_bin()), user_path.map_or(SYSTEM_PATH, String::as_str));
    let mut own = BTreeMap::from([
        ("HOME", text(paths.home())),
        ("PATH", programs),
        // The compile cache is in here: a start with it takes three quarters of the time.
        ("TMPDIR", text(&paths.temp())),
        ("OPENCLAW_STATE_DIR", text(&paths.state())),
        ("OPENCLAW_CONFIG_PATH", text(&paths.config())),
        ("OPENCLAW_GATEWAY_PORT", port.to_string()),
        (GATEWAY_TOKEN, token.to_owned()),
        // Restarts become an exit that creel answers; no update and no repair of its own.
        ("OPENCLAW_SUPERVISOR_MODE", "external".to_owned()),
        ("OPENCLAW_SERVICE_REPAIR_POLICY", "external".to_owned()),
        ("OPENCLAW_NO_AUTO_UPDATE", "1".to_owned()),
        ("OPENCLAW_DISABLE_BONJOUR", "1".to_owned()),
    ]);
    if !agent_may_edit {
        own.insert("OPENCLAW_CONFIG_READONLY", "1".to_owned());
    }
    own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(user: &[(&str, &str)], agent_may_edit: bool) -> Environment {
        let user = user.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        environment(&Paths::sandboxed(), 18_789, "t0ken", agent_may_edit, &user, Some("Europe/Berlin"))
    }

    #[test]
    fn a_gateway_runs_as_a_foreground_process_on_its_port() {
        let argv = ["node".to_owned(), "openclaw.mjs".to_owned()];
        assert_eq!(command(&argv, 19_100).join(" "), "node openclaw.mjs gateway run --port 19100");
    }

    #[test]
    fn a_user_cannot_take_the_place_of_creels_variables() {
        let user =
            [("HOME", "/root"), ("OPENCLAW_PROFILE", "x"), ("NODE_COMPILE_CACHE", "/c"), ("EDITOR", "vi")];
        let made = made(&user, true);
        assert_eq!(made.overruled, ["HOME", "NODE_COMPILE_CACHE", "OPENCLAW_PROFILE"]);
        assert_eq!(made.variables["HOME"], "/agent");
        assert_eq!(made.variables["EDITOR"], "vi");
        assert!(!made.variables.contains_key("NODE_COMPILE_CACHE"));
    }

    #[test]
    fn the_releases_own_node_comes_first_in_a_users_path_too() {
        assert_eq!(made(&[("PATH", "/opt/x")], true).variables["PATH"], "/release/node/bin:/opt/x");
        assert!(made(&[], true).variables["PATH"].starts_with("/release/node/bin:/usr/local/bin"));
    }

    #[test]
    fn the_config_is_read_only_for_an_agent_that_may_not_edit() {
        assert_eq!(made(&[], false).variables["OPENCLAW_CONFIG_READONLY"], "1");
        assert!(
            !made(&[("OPENCLAW_CONFIG_READONLY", "0")], true)
                .variables
                .contains_key("OPENCLAW_CONFIG_READONLY")
        );
    }

    #[test]
    fn a_users_time_zone_counts_more_than_the_machines() {
        assert_eq!(made(&[("TZ", "Asia/Tokyo")], true).variables["TZ"], "Asia/Tokyo");
        assert_eq!(made(&[], true).variables["TZ"], "Europe/Berlin");
    }

    #[test]
    fn the_token_is_never_printed() {
        assert!(!format!("{:?}", made(&[], true)).contains("t0ken"));
    }
}
