//! The seam of dlock-core, without its backends.

#[path = "../../../dlock-core/src/backend/answers.rs"]
pub(crate) mod answers;
#[path = "../../../dlock-core/src/backend/claim.rs"]
mod claim;
#[path = "../../../dlock-core/src/backend/contract.rs"]
mod contract;
#[path = "../../../dlock-core/src/backend/expiring_map.rs"]
pub(crate) mod expiring_map;
#[path = "../../../dlock-core/src/backend/grant.rs"]
mod grant;
#[path = "../../../dlock-core/src/backend/progress.rs"]
mod progress;
#[path = "../../../dlock-core/src/backend/request.rs"]
mod request;

pub use claim::Claim;
pub use contract::{Backend, BackendFuture, RevokedFuture};
pub use grant::Grant;
pub use progress::Progress;
pub use request::{AcquireRequest, LossSignal, Mode};
