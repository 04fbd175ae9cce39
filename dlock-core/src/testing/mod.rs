//! For authors of backends: the conformance suite and its parts.
//!
//! Exempt from semver. Every promise of [`Backend`](crate::Backend) has a case of its own; a backend runs them
//! all with [`conformance_suite!`](crate::conformance_suite). [`flawed`] holds deliberately broken backends,
//! which show that the suite notices.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "these are tests: a broken promise must panic"
)]

pub mod conformance;
pub mod fixture;
pub mod flawed;
pub mod shares;
pub mod tap;

pub use fixture::Fixture;
pub use tap::Tap;
