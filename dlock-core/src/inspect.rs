//! Looking at locks from outside.

use crate::backend::{Inspection, ListCursor, ListedLock, LockPage, admin};
use crate::error::{LockError, Operation};
use crate::key::LockKey;
use crate::manager::LockManager;
use futures_util::Stream;
use futures_util::stream::try_unfold;

impl LockManager {
    /// Shows the holders and the waiters of the lock on `key`, with their labels. It never shows the ids of owners, by
    /// which a lock could be released.
    ///
    /// It shows one moment, and changes nothing. Do not use it to decide whether to acquire: just acquire.
    ///
    /// # Errors
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): the backend does not store the holder. That is so with a
    ///   majority of Redis servers, and with `Recipe::Plain` and `Recipe::Timestamp`. The text says how to look there.
    /// - [`Unavailable`](crate::ErrorKind::Unavailable): the backend did not answer.
    /// - [`InvalidKey`](crate::ErrorKind::InvalidKey), [`Auth`](crate::ErrorKind::Auth),
    ///   [`Corrupt`](crate::ErrorKind::Corrupt): as for a lock.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = dlock_core::LockManager::connect("memory:?label=worker-7").await?;
    /// let guard = locks.lock("order:42").await?;
    ///
    /// let seen = locks.inspect("order:42").await?;
    /// let holder = &seen.holders[0];
    /// assert_eq!(holder.label.as_ref().map(|label| label.as_str()), Some("worker-7"));
    /// assert!(holder.has_token(guard.token()));
    /// assert!(seen.waiters.is_empty());
    ///
    /// guard.release().await?;
    /// assert!(locks.inspect("order:42").await?.is_free());
    /// # Ok(()) }
    /// ```
    pub async fn inspect<K>(&self, key: K) -> Result<Inspection, LockError>
    where
        K: TryInto<LockKey>,
        K::Error: Into<LockError>,
    {
        let key = key.try_into().map_err(|error| error.into().with_operation(Operation::Inspect))?;
        self.shared().inspect(&key).await
    }

    /// The locks that are held and whose keys begin with `prefix`, page by page: all of the manager's namespace for `""`.
    ///
    /// It is a walk, and not a snapshot. A lock that is held all the time is listed; one that comes or goes meanwhile
    /// may be. On Redis it is a `SCAN` of each primary in turn, which may list a lock twice, and needs the right
    /// `+scan`. Locks of other libraries are not listed. Nothing is sent before the first page.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dlock_core::LockError> {
    /// let locks = dlock_core::LockManager::connect("memory:").await?;
    /// let _held = (locks.lock("order:42").await?, locks.lock("stock:7").await?);
    ///
    /// let (mut list, mut keys) = (locks.list("order:"), Vec::new());
    /// while let Some(page) = list.next_page().await? {
    ///     keys.extend(page.into_iter().map(|lock| lock.key.to_string()));
    /// }
    /// assert_eq!(keys, ["order:42"]);
    /// # Ok(()) }
    /// ```
    pub fn list(&self, prefix: impl AsRef<[u8]>) -> LockList {
        LockList { locks: self.clone(), prefix: prefix.as_ref().to_vec(), at: ListStage::Begin }
    }
}

/// A walk over the locks that are held. Made by [`LockManager::list`].
#[derive(Debug)]
#[must_use = "a list asks for nothing until a page is asked for"]
pub struct LockList {
    locks: LockManager,
    prefix: Vec<u8>,
    at: ListStage,
}

#[derive(Debug)]
enum ListStage {
    Begin,
    From(ListCursor),
    End,
}

impl LockList {
    /// The next page, which is never empty; `None` after the last one.
    ///
    /// # Errors
    /// As [`LockManager::inspect`]. The page can be asked for again.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the list where it was, or at a later page if the pages before that were empty.
    pub async fn next_page(&mut self) -> Result<Option<Vec<ListedLock>>, LockError> {
        loop {
            let from = match &self.at {
                ListStage::Begin => None,
                ListStage::From(cursor) => Some(cursor),
                ListStage::End => return Ok(None),
            };
            let LockPage { locks, next } = self.page(from).await?;
            self.at = next.map_or(ListStage::End, ListStage::From);
            if !locks.is_empty() {
                return Ok(Some(locks));
            }
        }
    }

    async fn page(&self, from: Option<&ListCursor>) -> Result<LockPage, LockError> {
        let backend = &self.locks.shared().backend;
        let page = match admin::of(&**backend) {
            Ok(admin) => admin.list(&self.prefix, from).await,
            Err(error) => Err(error),
        };
        page.map_err(|error| error.with_operation(Operation::List).with_backend(backend.name()))
    }

    /// The pages as a stream. It ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Vec<ListedLock>, LockError>> + Send {
        try_unfold(self, async |mut list| Ok(list.next_page().await?.map(|page| (page, list))))
    }
}
