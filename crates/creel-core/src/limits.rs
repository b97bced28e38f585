//! The numbers that decisions go by, each with where it comes from.

/// How long a deleted agent's state is kept, so that the deletion can be taken back: seven days.
pub const DELETED_KEPT_MS: i64 = 7 * 24 * 3_600_000;

/// Revisions kept of each agent. Enough to see a week of daily releases and edits; each is a few KB.
pub const REVISIONS_KEPT: usize = 20;

/// A node whose warden was not heard for this long is shown as silent. A warden reports at least every 10 s.
pub const NODE_LEASE_MS: i64 = 30_000;

/// An agent's memory limit if its spec names none: OpenClaw peaks at 1.07 GB after turns, its docs recommend 2 GB.
pub const MEMORY_BYTES: u64 = 2 << 30;

/// An agent's limit of processes and threads if its spec names none; the default of upstream's own fleet.
pub const PIDS: u32 = 512;

/// An agent's log on disk if its spec names no limit.
pub const LOG_BYTES: u64 = 50 << 20;

/// An agent's priority if its spec names none.
pub const PRIORITY: u16 = 100;

/// A gateway that showed no start for this long is ended and started again. One alone takes 8 s, 31 s on a busy machine; a
/// start costs 9 CPU-seconds, so thirty at once on two cores take 135 s, and slow is not dead.
pub const START_MS: i64 = 300_000;

/// What a gateway gets to drain after SIGTERM before it is killed; a killed turn is resumed at the next start.
pub const STOP_MS: i64 = 30_000;

/// A gateway that ran this long made a good start: its back-off begins anew.
pub const SETTLE_MS: i64 = 60_000;

/// The pause before the first restart after a gateway's own end. A crash of a good gateway is answered at once.
pub const BACKOFF_FIRST_MS: i64 = 1_000;

/// The longest pause between two starts.
pub const BACKOFF_MOST_MS: i64 = 300_000;

/// Starts in a row without a good one, after which the agent rests in `Failed`.
pub const STARTS_IN_A_ROW: u32 = 8;

/// The same for a gateway that refuses its config or its state: a second try is for what was only being written.
pub const REFUSALS_IN_A_ROW: u32 = 2;

/// Ports of two agents on the shared network are this far apart: OpenClaw derives ports up to base + 110.
pub const PORT_STRIDE: u16 = 120;

/// The first port given out on the shared network.
pub const PORT_FIRST: u16 = 19_100;
