//! What acquisitions write, and which writes share a transaction. Pure.

use crate::backend::zookeeper::node::LockNode;
use crate::label::Label;
use zookeeper::{Error, MultiWriteResult};

/// A write of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Write {
    /// Makes a node at the end of the queue in `dir`.
    ///
    /// The same transaction writes to the directory, since the answer to that says how many nodes there are, and by
    /// which transaction. No node with a lower number can come later, so a lone node holds the lock. A list in a
    /// request of its own would cost a second round trip, since the client's small packets wait for one another.
    Enqueue { dir: String, prefix: String, label: Option<Label> },
    /// Removes a node whose path no other owner's node can have.
    Remove { path: String },
}

/// The outcome of a request for a place in the queue.
#[derive(Debug)]
pub(crate) struct Enqueued {
    pub(crate) node: LockNode,
    /// Whether it is the only node in the directory.
    pub(crate) is_alone: bool,
}

impl Write {
    /// Takes its own results, which come first, and returns the place that it got, if it asked for one.
    pub(crate) fn outcome(
        &self,
        results: &mut impl Iterator<Item = MultiWriteResult>,
    ) -> Result<Option<Enqueued>, Error> {
        match (self, results.next()) {
            (Self::Remove { .. }, Some(MultiWriteResult::Delete)) => Ok(None),
            (Self::Enqueue { .. }, Some(MultiWriteResult::Create { path, .. })) => {
                let Some(MultiWriteResult::SetData { stat }) = results.next() else { return Err(unasked()) };
                // The create's own stat is not reliable (ZOOKEEPER-4026).
                let node = LockNode { path, created: stat.mzxid };
                Ok(Some(Enqueued { node, is_alone: stat.num_children == 1 }))
            }
            _ => Err(unasked()),
        }
    }

    fn makes_a_node_beside(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Enqueue { dir, .. }, Self::Enqueue { dir: other, .. }) => dir == other,
            _ => false,
        }
    }
}

/// The error for results that do not fit the writes.
pub(crate) fn unasked() -> Error {
    Error::UnexpectedError("other results than were asked for".to_owned())
}

/// A write that is to be sent, and where its answer goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order<A> {
    pub(crate) number: u64,
    pub(crate) write: Write,
    pub(crate) answer: A,
    /// Whether a transaction failed that it was in.
    pub(crate) goes_alone: bool,
}

impl<A> Order<A> {
    /// Whether it may be in one transaction with `others`. Two nodes of one directory may not: they would have one
    /// fencing token (I2).
    fn goes_with(&self, others: &[Self]) -> bool {
        let is_apart = |other: &Self| {
            other.goes_alone || self.goes_alone || self.write.makes_a_node_beside(&other.write)
        };
        others.len() < MOST && !others.iter().any(is_apart)
    }
}

/// How many writes one transaction has at most. Even with the longest paths they are far from the megabyte that a server
/// takes in one request.
const MOST: usize = 64;

/// The transactions for these writes, in their order.
pub(crate) fn transactions<A>(orders: Vec<Order<A>>) -> Vec<Vec<Order<A>>> {
    let mut transactions: Vec<Vec<Order<A>>> = Vec::new();
    for order in orders {
        match transactions.last_mut() {
            Some(last) if order.goes_with(last) => last.push(order),
            _ => transactions.push(vec![order]),
        }
    }
    transactions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enqueue(dir: &str) -> Write {
        Write::Enqueue { dir: dir.to_owned(), prefix: "lock-".to_owned(), label: None }
    }

    fn remove(path: &str) -> Write {
        Write::Remove { path: path.to_owned() }
    }

    fn orders(writes: impl IntoIterator<Item = Write>) -> Vec<Order<()>> {
        let order = |(number, write)| Order { number, write, answer: (), goes_alone: false };
        (0..).zip(writes).map(order).collect()
    }

    fn numbers(orders: Vec<Order<()>>) -> Vec<Vec<u64>> {
        let numbers = |orders: Vec<Order<()>>| orders.into_iter().map(|order| order.number).collect();
        transactions(orders).into_iter().map(numbers).collect()
    }

    #[test]
    fn writes_for_many_keys_go_in_one_transaction() {
        let writes = [enqueue("/a"), remove("/b/lock-0"), enqueue("/b"), remove("/c/lock-0")];
        assert_eq!(numbers(orders(writes)), [[0, 1, 2, 3]]);
        assert!(numbers(orders([])).is_empty());
    }

    #[test]
    fn one_transaction_makes_one_node_of_a_directory() {
        let writes = [enqueue("/a"), enqueue("/b"), enqueue("/a"), enqueue("/c"), enqueue("/a")];
        assert_eq!(numbers(orders(writes)), [vec![0, 1], vec![2, 3], vec![4]]);
    }

    #[test]
    fn what_failed_in_company_goes_alone() {
        let mut orders = orders([enqueue("/a"), enqueue("/b"), enqueue("/c"), enqueue("/d")]);
        orders[1].goes_alone = true;
        assert_eq!(numbers(orders), [vec![0], vec![1], vec![2, 3]]);
    }

    #[test]
    fn a_transaction_is_not_too_long() {
        let writes = (0..=MOST).map(|number| enqueue(&format!("/{number}")));
        let lengths: Vec<_> = numbers(orders(writes)).iter().map(Vec::len).collect();
        assert_eq!(lengths, [MOST, 1]);
    }
}
