//! The hand-over of dlock-core over the locks of shuttle, whose scheduler decides at each of them which task goes on, and
//! over a clock that stands still until it is moved.
//!
//! The modules are dlock-core's own files; `parking_lot` is shuttle's here, and [`time`] and [`keeper`] this crate's. What the check
//! itself waits by is Tokio's `Notify`: each of its calls is one step.

// The tests in these files are run where they belong.
#![cfg(not(test))]
#![allow(
    dead_code,
    unexpected_cfgs,
    unreachable_pub,
    unused_imports,
    reason = "a part of dlock-core is used"
)]

#[path = "../../../dlock-core/src/acquisition.rs"]
pub mod acquisition;
pub mod backend;
#[path = "../../../dlock-core/src/error.rs"]
pub mod error;
#[path = "../../../dlock-core/src/guarantees.rs"]
pub mod guarantees;
mod guard;
pub mod keeper;
#[path = "../../../dlock-core/src/key/mod.rs"]
pub mod key;
#[path = "../../../dlock-core/src/label/mod.rs"]
pub mod label;
mod layers;
#[path = "../../../dlock-core/src/lease/mod.rs"]
pub mod lease;
mod owner;
#[path = "../../../dlock-core/src/release.rs"]
mod release;
mod store;
pub mod time;

pub use guard::{Guard, Ledger};
pub use layers::{FLAWED, Open, SOUND, Shell};
pub use owner::{Asked, Owner};
pub use store::Store;
