//! What must happen does not hang on the caller (I11): whatever becomes of the futures and runtimes that a caller has,
//! a held lock is renewed, a dropped one released, a wait that was given up undone, and a waiter served.
//!
//! Each test is run with every backend on which its trouble can happen, as a test of its own: `runtimes::NAME::redis`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

#[macro_use]
mod place;

mod blocking;
mod bounded;
mod callers;
mod closing;
mod contention;
mod losses;
mod offers;
mod reconnecting;
mod returning;
mod runtime;
mod runtimes;
mod test_clock;

use place::{Place, assert_free, assert_kept, queue_up};
use runtime::{driven, granted, home, kept, outlast, poll_once, soon, threaded};
use std::time::Duration;

/// A lease that ends soon if nothing is done for it.
const BRIEF: Duration = Duration::from_secs(1);
/// The longest that the servers of these tests grant: what is free before it is over was released.
const LONG: Duration = Duration::from_secs(60);
/// How long a condition is waited for. Much shorter than [`LONG`].
const LIMIT: Duration = Duration::from_secs(20);
