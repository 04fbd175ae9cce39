//! What the locks protect. It keeps each article's newest fencing token and refuses an older one.

use dlock_core::FencingToken;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many were taken of each article.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stock(Arc<Mutex<HashMap<String, Article>>>);

#[derive(Debug, Clone, Copy, Default)]
struct Article {
    taken: u32,
    newest: u64,
}

/// A read or write that came too late: a holder with a greater token was here before.
#[derive(Debug)]
pub(crate) struct Stale;

impl Stock {
    /// How many were taken; from now on an older token is refused.
    pub(crate) fn read(&self, article: &str, token: FencingToken) -> Result<u32, Stale> {
        let mut articles = self.articles();
        let found = articles.entry(article.to_owned()).or_default();
        found.raise(token)?;
        Ok(found.taken)
    }

    /// Replaces how many were taken.
    pub(crate) fn write(&self, article: &str, taken: u32, token: FencingToken) -> Result<(), Stale> {
        let mut articles = self.articles();
        let found = articles.entry(article.to_owned()).or_default();
        found.raise(token)?;
        found.taken = taken;
        Ok(())
    }

    /// How many were taken of all articles.
    pub(crate) fn all_taken(&self) -> u32 {
        self.articles().values().map(|article| article.taken).sum()
    }

    fn articles(&self) -> MutexGuard<'_, HashMap<String, Article>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Article {
    fn raise(&mut self, token: FencingToken) -> Result<(), Stale> {
        if token.as_u64() < self.newest {
            return Err(Stale);
        }
        self.newest = token.as_u64();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_token_neither_writes_nor_reads() {
        let (stock, token) = (Stock::default(), FencingToken::new);
        stock.write("cup", 1, token(6)).unwrap();
        assert_eq!(stock.read("cup", token(7)).unwrap(), 1);
        assert!(stock.write("cup", 9, token(6)).is_err(), "a newer holder has read since");
        assert!(stock.read("cup", token(6)).is_err());
        assert_eq!(stock.all_taken(), 1);
    }
}
