//! The seam between the locks and the servers that keep them.
//!
//! A backend answers three requests about one acquisition: acquire, renew, release. Everything else (options,
//! deadlines, guards, when to renew, undoing what a dropped future may have left) is done once, above it.
//! `testing::conformance` (feature `testing`) holds one test per promise made here.

pub(crate) mod admin;
pub(crate) mod answers;
pub(crate) mod bell;
mod claim;
mod contract;
pub(crate) mod durations;
pub mod embedded;
pub(crate) mod expiring_map;
mod forcing;
#[cfg(any(feature = "redis", feature = "zookeeper"))]
pub(crate) mod gather;
mod grant;
mod inspection;
pub(crate) mod listing;
pub(crate) mod prefixed;
mod progress;
#[cfg(feature = "redis")]
pub mod redis;
mod request;
mod share;
#[cfg(any(feature = "redis", feature = "zookeeper"))]
pub(crate) mod single_attempt;
#[cfg(any(feature = "redis", feature = "zookeeper"))]
pub(crate) mod start;
pub(crate) mod token_floor;
pub(crate) mod url_options;
pub(crate) mod wakeups;
#[cfg(feature = "zookeeper")]
pub mod zookeeper;

pub use answers::without_shares;
pub use claim::Claim;
pub use contract::{Admin, Backend, BackendFuture, RevokedFuture};
pub use forcing::{ForcedRelease, Reopening};
pub use grant::Grant;
pub use inspection::{ClientKind, HolderView, Inspection, WaiterView};
pub use listing::{ListCursor, ListedLock, LockPage};
pub use progress::Progress;
pub use request::{AcquireRequest, LossSignal, Mode};
pub use share::Share;
