//! The one clock. Nothing else in the crate reads a clock or names one.
//!
//! Leases are measured on a clock that also runs while the machine sleeps (I3): `std::time::Instant` stands
//! still in a suspended machine on Linux (rust-lang/rust#87906), and a lease that stood still with it would
//! look valid long after the backend gave the lock away.

mod backoff;
mod clock;
mod moment;
mod sleep;
mod sleeping;
mod system;
mod test_clock;
mod timers;

pub(crate) use backoff::Backoff;
#[cfg(any(feature = "redis", feature = "zookeeper"))]
pub(crate) use backoff::jittered;
#[cfg(feature = "redis")]
pub(crate) use sleep::before;
pub(crate) use sleep::sleep;
#[cfg(feature = "zookeeper")]
pub(crate) use sleep::within;
pub(crate) use sleeping::Sleeping;
pub(crate) use system::unix_time;
#[cfg(feature = "redis")]
pub(crate) use timers::KeeperTimer;

pub use clock::Clock;
pub use moment::Moment;
pub use sleep::sleep_until;
pub use test_clock::TestClock;
