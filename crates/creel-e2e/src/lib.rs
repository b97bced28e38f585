//! What the end-to-end tests stand on: the real program on a data folder of its own, releases that are stubs, and
//! waiting for a level with a deadline. Nothing here outlives its test: whatever was started is ended by its pid, and
//! everything that was written lies in one scratch folder.

mod agent;
mod creel;
mod process;
mod program;
mod release;
mod talk;
mod wait;

pub use crate::agent::{pid_of, restarts_of, stub_agent, tells, text};
pub use crate::creel::Creel;
pub use crate::process::{Process, kill, processes_of, runs};
pub use crate::program::{Ran, beside, run};
pub use crate::release::{STUB_RELEASE, add_real_release, add_stub_release};
pub use crate::talk::Talk;
pub use crate::wait::{DEADLINE, until};
