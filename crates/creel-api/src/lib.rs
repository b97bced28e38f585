//! Every type that crosses a wire: manifests and answers of the API, what server and warden say to each
//! other, and what warden, spawner and keeper say to each other.
//!
//! There is no behaviour here beyond parsing and printing: a type that decides belongs in `creel-core`. Times are
//! RFC 3339, sizes are bytes (`…Bytes`), spans are milliseconds (`…Ms`), keys are camelCase.

pub mod keeper;

#[cfg(feature = "full")]
pub mod agent;
#[cfg(feature = "full")]
pub mod apply;
#[cfg(feature = "full")]
pub mod chat;
#[cfg(feature = "full")]
pub mod event;
#[cfg(feature = "full")]
pub mod meta;
#[cfg(feature = "full")]
pub mod node;
#[cfg(feature = "full")]
pub mod problem;
#[cfg(feature = "full")]
pub mod release;
#[cfg(feature = "full")]
pub mod secret;
#[cfg(feature = "full")]
pub mod tenant;

/// The one version of manifests and answers.
pub const API_VERSION: &str = "creel.dev/v1";
