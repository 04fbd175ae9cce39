//! Where the servers are at the moment.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// The servers' addresses, shared by the fleet that changes them and the crowd that reads them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses(Arc<RwLock<Vec<SocketAddr>>>);

impl Addresses {
    /// One of the servers; another for the next `turn`.
    pub(crate) fn pick(&self, turn: usize) -> Option<SocketAddr> {
        let addresses = self.0.read().unwrap_or_else(PoisonError::into_inner);
        addresses.get(turn % addresses.len().max(1)).copied()
    }

    /// Replaces all addresses.
    pub(crate) fn set(&self, addresses: Vec<SocketAddr>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_is_another_servers_and_none_if_there_is_none() {
        let addresses = Addresses::default();
        assert_eq!(addresses.pick(3), None);
        let (one, other) = (SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([127, 0, 0, 1], 2)));
        addresses.set(vec![one, other]);
        assert_eq!([0, 1, 2].map(|turn| addresses.pick(turn)), [Some(one), Some(other), Some(one)]);
    }
}
