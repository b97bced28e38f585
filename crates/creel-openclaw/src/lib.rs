//! Everything creel knows about OpenClaw: its versions, config, schema, health contract, chat API, exits, and how a
//! gateway is launched.
//!
//! OpenClaw is upstream's and changes daily, so no other crate may know any of this. Nearly all of it is pure; only
//! [`handoff`] reads files, and it reads a private copy, never a live state.

pub mod chat;
pub mod config;
pub mod exit;
pub mod handoff;
pub mod health;
pub mod launch;
pub mod paths;
pub mod provider;
pub mod schema;
pub mod version;

pub use chat::session_key;
