//! The packets and the payments from them: a SQLite file, read and written in separate statements.
//!
//! A read followed by a write of what was computed from it is what any careless application does; between the
//! two another server may do the same, and one of the two payments is forgotten. The store cannot see that,
//! unless it is *fenced*: each read and write then carries the holder's fencing token, and one with a smaller
//! token than was seen before is refused. The read carries it too: a late write of an earlier holder must not
//! land between the read and the write of the present one.

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, params};
use std::path::Path;
use std::time::Duration;

/// An amount of money.
pub(crate) type Cents = i64;

/// What is left in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Balance {
    /// The money.
    pub(crate) cents: Cents,
    /// How many more grabs get some of it.
    pub(crate) shares: i64,
}

impl Balance {
    /// What is left after one share of `cents`.
    pub(crate) fn less(self, cents: Cents) -> Self {
        Self { cents: self.cents - cents, shares: self.shares - 1 }
    }
}

/// One grab at one packet. A grab that is repeated keeps its number, and is paid once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grab {
    /// The packet.
    pub(crate) packet: i64,
    /// The number of the grab.
    pub(crate) number: i64,
}

/// Who reads or writes under a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fence {
    /// The fencing token of the lock.
    pub(crate) token: i64,
    /// The number of the server.
    pub(crate) server: u32,
}

/// What a read finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The packet as it is.
    Left(Balance),
    /// This grab was paid before.
    Paid(Cents),
    /// Somebody with a greater token was here before.
    Stale,
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Balance and payment are recorded.
    Recorded,
    /// This grab was paid before; nothing is changed.
    PaidBefore(Cents),
    /// Somebody with a greater token was here before; nothing is changed.
    Stale,
}

/// What the books say about one packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Audit {
    /// What is left.
    pub(crate) left: Balance,
    /// The sum of the payments.
    pub(crate) paid: Cents,
    /// How many reads and writes with an old token were refused.
    pub(crate) stale: u64,
}

/// One connection to the SQLite file.
#[derive(Debug)]
pub(crate) struct PacketStore(Connection);

impl PacketStore {
    /// Makes the file, with the packets `1..=packets`, each full.
    pub(crate) fn create(path: &Path, packets: i64, full: Balance) -> rusqlite::Result<Self> {
        let store = Self(connect(path)?);
        store.0.execute_batch(SCHEMA)?;
        for packet in 1..=packets {
            store.0.execute(INSERT_PACKET, params![packet, full.cents, full.shares])?;
        }
        Ok(store)
    }

    /// Opens the file.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        connect(path).map(Self)
    }

    /// Reads what is left for `grab`.
    pub(crate) fn read(&mut self, grab: Grab, fence: Option<Fence>) -> rusqlite::Result<Read> {
        if let Some(cents) = self.payment(grab)? {
            return Ok(Read::Paid(cents));
        }
        if let Some(fence) = fence
            && self.0.execute(RAISE_FENCE, params![grab.packet, fence.token, fence.server])? == 0
        {
            self.count_stale(grab.packet)?;
            return Ok(Read::Stale);
        }
        self.left(grab.packet).map(Read::Left)
    }

    /// Writes what is `left` after `grab` was given `cents`, and the payment with it, in one transaction.
    pub(crate) fn write(
        &mut self,
        grab: Grab,
        cents: Cents,
        left: Balance,
        fence: Option<Fence>,
    ) -> rusqlite::Result<Written> {
        let token = fence.map(|fence| fence.token);
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if transaction.execute(UPDATE_PACKET, params![grab.packet, left.cents, left.shares, token])? == 0 {
            drop(transaction); // rolls back
            self.count_stale(grab.packet)?;
            return Ok(Written::Stale);
        }
        match transaction.execute(INSERT_PAYMENT, params![grab.packet, grab.number, cents]) {
            Ok(_) => transaction.commit().map(|()| Written::Recorded),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                drop(transaction);
                self.payment(grab)?.map(Written::PaidBefore).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The books of `packet`.
    pub(crate) fn audit(&self, packet: i64) -> rusqlite::Result<Audit> {
        let paid = self.0.query_row(SUM_PAYMENTS, [packet], |row| row.get(0))?;
        let stale = self.0.query_row(SELECT_STALE, [packet], |row| row.get::<_, u32>(0))?;
        Ok(Audit { left: self.left(packet)?, paid, stale: stale.into() })
    }

    /// The number of the server that read `packet` under the lock last.
    pub(crate) fn last_holder(&self, packet: i64) -> rusqlite::Result<Option<u32>> {
        self.0.query_row(SELECT_HOLDER, [packet], |row| row.get(0))
    }

    fn left(&self, packet: i64) -> rusqlite::Result<Balance> {
        self.0.query_row(SELECT_LEFT, [packet], |row| Ok(Balance { cents: row.get(0)?, shares: row.get(1)? }))
    }

    fn payment(&self, grab: Grab) -> rusqlite::Result<Option<Cents>> {
        self.0.query_row(SELECT_PAYMENT, [grab.packet, grab.number], |row| row.get(0)).optional()
    }

    fn count_stale(&self, packet: i64) -> rusqlite::Result<()> {
        self.0.execute(COUNT_STALE, [packet]).map(drop)
    }
}

/// With a write-ahead log a process that is killed in the middle of a write leaves the file as it was before.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(connection)
}

