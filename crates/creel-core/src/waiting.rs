//! Every "not now" has a name: why something wanted is not so yet. It is the status page, `creel explain`, and what
//! tests expect. A [`Waiting`] is a value; its sentence is written here and nowhere else.

use creel_api::agent::WaitingView;
use creel_api::problem::Issue;
use jiff::Timestamp;

/// Why something wanted is not so yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The spec names a secret that the tenant does not have.
    SecretMissing {
        /// Its name.
        secret: String,
        /// Where in the config it is wanted.
        path: String,
    },
    /// Nobody could say yet which version the channel is.
    ChannelUnresolved {
        /// `stable`, `daily` or `beta`.
        channel: String,
    },
    /// No node can take the agent.
    NodeNeeded {
        /// Nodes that are known but silent.
        silent: usize,
    },
    /// The node's warden is not heard.
    NodeSilent {
        /// Its name.
        node: String,
    },
    /// Deleted; the state is kept until then.
    StateKept {
        /// When it goes for good.
        until: Timestamp,
    },
    /// The state of a deleted agent is being removed.
    StateToRemove,
    /// The warden has not looked at the agent yet.
    ToBeSeen,
    /// The warden does not know yet what the server wants.
    ServerToBeHeard,
    /// The release is on its way.
    ReleaseToInstall {
        /// The OpenClaw version.
        release: String,
        /// What is being done.
        step: String,
        /// 0 to 1000.
        permille: u16,
    },
    /// The release could not be installed.
    ReleaseFailed {
        /// The OpenClaw version.
        release: String,
        /// Cause and cure.
        message: String,
        /// When it is tried again.
        until: Timestamp,
    },
    /// The config is being rendered and checked against the release's schema.
    ConfigToCheck {
        /// The revision's number.
        revision: u64,
    },
    /// The release refuses the config; what runs stays.
    ConfigRefused {
        /// The revision's number.
        revision: u64,
        /// The release that refuses it.
        release: String,
        /// Each key that it refuses, and why.
        issues: Vec<Issue>,
    },
    /// The config could not even be rendered.
    ConfigImpossible {
        /// The revision's number.
        revision: u64,
        /// Cause and cure.
        message: String,
        /// When it is tried again.
        until: Timestamp,
    },
    /// The keeper is being started.
    KeeperToLaunch,
    /// Something that should have worked on this node did not.
    NodeTrouble {
        /// Cause and cure.
        message: String,
        /// When it is tried again.
        until: Timestamp,
    },
    /// Somebody else holds the agent's state; it is started nowhere else until that one lets go.
    HolderToLetGo {
        /// Who, as far as can be seen.
        holder: String,
    },
    /// The gateway has been started and is not ready yet.
    GatewayToStart {
        /// When creel gives up on this start.
        until: Timestamp,
    },
    /// The gateway is draining.
    GatewayToStop {
        /// When it is killed.
        until: Timestamp,
    },
    /// The gateway was killed and the kernel has not let go of it yet; its state is started nowhere else until then.
    GatewayToDie,
    /// The gateway ended; what it left behind is being cleared away.
    TreeToClear,
    /// The gateway ended too often too soon; the next start has to wait.
    BackOff {
        /// Bad ends in a row.
        ends: u32,
        /// When the next start is made.
        until: Timestamp,
    },
    /// It ended too often; creel has stopped trying.
    GivenUp {
        /// Bad ends in a row.
        ends: u32,
        /// How the last one looked.
        last: String,
    },
}

