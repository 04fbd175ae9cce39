//! The local layer as it is, and broken.

use crate::backend::Backend;
use crate::keeper::Background;
use std::sync::Arc;
use std::time::Duration;

/// A local layer over a backend: what a process has.
pub trait Shell: Backend {
    /// Whether nothing is kept of any key or owner.
    fn is_clean(&self) -> bool;
}

/// Puts a local layer over the backend. It hands over to this many holders, and for this long.
pub type Open = fn(Arc<dyn Backend>, u32, Duration, Background) -> Arc<dyn Shell>;

macro_rules! layer {
    ($name:ident) => {
        |backend, max, within, background| {
            Arc::new($name::HandOverBackend::new(backend, $name::HandOver::new(max, within), background))
        }
    };
}

macro_rules! flawed {
    [$($flaw:expr,)+] => {
        /// Layers that are broken at one place, by what is wrong, each with the scenario that notices it.
        pub const FLAWED: &[(&str, &str, Open)] = &[$($flaw),+];
    };
}

/// As in dlock-core.
pub const SOUND: Open = layer!(sound);

include!(concat!(env!("OUT_DIR"), "/layers.rs"));
