//! Every decision of creel, as pure functions: no I/O, no clock, no chance, no logging, and no `Result` from
//! deciding. Time comes in as an argument, maps are ordered, and `clippy.toml` beside this crate keeps it so.
//!
//! [`fleet::plan`] decides for the whole fleet from the [`world::World`] and what is observed of it;
//! [`unit::plan`] decides for one agent as its warden sees it. Both obey one law: a plan carried out leaves nothing to decide.

pub mod fleet;
pub mod limits;
pub mod place;
pub mod port;
pub mod spec;
pub mod status;
pub mod unit;
pub mod waiting;
pub mod world;