impl Waiting {
    /// In one CamelCase word, stable for scripts.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::SecretMissing { .. } => "SecretMissing",
            Self::ChannelUnresolved { .. } => "ChannelUnresolved",
            Self::NodeNeeded { .. } => "NodeNeeded",
            Self::NodeSilent { .. } => "NodeSilent",
            Self::StateKept { .. } => "StateKept",
            Self::StateToRemove => "StateToRemove",
            Self::ToBeSeen => "ToBeSeen",
            Self::ServerToBeHeard => "ServerToBeHeard",
            Self::ReleaseToInstall { .. } => "ReleaseToInstall",
            Self::ReleaseFailed { .. } => "ReleaseFailed",
            Self::ConfigToCheck { .. } => "ConfigToCheck",
            Self::ConfigRefused { .. } => "ConfigRefused",
            Self::ConfigImpossible { .. } => "ConfigImpossible",
            Self::KeeperToLaunch => "KeeperToLaunch",
            Self::NodeTrouble { .. } => "NodeTrouble",
            Self::HolderToLetGo { .. } => "HolderToLetGo",
            Self::GatewayToStart { .. } => "GatewayToStart",
            Self::GatewayToStop { .. } => "GatewayToStop",
            Self::GatewayToDie => "GatewayToDie",
            Self::TreeToClear => "TreeToClear",
            Self::BackOff { .. } => "BackOff",
            Self::GivenUp { .. } => "GivenUp",
        }
    }

    /// In a sentence, with the cure where there is one.
    pub fn sentence(&self) -> String {
        match self {
            Self::SecretMissing { secret, path } => format!(
                "the secret `{secret}` (for {path}) does not exist in this tenant; set it with `creel secret set {secret}`"
            ),
            Self::ChannelUnresolved { channel } => format!(
                "it is not known yet which version `{channel}` is; creel asks the npm registry (`creel release list` shows how that went)"
            ),
            Self::NodeNeeded { silent: 0 } => "there is no node yet; a warden joins with `creel up`".into(),
            Self::NodeNeeded { silent } => format!("no node can take it: {silent} known, none heard lately"),
            Self::NodeSilent { node } => {
                format!("the warden of node {node} is not heard; what is shown is what it said last")
            }
            Self::StateKept { .. } => {
                "deleted; its state is kept for now, `creel undelete` brings it back".into()
            }
            Self::StateToRemove => "its state is being removed for good".into(),
            Self::ToBeSeen => "its warden has not looked at it yet".into(),
            Self::ServerToBeHeard => "its warden has not heard from the server yet what is wanted".into(),
            Self::ReleaseToInstall { release, step, permille } => {
                format!("release {release} is being installed: {step}, {} %", permille / 10)
            }
            Self::ReleaseFailed { release, message, .. } => {
                format!("release {release} could not be installed: {message}")
            }
            Self::ConfigToCheck { revision } => format!("the config of revision {revision} is being checked"),
            Self::ConfigRefused { revision, release, issues } => refused(*revision, release, issues),
            Self::ConfigImpossible { revision, message, .. } => {
                format!("the config of revision {revision} can't be made: {message}")
            }
            Self::KeeperToLaunch => "its keeper is being started".into(),
            Self::NodeTrouble { message, .. } => message.clone(),
            Self::HolderToLetGo { holder } => {
                format!("its state is held by {holder}, which has to end first")
            }
            Self::GatewayToStart { .. } => "the gateway has been started and is not ready yet".into(),
            Self::GatewayToStop { .. } => "the gateway finishes what it is doing before it stops".into(),
            Self::GatewayToDie => "the gateway was killed, and the kernel has not let go of it yet".into(),
            Self::TreeToClear => "the gateway ended; what it left behind is being cleared away".into(),
            Self::BackOff { ends, .. } => {
                format!("the gateway ended {ends} times soon after its start; the next start waits")
            }
            Self::GivenUp { ends, last } => format!(
                "the gateway ended {ends} times soon after its start (last: {last}); see `creel logs`, then `creel restart`"
            ),
        }
    }

    /// When it ends by itself, if it does.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::StateKept { until }
            | Self::ReleaseFailed { until, .. }
            | Self::ConfigImpossible { until, .. }
            | Self::NodeTrouble { until, .. }
            | Self::GatewayToStart { until }
            | Self::GatewayToStop { until }
            | Self::BackOff { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// As the API shows it.
    pub fn view(&self) -> WaitingView {
        WaitingView { reason: self.reason().into(), message: self.sentence(), until: self.until() }
    }
}

fn refused(revision: u64, release: &str, issues: &[Issue]) -> String {
    let faults: Vec<String> =
        issues.iter().map(|issue| format!("{}: {}", issue.path, issue.message)).collect();
    format!("OpenClaw {release} refuses the config of revision {revision}: {}", faults.join("; "))
}