const SCHEMA: &str = "
    CREATE TABLE packets (
        id     INTEGER PRIMARY KEY,
        cents  INTEGER NOT NULL,
        shares INTEGER NOT NULL,
        token  INTEGER NOT NULL DEFAULT 0,
        holder INTEGER,
        stale  INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE payments (
        packet INTEGER NOT NULL REFERENCES packets,
        grab   INTEGER NOT NULL,
        cents  INTEGER NOT NULL,
        PRIMARY KEY (packet, grab)
    );
";
const INSERT_PACKET: &str = "INSERT INTO packets (id, cents, shares) VALUES (?1, ?2, ?3)";
const INSERT_PAYMENT: &str = "INSERT INTO payments (packet, grab, cents) VALUES (?1, ?2, ?3)";
const RAISE_FENCE: &str = "UPDATE packets SET token = ?2, holder = ?3 WHERE id = ?1 AND token <= ?2";
const UPDATE_PACKET: &str =
    "UPDATE packets SET cents = ?2, shares = ?3 WHERE id = ?1 AND (?4 IS NULL OR token <= ?4)";
const COUNT_STALE: &str = "UPDATE packets SET stale = stale + 1 WHERE id = ?1";
const SELECT_LEFT: &str = "SELECT cents, shares FROM packets WHERE id = ?1";
const SELECT_STALE: &str = "SELECT stale FROM packets WHERE id = ?1";
const SELECT_HOLDER: &str = "SELECT holder FROM packets WHERE id = ?1";
const SELECT_PAYMENT: &str = "SELECT cents FROM payments WHERE packet = ?1 AND grab = ?2";
const SUM_PAYMENTS: &str = "SELECT coalesce(sum(cents), 0) FROM payments WHERE packet = ?1";

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Balance = Balance { cents: 1_000, shares: 10 };

    fn store() -> PacketStore {
        PacketStore::create(Path::new(":memory:"), 1, FULL).unwrap()
    }

    fn grab(number: i64) -> Grab {
        Grab { packet: 1, number }
    }

    fn fence(token: i64) -> Option<Fence> {
        Some(Fence { token, server: 0 })
    }

    #[test]
    fn two_careless_grabs_that_read_the_same_pay_twice_and_subtract_once() {
        let mut store = store();
        for number in [1, 2] {
            assert_eq!(store.read(grab(number), None).unwrap(), Read::Left(FULL));
        }
        for number in [1, 2] {
            assert_eq!(store.write(grab(number), 100, FULL.less(100), None).unwrap(), Written::Recorded);
        }
        assert_eq!(store.audit(1).unwrap(), Audit { left: FULL.less(100), paid: 200, stale: 0 });
    }

    #[test]
    fn a_write_with_a_smaller_token_than_the_last_read_is_refused_and_counted() {
        let mut store = store();
        store.read(grab(1), fence(5)).unwrap();
        store.read(grab(2), fence(6)).unwrap();
        assert_eq!(store.write(grab(1), 100, FULL.less(100), fence(5)).unwrap(), Written::Stale);
        assert_eq!(store.read(grab(1), fence(5)).unwrap(), Read::Stale);
        assert_eq!(store.write(grab(2), 300, FULL.less(300), fence(6)).unwrap(), Written::Recorded);
        assert_eq!(store.audit(1).unwrap(), Audit { left: FULL.less(300), paid: 300, stale: 2 });
    }

    #[test]
    fn a_repeated_grab_is_paid_once() {
        let mut store = store();
        store.write(grab(1), 100, FULL.less(100), fence(5)).unwrap();
        assert_eq!(store.read(grab(1), fence(6)).unwrap(), Read::Paid(100));
        let again = store.write(grab(1), 70, FULL.less(170), fence(6)).unwrap();
        assert_eq!(again, Written::PaidBefore(100));
        assert_eq!(store.audit(1).unwrap(), Audit { left: FULL.less(100), paid: 100, stale: 0 });
    }

    #[test]
    fn the_last_holder_is_the_server_of_the_last_fenced_read() {
        let mut store = store();
        assert_eq!(store.last_holder(1).unwrap(), None);
        store.read(grab(1), Some(Fence { token: 5, server: 3 })).unwrap();
        assert_eq!(store.last_holder(1).unwrap(), Some(3));
    }
}
