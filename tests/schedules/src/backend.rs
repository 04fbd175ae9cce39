//! The seam of dlock-core, without its backends.

#[path = "../../../dlock-core/src/backend/admin.rs"]
pub(crate) mod admin;
#[path = "../../../dlock-core/src/backend/answers.rs"]
pub(crate) mod answers;
#[path = "../../../dlock-core/src/backend/claim.rs"]
mod claim;
#[path = "../../../dlock-core/src/backend/contract.rs"]
mod contract;
#[path = "../../../dlock-core/src/backend/expiring_map.rs"]
pub(crate) mod expiring_map;
#[path = "../../../dlock-core/src/backend/forcing.rs"]
mod forcing;
#[path = "../../../dlock-core/src/backend/grant.rs"]
mod grant;
#[path = "../../../dlock-core/src/backend/inspection.rs"]
mod inspection;
#[path = "../../../dlock-core/src/backend/listing.rs"]
mod listing;
#[path = "../../../dlock-core/src/backend/progress.rs"]
mod progress;
#[path = "../../../dlock-core/src/backend/request.rs"]
mod request;
#[path = "../../../dlock-core/src/backend/share.rs"]
mod share;

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
