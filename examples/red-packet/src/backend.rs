//! Where the locks are.

use anyhow::{Context as _, bail};
use dlock_core::{EmbeddedBackend, LockManager};
use std::time::Duration;

/// The backend that the command line names.
#[derive(Debug, Clone)]
pub(crate) enum Backend {
    /// In this process. Clones share the locks.
    Memory(EmbeddedBackend),
    /// A server, by its URL, which may hold a password.
    Remote(String),
}

impl Backend {
    /// Reads the URL. It is never part of an error.
    pub(crate) fn parse(url: &str) -> anyhow::Result<Self> {
        match url.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory(EmbeddedBackend::new())),
            Some(("redis" | "rediss" | "zookeeper", rest)) if rest.starts_with("//") => {
                Ok(Self::Remote(url.to_owned()))
            }
            _ => bail!(
                "--backend names no backend; write memory:, redis://HOST:PORT, rediss://HOST:PORT or \
                 zookeeper://HOST:PORT/ROOT"
            ),
        }
    }

    /// The backend's name, without what the URL may hold besides.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Memory(_) => "memory",
            Self::Remote(url) => url.split_once(':').map_or("", |(scheme, _)| scheme),
        }
    }

    /// A manager of its own for each server, as separate machines would have.
    pub(crate) async fn manager(&self) -> anyhow::Result<LockManager> {
        match self {
            Self::Memory(shared) => Ok(LockManager::builder(shared.clone()).build()?),
            Self::Remote(url) => match tokio::time::timeout(PATIENCE, LockManager::connect(url)).await {
                Ok(manager) => manager.context("cannot connect to the backend"),
                Err(_) => bail!("the {} backend did not answer within {PATIENCE:?}", self.name()),
            },
        }
    }

    /// Takes a lock once and gives it back, so that a backend which cannot be used is known before anything
    /// is started.
    pub(crate) async fn probe(&self, ttl: Duration) -> anyhow::Result<()> {
        let locks = self.manager().await?;
        let key = format!("red-packet:probe:{:x}", fastrand::u64(..));
        let guard = locks.lock(key).ttl(ttl).wait(PATIENCE).await.context("the backend grants no locks")?;
        guard.release().await?;
        locks.shutdown().await;
        Ok(())
    }
}

/// How long a backend may take to answer at the start.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_no_backend_is_refused_without_being_shown() {
        for url in ["", "memory", "memory:x", "redis:", "redis:6379", "mysql://user:secret@host/"] {
            let error = Backend::parse(url).unwrap_err();
            assert!(error.to_string().contains("redis://HOST:PORT"), "{url}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn a_backend_is_named_without_its_password() {
        assert_eq!(Backend::parse("redis://:secret@127.0.0.1:6379").unwrap().name(), "redis");
        assert_eq!(Backend::parse("memory:").unwrap().name(), "memory");
    }
}
