//! Where the locks are.

use anyhow::{Context as _, bail, ensure};
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
            Some(("redis", rest)) if rest.starts_with("//") => remote(url, "redis", cfg!(feature = "redis")),
            Some(("zookeeper", rest)) if rest.starts_with("//") => {
                remote(url, "zookeeper", cfg!(feature = "zookeeper"))
            }
            _ => bail!(
                "--backend names no backend; write memory:, redis://HOST:PORT or zookeeper://HOST:PORT/ROOT"
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
        locks.shutdown().await?;
        Ok(())
    }
}

/// The backend at `url`, if the program was built with the `feature` for it.
fn remote(url: &str, feature: &str, is_built_in: bool) -> anyhow::Result<Backend> {
    ensure!(
        is_built_in,
        "this program was built without {feature}; run it with `cargo run --release -p red-packet \
         --features {feature} -- --backend {feature}://…`"
    );
    Ok(Backend::Remote(url.to_owned()))
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
    fn a_backend_that_was_not_built_in_is_refused_with_the_feature_to_turn_on() {
        let error = remote("redis://:secret@127.0.0.1:6379", "redis", false).unwrap_err().to_string();
        assert!(error.contains("--features redis"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_backend_is_named_without_its_password() {
        let redis = remote("redis://:secret@127.0.0.1:6379", "redis", true);
        assert_eq!(redis.unwrap().name(), "redis");
        assert_eq!(Backend::parse("memory:").unwrap().name(), "memory");
    }
}
