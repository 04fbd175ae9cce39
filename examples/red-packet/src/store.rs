//! The packets, each in one stripe or several, and the payments from them: a SQLite file, read and written in
//! separate statements.
//!
//! A read followed by a write of what was computed from it is what any careless application does; between the
//! two another server may do the same, and one of the two payments is forgotten. The store cannot see that,
//! unless it is *fenced*: each read and write then carries the holder's fencing token, and one with a smaller
//! token than was seen before is refused. The read carries it too: a late write of an earlier holder must not
//! land between the read and the write of the present one.

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, TransactionBehavior, params};
use std::path::Path;
use std::time::Duration;

/// An amount of money.
pub(crate) type Cents = i64;

/// What is left in a packet, or in a stripe of one.
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

/// The holder of a lock that reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fence {
    /// The fencing token of the lock.
    pub(crate) token: i64,
    /// The number of the server.
    pub(crate) server: u32,
}

/// Where there is money for a grab, seen without a lock.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// In this stripe, unless other grabs take it first.
    Money {
        /// The number of the stripe.
        stripe: i64,
    },
    /// This grab was paid before.
    Paid(Cents),
    /// In no stripe. That is final, since an empty stripe stays empty.
    Nothing,
}

/// What a read finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The stripe as it is.
    Left(Balance),
    /// This grab was paid before.
    Paid(Cents),
    /// A holder with a greater token was here before.
    Stale,
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Balance and payment are recorded.
    Recorded,
    /// This grab was paid before; nothing is changed.
    PaidBefore(Cents),
    /// A holder with a greater token was here before; nothing is changed.
    Stale,
}

/// What the books say about one packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Audit {
    /// What is left.
    pub(crate) left: Balance,
    /// The sum of the payments.
    pub(crate) paid: Cents,
    /// How many payments there are.
    pub(crate) payments: i64,
    /// The smallest payment; 0 if there is none.
    pub(crate) smallest: Cents,
    /// How many reads and writes with an old token were refused.
    pub(crate) stale: u64,
}

/// One connection to the SQLite file.
#[derive(Debug)]
pub(crate) struct PacketStore(Connection);

impl PacketStore {
    /// Makes the file, without a packet.
    pub(crate) fn create(path: &Path) -> rusqlite::Result<Self> {
        let store = Self(connect(path)?);
        store.0.execute_batch(SCHEMA)?;
        Ok(store)
    }

    /// Adds a packet of these stripes, numbered from 0.
    pub(crate) fn add(&mut self, packet: i64, stripes: &[Balance]) -> rusqlite::Result<()> {
        let transaction = self.0.transaction()?;
        for (stripe, full) in (0_i64..).zip(stripes) {
            transaction.execute(INSERT_STRIPE, params![packet, stripe, full.cents, full.shares])?;
        }
        transaction.commit()
    }

