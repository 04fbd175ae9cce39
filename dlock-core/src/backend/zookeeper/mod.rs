//! Locks in ZooKeeper.
use super::{AcquireRequest, Backend, BackendFuture, Claim, Grant};
use crate::error::{ErrorKind, LockError};
use crate::time::Moment;

/// x
#[derive(Debug, Clone)]
pub struct ZooKeeperBackend;
/// x
#[derive(Debug, Clone)]
pub struct ZooKeeperBackendBuilder;
impl ZooKeeperBackend {
    /// x
    pub fn builder() -> ZooKeeperBackendBuilder { ZooKeeperBackendBuilder }
}
impl ZooKeeperBackendBuilder {
    /// x
    pub fn url(self, _: &str) -> Self { self }
    /// x
    pub async fn build(self) -> Result<ZooKeeperBackend, LockError> { Err(LockError::new(ErrorKind::Unsupported, "")) }
}
impl Backend for ZooKeeperBackend {
    fn name(&self) -> &'static str { "zookeeper" }
    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(async move { Err(request.claim.error(crate::Operation::Acquire, ErrorKind::Unsupported, "")) })
    }
    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async move { Err(claim.error(crate::Operation::Acquire, ErrorKind::Unsupported, "")) })
    }
    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(async move { Err(claim.error(crate::Operation::Acquire, ErrorKind::Unsupported, "")) })
    }
}
