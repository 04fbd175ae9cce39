//! Every form of function that can stand under a lock.
#![deny(warnings, missing_docs, unused_qualifications)]
#![allow(dead_code)]

use dlock_core::{LockError, LockManager, distributed_lock};
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;

type Outcome<T> = Result<T, LockError>;

struct Order {
    id: u64,
    note: String,
    parts: (u8, u8),
}

impl Order {
    fn id(&self) -> u64 {
        self.id
    }
}

struct Shop {
    locks: LockManager,
    sold: Vec<u64>,
}

impl Shop {
    #[distributed_lock("shop:{order.id}", locks = self.locks)]
    async fn by_ref(&self, order: &Order) -> Outcome<u64> {
        Ok(order.id)
    }

    #[distributed_lock("shop:{id}", locks = self.locks)]
    async fn by_mut(&mut self, id: u64) -> Outcome<&mut u64> {
        self.sold.push(id);
        Ok(self.sold.last_mut().unwrap())
    }

    #[distributed_lock("shop", locks = self.locks)]
    async fn by_value(self) -> Outcome<Vec<u64>> {
        Ok(self.sold)
    }

    #[distributed_lock("shop", locks = self.locks)]
    async fn boxed(self: Box<Self>) -> Outcome<usize> {
        Ok(self.sold.len())
    }

    #[distributed_lock("shop", locks = self.locks)]
    async fn counted(self: Arc<Self>) -> Outcome<usize> {
        Ok(self.sold.len())
    }
}

#[distributed_lock("order:{order.id()}/{order.parts.0}", locks = locks, ttl = "30s", wait = std::time::Duration::MAX, guard = lock)]
async fn borrows<'a, 'b: 'a>(locks: &LockManager, order: &'a Order, other: &'b str) -> Outcome<&'a str> {
    assert!(lock.is_valid());
    if order.note.is_empty() {
        return Ok(other);
    }
    Ok(&order.note)
}

#[distributed_lock("generic:{name}", locks = locks)]
async fn generic<N, const LEN: usize>(
    locks: LockManager,
    name: N,
) -> Result<[u8; LEN], Box<dyn std::error::Error + Send + Sync>>
where
    N: Display + Clone,
{
    let _ = name.clone();
    Ok([0; LEN])
}

#[distributed_lock("hidden", locks = locks)]
async fn hidden(locks: &LockManager) -> Result<impl Iterator<Item = u8> + use<>, LockError> {
    Ok([1, 2, 3].into_iter())
}

struct Path<T>(T);

#[distributed_lock("pattern:{id}:{first}:{count}", locks = locks)]
async fn patterns(
    locks: &LockManager,
    Path(id): Path<u64>,
    (first, _): (u8, u8),
    mut count: u32,
    Order { note: ref text, .. }: Order,
    _: u8,
) -> Outcome<(u64, u8, u32, usize)> {
    count += 1;
    Ok((id, first, count, text.len()))
}

#[distributed_lock("question", locks = locks)]
async fn question(locks: &LockManager, text: &str) -> Result<u32, Failure> {
    let number: u32 = text.parse()?;
    loop {
        if number > 0 {
            break;
        }
        return Ok(0);
    }
    Ok(number)
}

#[derive(Debug)]
enum Failure {
    Lock,
    Number,
}

impl From<LockError> for Failure {
    fn from(_: LockError) -> Self {
        Self::Lock
    }
}

impl From<std::num::ParseIntError> for Failure {
    fn from(_: std::num::ParseIntError) -> Self {
        Self::Number
    }
}

/// A trait with an async fn.
trait Native {
    async fn serve(&self, id: u64) -> Outcome<u64>;
}

impl Native for Shop {
    #[distributed_lock("native:{id}", locks = self.locks)]
    async fn serve(&self, id: u64) -> Outcome<u64> {
        Ok(id)
    }
}

#[async_trait::async_trait]
trait Boxed {
    async fn serve(&self, id: u64) -> Outcome<u64>;
    async fn change(&mut self, id: u64) -> Outcome<usize>;
}

#[async_trait::async_trait]
impl Boxed for Shop {
    #[distributed_lock("boxed:{id}", locks = self.locks)]
    async fn serve(&self, id: u64) -> Outcome<u64> {
        Ok(id)
    }

    #[distributed_lock("boxed:{id}", locks = self.locks)]
    async fn change(&mut self, id: u64) -> Outcome<usize> {
        self.sold.push(id);
        Ok(self.sold.len())
    }
}

/// Documentation and other attributes stay.
#[distributed_lock("attributes", locks = locks)]
#[tracing::instrument(skip(locks))]
#[must_use]
#[inline]
pub(crate) async fn below_others(locks: &LockManager) -> Outcome<()> {
    #![allow(unused_variables)]
    let unused = 1;
    Ok(())
}

#[tracing::instrument(skip(locks))]
#[distributed_lock("attributes", locks = locks)]
async fn above_others(locks: &LockManager) -> Outcome<()> {
    Ok(())
}

#[distributed_lock("{{literal}}", locks = locks, guard = lock)]
async fn braces(locks: &LockManager) -> Outcome<String> {
    Ok(lock.key().to_string())
}

#[distributed_lock("stays", locks = locks)]
async fn never_returns(locks: &LockManager) -> Outcome<()> {
    loop {
        tokio::task::yield_now().await;
    }
}

#[distributed_lock("local", locks = locks)]
async fn local(locks: &LockManager, shared: Rc<u8>) -> Outcome<u8> {
    Ok(*shared)
}

fn is_sent<T: Send>(future: T) -> T {
    future
}

#[tokio::test]
async fn every_form_of_function_runs() {
    let locks = LockManager::connect("memory:").await.unwrap();
    let shop = || Shop { locks: locks.clone(), sold: vec![] };
    let order = || Order { id: 42, note: "n".to_owned(), parts: (7, 8) };
    assert_eq!(is_sent(shop().by_ref(&order())).await.unwrap(), 42);
    *is_sent(shop().by_mut(1)).await.unwrap() += 1;
    assert_eq!(shop().by_value().await.unwrap().len(), 0);
    assert_eq!(Box::new(shop()).boxed().await.unwrap(), 0);
    assert_eq!(Arc::new(shop()).counted().await.unwrap(), 0);
    assert_eq!(is_sent(borrows(&locks, &order(), "other")).await.unwrap(), "n");
    assert_eq!(is_sent(generic::<_, 3>(locks.clone(), "name")).await.unwrap(), [0; 3]);
    assert_eq!(hidden(&locks).await.unwrap().count(), 3);
    assert_eq!(patterns(&locks, Path(1), (2, 3), 4, order(), 5).await.unwrap(), (1, 2, 5, 1));
    assert_eq!(question(&locks, "7").await.unwrap(), 7);
    assert!(matches!(question(&locks, "seven").await, Err(Failure::Number)));
    assert_eq!(Native::serve(&shop(), 7).await.unwrap(), 7);
    assert_eq!(is_sent(Boxed::serve(&shop(), 7)).await.unwrap(), 7);
    assert_eq!(Boxed::change(&mut shop(), 7).await.unwrap(), 1);
    below_others(&locks).await.unwrap();
    above_others(&locks).await.unwrap();
    assert_eq!(braces(&locks).await.unwrap(), "{literal}");
    drop(never_returns(&locks));
    assert_eq!(local(&locks, Rc::new(3)).await.unwrap(), 3);
}
