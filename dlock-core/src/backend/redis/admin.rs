//! Looking at the locks of Redis from outside.

use super::backend::{Kept, RedisBackend};
use super::recipe::queue::Queue;
use super::redlock::RedlockBackend;
use crate::backend::{
    Admin, BackendFuture, Claim, ForcedRelease, Inspection, ListCursor, LockPage, Reopening,
};
use crate::error::{ErrorKind, LockError};
use crate::key::LockKey;
use crate::lease::FencingToken;

impl RedisBackend {
    /// The locks, if they are kept in a way that shows who has them.
    fn queue(&self) -> Result<&Queue, LockError> {
        match self.kept() {
            Kept::Queue(queue) => Ok(queue),
            Kept::Plain(_) => Err(unsupported(
                "Recipe::Plain keeps no queue that could be looked at; use Recipe::Fair or Recipe::Barging, or read the key \
                 with GET and PTTL",
            )),
            Kept::Timestamp(_) => Err(unsupported(
                "Recipe::Timestamp does not keep who has a lock; use Recipe::Fair, or read the end of its lease with GET",
            )),
        }
    }
}

impl Admin for RedisBackend {
    fn inspect<'a>(&'a self, key: &'a LockKey, asker: Option<&'a Claim>) -> BackendFuture<'a, Inspection> {
        Box::pin(async move {
            let seen = self.queue()?.inspect(key, asker).await;
            seen.map_err(|error| self.at_server(error))
        })
    }

    fn list<'a>(&'a self, prefix: &'a [u8], from: Option<&'a ListCursor>) -> BackendFuture<'a, LockPage> {
        Box::pin(async move {
            let page = self.queue()?.list(prefix, from).await;
            page.map_err(|error| self.at_server(error))
        })
    }

    fn force_release<'a>(
        &'a self,
        key: &'a LockKey,
        token: FencingToken,
        reopening: Reopening,
    ) -> BackendFuture<'a, ForcedRelease> {
        Box::pin(async move {
            let forced = self.queue()?.force_release(key, token, reopening).await;
            forced.map_err(|error| self.at_server(error))
        })
    }
}

impl Admin for RedlockBackend {
    fn inspect<'a>(&'a self, _: &'a LockKey, _: Option<&'a Claim>) -> BackendFuture<'a, Inspection> {
        Box::pin(std::future::ready(Err(unsupported(MAJORITY))))
    }

    fn list<'a>(&'a self, _: &'a [u8], _: Option<&'a ListCursor>) -> BackendFuture<'a, LockPage> {
        Box::pin(std::future::ready(Err(unsupported(MAJORITY))))
    }

    fn force_release<'a>(
        &'a self,
        _: &'a LockKey,
        _: FencingToken,
        _: Reopening,
    ) -> BackendFuture<'a, ForcedRelease> {
        Box::pin(std::future::ready(Err(unsupported(MAJORITY))))
    }
}

const MAJORITY: &str =
    "no one of several independent servers knows who has a lock; look at each by a RedisBackend of its own";

fn unsupported(detail: &'static str) -> LockError {
    LockError::new(ErrorKind::Unsupported, detail)
}
