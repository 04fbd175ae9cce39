//! The database that the locks protect: orders, payments and charges in SQLite.
//!
//! Reading and writing are separate statements. Each order keeps the newest fencing token that read or wrote it, and
//! an older one is refused. The read counts too: a late write of an earlier holder must not land between the read and
//! the write of the present one.

use dlock_core::FencingToken;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Order {
    pub(crate) id: u32,
    pub(crate) address: String,
    pub(crate) parcels: u32,
    /// What was charged for it.
    pub(crate) paid_cents: u32,
}

/// What is to be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub(crate) order: u32,
    pub(crate) cents: u32,
}

/// A holder with a greater token, or the same payment, was here before; nothing is changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stale;

/// The shop. Clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct Shop(Arc<Mutex<Connection>>);

impl Shop {
    /// Opens the file, or a database in memory, and makes the tables if they are not there.
    pub(crate) fn open(path: Option<&Path>) -> rusqlite::Result<Self> {
        let connection = match path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// The order as it is, for a reader that will not write it. An order that was never written is empty.
    pub(crate) async fn order(&self, id: u32) -> anyhow::Result<Order> {
        let found = self.call(move |db| db.query_row(SELECT_ORDER, [id], order).optional()).await?;
        Ok(found.unwrap_or(Order { id, ..Order::default() }))
    }

    /// The order, for the holder of its lock: from now on an older token is refused.
    pub(crate) async fn read(&self, id: u32, token: FencingToken) -> anyhow::Result<Result<Order, Stale>> {
        let fence = fence(token)?;
        let raised = self.call(move |db| db.execute(RAISE_FENCE, params![id, fence])).await?;
        if raised == 0 {
            return Ok(Err(Stale));
        }
        self.order(id).await.map(Ok)
    }

    /// Replaces the order, unless the writer's lock has a newer holder.
    pub(crate) async fn write(&self, order: Order, token: FencingToken) -> anyhow::Result<Result<(), Stale>> {
        let (Order { id, address, parcels, .. }, fence) = (order, fence(token)?);
        let update = move |db: &Connection| db.execute(UPDATE_ORDER, params![id, address, parcels, fence]);
        Ok(if self.call(update).await? == 0 { Err(Stale) } else { Ok(()) })
    }

    /// At most `most` orders whose number is greater than `after`.
    pub(crate) async fn orders_after(&self, after: u32, most: u32) -> anyhow::Result<Vec<Order>> {
        self.call(move |db| db.prepare(SELECT_PAGE)?.query_map([after, most], order)?.collect()).await
    }

    /// What was paid with this idempotency key.
    pub(crate) async fn payment(&self, key: &str) -> anyhow::Result<Option<Payment>> {
        let key = key.to_owned();
        self.call(move |db| db.query_row(SELECT_PAYMENT, [key], payment).optional()).await
    }

    /// Charges the customer. This may be done as often as it is asked for: whose money it is does not know of keys.
    pub(crate) async fn charge(&self, payment: Payment) -> anyhow::Result<()> {
        self.call(move |db| db.execute(INSERT_CHARGE, [payment.order, payment.cents])).await.map(drop)
    }

    /// Notes what was paid with this idempotency key. The key is unique, which takes the place of a fence.
    pub(crate) async fn note(&self, key: &str, payment: Payment) -> anyhow::Result<Result<(), Stale>> {
        let key = key.to_owned();
        let noted =
            self.call(move |db| db.execute(INSERT_PAYMENT, params![key, payment.order, payment.cents]));
        Ok(if noted.await? == 0 { Err(Stale) } else { Ok(()) })
    }

    /// SQLite blocks, and a worker of the runtime must not.
    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let connection = Arc::clone(&self.0);
        let called = move || call(&connection.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(tokio::task::spawn_blocking(called).await??)
    }
}

/// SQLite's numbers are signed. No backend gives out a token that is greater than they can be.
fn fence(token: FencingToken) -> anyhow::Result<i64> {
    Ok(i64::try_from(token.as_u64())?)
}

fn order(row: &Row<'_>) -> rusqlite::Result<Order> {
    Ok(Order { id: row.get(0)?, address: row.get(1)?, parcels: row.get(2)?, paid_cents: row.get(3)? })
}

fn payment(row: &Row<'_>) -> rusqlite::Result<Payment> {
    Ok(Payment { order: row.get(0)?, cents: row.get(1)? })
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS orders (
        id      INTEGER PRIMARY KEY,
        address TEXT    NOT NULL DEFAULT '',
        parcels INTEGER NOT NULL DEFAULT 0,
        newest  INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS payments (
        idempotency_key TEXT PRIMARY KEY,
        order_id        INTEGER NOT NULL,
        cents           INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS charges (
        order_id INTEGER NOT NULL,
        cents    INTEGER NOT NULL
    );
";
const SELECT_ORDER: &str = "
    SELECT id, address, parcels, (SELECT coalesce(sum(cents), 0) FROM charges WHERE order_id = id)
    FROM orders WHERE id = ?1";
const SELECT_PAGE: &str = "
    SELECT id, address, parcels, (SELECT coalesce(sum(cents), 0) FROM charges WHERE order_id = id)
    FROM orders WHERE id > ?1 ORDER BY id LIMIT ?2";
const RAISE_FENCE: &str = "
    INSERT INTO orders (id, newest) VALUES (?1, ?2)
    ON CONFLICT (id) DO UPDATE SET newest = excluded.newest WHERE newest <= excluded.newest";
const UPDATE_ORDER: &str =
    "UPDATE orders SET address = ?2, parcels = ?3, newest = ?4 WHERE id = ?1 AND newest <= ?4";
const SELECT_PAYMENT: &str = "SELECT order_id, cents FROM payments WHERE idempotency_key = ?1";
const INSERT_PAYMENT: &str = "
    INSERT INTO payments (idempotency_key, order_id, cents) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
const INSERT_CHARGE: &str = "INSERT INTO charges (order_id, cents) VALUES (?1, ?2)";

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u64) -> FencingToken {
        FencingToken::new(number)
    }

    #[tokio::test]
    async fn an_older_token_neither_writes_nor_reads() {
        let shop = Shop::open(None).unwrap();
        let order = |parcels| Order { id: 42, parcels, ..Order::default() };
        shop.read(42, token(6)).await.unwrap().unwrap();
        assert_eq!(shop.write(order(1), token(6)).await.unwrap(), Ok(()));
        assert_eq!(shop.read(42, token(7)).await.unwrap(), Ok(order(1)));
        assert_eq!(
            shop.write(order(9), token(6)).await.unwrap(),
            Err(Stale),
            "a newer holder has read since"
        );
        assert_eq!(shop.read(42, token(6)).await.unwrap(), Err(Stale));
        assert_eq!(shop.write(order(2), token(7)).await.unwrap(), Ok(()), "the same holder, again");
        assert_eq!(shop.order(42).await.unwrap(), order(2));
    }

    #[tokio::test]
    async fn a_payment_is_noted_once() {
        let shop = Shop::open(None).unwrap();
        let (first, second) = (Payment { order: 42, cents: 100 }, Payment { order: 42, cents: 7 });
        assert_eq!(shop.payment("a").await.unwrap(), None);
        assert_eq!(shop.note("a", first).await.unwrap(), Ok(()));
        assert_eq!(shop.note("a", second).await.unwrap(), Err(Stale));
        assert_eq!(shop.payment("a").await.unwrap(), Some(first));
    }

    #[tokio::test]
    async fn orders_come_in_pages() {
        let shop = Shop::open(None).unwrap();
        for id in [3, 1, 2] {
            shop.read(id, token(1)).await.unwrap().unwrap();
        }
        let ids = |orders: Vec<Order>| orders.iter().map(|order| order.id).collect::<Vec<_>>();
        assert_eq!(ids(shop.orders_after(0, 2).await.unwrap()), [1, 2]);
        assert_eq!(ids(shop.orders_after(2, 2).await.unwrap()), [3]);
    }
}
