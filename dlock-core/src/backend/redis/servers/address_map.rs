//! Reaches servers that announce addresses of another network.

use super::address::Address;
use crate::error::{ErrorKind, LockError};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

type MapAddress = dyn Fn(&str, u16) -> (String, u16) + Send + Sync;

/// From what servers announce to where they are reached. By default the same.
#[derive(Clone, Default)]
pub(crate) struct AddressMap(Option<Arc<MapAddress>>);

impl AddressMap {
    /// The map is code of others.
    pub(crate) fn new(map: impl Fn(&str, u16) -> (String, u16) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(map)))
    }

    /// Where the server is reached that announces this address.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] if the map panics, or names no host.
    pub(super) fn reach(&self, announced: &Address) -> Result<Address, LockError> {
        let Some(map) = &self.0 else { return Ok(announced.clone()) };
        let (host, port) = catch_unwind(AssertUnwindSafe(|| map(&announced.host, announced.port)))
            .map_err(|_| unmapped(announced, "panicked; the panic's own message says where"))?;
        Address::of(&host, port).ok_or_else(|| unmapped(announced, "names no host"))
    }
}

fn unmapped(announced: &Address, trouble: &str) -> LockError {
    let detail = format!("the address_map of the builder, given {announced}, {trouble}");
    LockError::new(ErrorKind::InvalidOption, detail)
}

impl fmt::Debug for AddressMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "mapped" } else { "as announced" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> Address {
        Address::of(host, port).unwrap()
    }

    #[test]
    fn a_server_is_reached_where_the_map_says() {
        let announced = address("10.0.0.5", 7001);
        assert_eq!(AddressMap::default().reach(&announced).unwrap(), announced);
        let map = AddressMap::new(|host, port| (format!("[{host}]"), port + 1));
        assert_eq!(map.reach(&address("::1", 7001)).unwrap(), address("::1", 7002));
    }

    #[test]
    fn a_map_that_panics_or_names_no_host_is_an_error_that_names_the_address() {
        let panics = AddressMap::new(|_, _| panic!("on purpose"));
        let nowhere = AddressMap::new(|_, port| (String::new(), port));
        for map in [panics, nowhere] {
            let error = map.reach(&address("10.0.0.5", 7001)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidOption);
            assert!(error.to_string().contains("10.0.0.5:7001"), "{error}");
        }
    }
}