    /// Opens the file.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        connect(path).map(Self)
    }

    /// Looks for a stripe with money. Grabs begin at different stripes, and each goes on to the next ones.
    pub(crate) fn look(&self, grab: Grab) -> rusqlite::Result<Seen> {
        let with_money = self.0.query_row(SELECT_STRIPE, [grab.packet, grab.number], |row| row.get(0));
        Ok(match with_money.optional()? {
            Some(stripe) => Seen::Money { stripe },
            // In this order: the payment that emptied the last stripe may be this grab's.
            None => self.payment(grab)?.map_or(Seen::Nothing, Seen::Paid),
        })
    }

    /// Reads what is left for `grab` in a stripe.
    pub(crate) fn read(&mut self, grab: Grab, stripe: i64, fence: Option<Fence>) -> rusqlite::Result<Read> {
        if let Some(cents) = self.payment(grab)? {
            return Ok(Read::Paid(cents));
        }
        if let Some(fence) = fence
            && self.0.execute(RAISE_FENCE, params![grab.packet, stripe, fence.token, fence.server])? == 0
        {
            self.count_stale(grab.packet, stripe)?;
            return Ok(Read::Stale);
        }
        self.0.query_row(SELECT_STRIPE_LEFT, [grab.packet, stripe], balance).map(Read::Left)
    }

    /// Writes what is `left` in the stripe after `grab` was given `cents`, and the payment with it, in one
    /// transaction.
    pub(crate) fn write(
        &mut self,
        grab: Grab,
        stripe: i64,
        cents: Cents,
        left: Balance,
        fence: Option<Fence>,
    ) -> rusqlite::Result<Written> {
        let token = fence.map(|fence| fence.token);
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let update = params![grab.packet, stripe, left.cents, left.shares, token];
        if transaction.execute(UPDATE_STRIPE, update)? == 0 {
            drop(transaction); // rolls back
            self.count_stale(grab.packet, stripe)?;
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
        let (paid, payments, smallest) =
            self.0.query_row(SUM_PAYMENTS, [packet], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let left = self.0.query_row(SUM_LEFT, [packet], balance)?;
        let stale = self.0.query_row(SUM_STALE, [packet], |row| row.get::<_, u32>(0))?;
        Ok(Audit { left, paid, payments, smallest, stale: stale.into() })
    }

    /// The number of the server that read `packet` under the lock last.
    pub(crate) fn last_holder(&self, packet: i64) -> rusqlite::Result<Option<u32>> {
        self.0.query_row(SELECT_HOLDER, [packet], |row| row.get(0)).optional()
    }

    fn payment(&self, grab: Grab) -> rusqlite::Result<Option<Cents>> {
        self.0.query_row(SELECT_PAYMENT, [grab.packet, grab.number], |row| row.get(0)).optional()
    }

    fn count_stale(&self, packet: i64, stripe: i64) -> rusqlite::Result<()> {
        self.0.execute(COUNT_STALE, [packet, stripe]).map(drop)
    }
}

fn balance(row: &Row<'_>) -> rusqlite::Result<Balance> {
    Ok(Balance { cents: row.get(0)?, shares: row.get(1)? })
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
    CREATE TABLE stripes (
        packet INTEGER NOT NULL,
        stripe INTEGER NOT NULL,
        cents  INTEGER NOT NULL,
        shares INTEGER NOT NULL,
        token  INTEGER NOT NULL DEFAULT 0,
        holder INTEGER,
        stale  INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (packet, stripe)
    );
    CREATE TABLE payments (
        packet INTEGER NOT NULL,
        grab   INTEGER NOT NULL,
        cents  INTEGER NOT NULL,
        PRIMARY KEY (packet, grab)
    );
";
const INSERT_STRIPE: &str = "INSERT INTO stripes (packet, stripe, cents, shares) VALUES (?1, ?2, ?3, ?4)";
const INSERT_PAYMENT: &str = "INSERT INTO payments (packet, grab, cents) VALUES (?1, ?2, ?3)";
const RAISE_FENCE: &str =
    "UPDATE stripes SET token = ?3, holder = ?4 WHERE packet = ?1 AND stripe = ?2 AND token <= ?3";
const UPDATE_STRIPE: &str = "
    UPDATE stripes SET cents = ?3, shares = ?4
    WHERE packet = ?1 AND stripe = ?2 AND (?5 IS NULL OR token <= ?5)";
const COUNT_STALE: &str = "UPDATE stripes SET stale = stale + 1 WHERE packet = ?1 AND stripe = ?2";
/// From the grab's own stripe on to the last one, then from the first one on.
const SELECT_STRIPE: &str = "
    SELECT stripe FROM stripes WHERE packet = ?1 AND shares > 0
    ORDER BY stripe < ?2 % (SELECT count(*) FROM stripes WHERE packet = ?1), stripe LIMIT 1";
const SELECT_STRIPE_LEFT: &str = "SELECT cents, shares FROM stripes WHERE packet = ?1 AND stripe = ?2";
const SELECT_HOLDER: &str = "
    SELECT holder FROM stripes WHERE packet = ?1 AND holder IS NOT NULL ORDER BY token DESC LIMIT 1";
const SELECT_PAYMENT: &str = "SELECT cents FROM payments WHERE packet = ?1 AND grab = ?2";
const SUM_LEFT: &str = "SELECT sum(cents), sum(shares) FROM stripes WHERE packet = ?1";
const SUM_STALE: &str = "SELECT sum(stale) FROM stripes WHERE packet = ?1";
const SUM_PAYMENTS: &str = "
    SELECT coalesce(sum(cents), 0), count(*), coalesce(min(cents), 0) FROM payments WHERE packet = ?1";

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Balance = Balance { cents: 1_000, shares: 10 };
    const WHOLE: i64 = 0;

    fn store_of(stripes: &[Balance]) -> PacketStore {
        let mut store = PacketStore::create(Path::new(":memory:")).unwrap();
        store.add(1, stripes).unwrap();
        store
    }

    fn store() -> PacketStore {
        store_of(&[FULL])
    }

    fn grab(number: i64) -> Grab {
        Grab { packet: 1, number }
    }

    fn fence(token: i64) -> Option<Fence> {
        Some(Fence { token, server: 0 })
    }

    fn audit(left: Balance, payments: &[Cents], stale: u64) -> Audit {
        let (paid, smallest) = (payments.iter().sum(), payments.iter().min().copied().unwrap_or(0));
        Audit { left, paid, payments: payments.len() as i64, smallest, stale }
    }

    #[test]
    fn two_careless_grabs_that_read_the_same_pay_twice_and_subtract_once() {
        let mut store = store();
        for number in [1, 2] {
            assert_eq!(store.read(grab(number), WHOLE, None).unwrap(), Read::Left(FULL));
        }
        for number in [1, 2] {
            let written = store.write(grab(number), WHOLE, 100, FULL.less(100), None);
            assert_eq!(written.unwrap(), Written::Recorded);
        }
        assert_eq!(store.audit(1).unwrap(), audit(FULL.less(100), &[100, 100], 0));
    }

    #[test]
    fn a_write_with_a_smaller_token_than_the_last_read_is_refused_and_counted() {
        let mut store = store();
        store.read(grab(1), WHOLE, fence(5)).unwrap();
        store.read(grab(2), WHOLE, fence(6)).unwrap();
        let late = store.write(grab(1), WHOLE, 100, FULL.less(100), fence(5));
        assert_eq!(late.unwrap(), Written::Stale);
        assert_eq!(store.read(grab(1), WHOLE, fence(5)).unwrap(), Read::Stale);
        let newest = store.write(grab(2), WHOLE, 300, FULL.less(300), fence(6));
        assert_eq!(newest.unwrap(), Written::Recorded);
        assert_eq!(store.audit(1).unwrap(), audit(FULL.less(300), &[300], 2));
    }

    #[test]
    fn a_repeated_grab_is_paid_once() {
        let mut store = store();
        store.write(grab(1), WHOLE, 100, FULL.less(100), fence(5)).unwrap();
        assert_eq!(store.read(grab(1), WHOLE, fence(6)).unwrap(), Read::Paid(100));
        let again = store.write(grab(1), WHOLE, 70, FULL.less(170), fence(6)).unwrap();
        assert_eq!(again, Written::PaidBefore(100));
        assert_eq!(store.audit(1).unwrap(), audit(FULL.less(100), &[100], 0));
    }

    #[test]
    fn a_repeated_grab_is_paid_once_whatever_stripe_it_comes_to() {
        let mut store = store_of(&[FULL, FULL]);
        store.write(grab(1), 0, 100, FULL.less(100), fence(5)).unwrap();
        assert_eq!(store.read(grab(1), 1, fence(1)).unwrap(), Read::Paid(100));
        let again = store.write(grab(1), 1, 70, FULL.less(70), fence(1)).unwrap();
        assert_eq!(again, Written::PaidBefore(100));
    }

    #[test]
    fn each_stripe_has_a_fence_of_its_own() {
        let mut store = store_of(&[FULL, FULL]);
        store.read(grab(1), 0, fence(9)).unwrap();
        assert_eq!(store.read(grab(2), 1, fence(1)).unwrap(), Read::Left(FULL));
        assert_eq!(store.read(grab(2), 0, fence(1)).unwrap(), Read::Stale);
    }

    #[test]
    fn a_grab_begins_at_its_own_stripe_and_passes_those_that_are_empty() {
        let (empty, one) = (Balance { cents: 0, shares: 0 }, Balance { cents: 7, shares: 1 });
        let mut store = store_of(&[one, empty, one, empty]);
        let seen = |store: &PacketStore| [0, 1, 2, 3, 4].map(|number| store.look(grab(number)).unwrap());
        let [first, third] = [0, 2].map(|stripe| Seen::Money { stripe });
        assert_eq!(seen(&store).each_ref(), [&first, &third, &third, &first, &first]);
        store.write(grab(0), 0, 7, empty, fence(1)).unwrap();
        assert_eq!(seen(&store).each_ref(), [&third; 5]);
    }

    #[test]
    fn a_packet_is_empty_when_every_stripe_is_and_a_grab_that_was_paid_is_told_so() {
        let (empty, one) = (Balance { cents: 0, shares: 0 }, Balance { cents: 7, shares: 1 });
        let mut store = store_of(&[one, empty]);
        store.write(grab(1), 0, 7, empty, fence(1)).unwrap();
        assert_eq!(store.look(grab(1)).unwrap(), Seen::Paid(7));
        assert_eq!(store.look(grab(2)).unwrap(), Seen::Nothing);
    }

    #[test]
    fn the_last_holder_is_the_server_of_the_last_fenced_read() {
        let mut store = store_of(&[FULL, FULL]);
        assert_eq!(store.last_holder(1).unwrap(), None);
        store.read(grab(1), 1, Some(Fence { token: 5, server: 3 })).unwrap();
        assert_eq!(store.last_holder(1).unwrap(), Some(3));
    }
}
