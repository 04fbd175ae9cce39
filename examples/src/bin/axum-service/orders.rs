//! The store that the locks protect. It keeps each order's newest fencing token and refuses an older one.

use dlock_core::FencingToken;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// All orders, by number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders(Arc<Mutex<HashMap<u64, Order>>>);

/// One order.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Order {
    pub(crate) address: String,
    pub(crate) parcels: u32,
    /// The greatest token that wrote it.
    pub(crate) newest: u64,
}

/// A write that came too late: somebody with a greater token was here before.
#[derive(Debug)]
pub(crate) struct Stale;

impl Orders {
    pub(crate) fn read(&self, id: u64) -> Order {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned().unwrap_or_default()
    }

    /// Replaces the order, unless its writer's lock has gone to somebody else meanwhile.
    pub(crate) fn write(&self, id: u64, order: Order, token: FencingToken) -> Result<(), Stale> {
        let mut orders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = orders.get(&id).map_or(0, |before| before.newest);
        if token.as_u64() < newest {
            return Err(Stale);
        }
        orders.insert(id, Order { newest: token.as_u64(), ..order });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_token_is_refused() {
        let (orders, token) = (Orders::default(), FencingToken::new);
        let order = || Order { parcels: 1, ..Order::default() };
        assert!(orders.write(42, order(), token(7)).is_ok());
        assert!(orders.write(42, order(), token(7)).is_ok(), "the same holder, again");
        assert!(orders.write(42, Order::default(), token(6)).is_err());
        assert_eq!(orders.read(42).parcels, 1);
    }
}
