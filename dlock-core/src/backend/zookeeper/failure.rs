//! What a failed request means to the caller that asked for the lock.

use crate::error::{ErrorKind, LockError};

/// The error for `cause`. Only a final refusal of the server has another kind than [`ErrorKind::Unavailable`]. For
/// everything else it is unknown whether it was carried out (I5).
pub(super) fn classify(cause: zookeeper::Error) -> LockError {
    let (kind, detail) = meaning(&cause);
    LockError::new(kind, detail).with_source(cause)
}

fn meaning(cause: &zookeeper::Error) -> (ErrorKind, &'static str) {
    use zookeeper::Error;
    match cause {
        Error::NoAuth => (
            ErrorKind::Auth,
            "the access list of the lock's directory, or of a node in it, keeps this client out; check the user and the \
             password; the account needs the rights to create, read, write and delete in the root and the directory",
        ),
        Error::AuthFailed => (ErrorKind::Auth, "the server refused the credentials; check user and password"),
        Error::InvalidAcl => (
            ErrorKind::Auth,
            "the server refused the access list of a lock; check the user and the password, and the accounts that the \
             locks are shared with",
        ),
        Error::NoChildrenForEphemerals => (
            ErrorKind::Corrupt,
            "an ephemeral node stands in the place of the key's directory, perhaps a lock with Recipe::Simple; use one \
             recipe for one key, or another root",
        ),
        Error::Unimplemented => (
            ErrorKind::Unsupported,
            "the server does not know a request that locks need; use ZooKeeper 3.5 or newer",
        ),
        Error::BadArguments(_) | Error::MarshallingError => {
            (ErrorKind::Unsupported, "the server, or the client library, refused the form of a request")
        }
        Error::NoHosts => (
            ErrorKind::Unavailable,
            "no server took the connection; check that the hosts are right and a majority of the servers is up, and \
             with TLS the port and the certificates",
        ),
        Error::Timeout => (
            ErrorKind::Unavailable,
            "no answer in time; check the servers and the network, and try again later",
        ),
        _ => (ErrorKind::Unavailable, "the connection or the session failed the request; try again later"),
    }
}

/// The error for a lock's node that may not be removed.
pub(super) fn not_removable(cause: zookeeper::Error) -> LockError {
    let detail = "the lock's node may not be removed and stays until its session ends; give this client's account the \
                  rights to create, read, write and delete in the lock's directory";
    LockError::new(ErrorKind::Auth, detail).with_source(cause)
}

/// An error that passes.
pub(super) fn unavailable(detail: &'static str) -> LockError {
    LockError::new(ErrorKind::Unavailable, detail)
}

/// The owner has no grant.
pub(super) fn lost() -> LockError {
    LockError::new(ErrorKind::Lost, "the lock's node is gone or its session is over; acquire the lock again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_refused_for_good_may_pass() {
        for cause in [
            zookeeper::Error::ConnectionLoss,
            zookeeper::Error::Timeout,
            zookeeper::Error::NoHosts,
            zookeeper::Error::SessionExpired,
            zookeeper::Error::SessionMoved,
            zookeeper::Error::UnexpectedError("expect error state, got SyncConnected".to_owned()),
        ] {
            assert_eq!(classify(cause).kind(), ErrorKind::Unavailable);
        }
        assert_eq!(classify(zookeeper::Error::NoAuth).kind(), ErrorKind::Auth);
        assert_eq!(classify(zookeeper::Error::NoChildrenForEphemerals).kind(), ErrorKind::Corrupt);
    }
}
