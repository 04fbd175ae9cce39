//! A lease: its length, its fencing token, its local deadline.

mod age;
mod loss;
mod max_hold;
mod owner;
mod state;
mod token;
mod ttl;
mod view;

pub(crate) use max_hold::MaxHold;
pub(crate) use state::{Doubt, LeaseObserver, LeaseState};

pub use loss::{GuardState, LossReason};
pub use owner::OwnerId;
pub use token::FencingToken;
pub use ttl::Ttl;
pub use view::Lease;
