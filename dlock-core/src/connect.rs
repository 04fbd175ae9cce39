//! Which backend a URL names, and the options that it carries.

use crate::backend::Backend;
use crate::backend::embedded::EmbeddedBackend;
use crate::backend::prefixed::in_namespace;
use crate::backend::url_options::{GivenOptions, UrlOption, names, split};
use crate::error::{ErrorKind, LockError, Operation};
use crate::key::Namespace;
use crate::settings::{ManagerSettings, OPTIONS};
use std::sync::Arc;

/// Connects to the backend that `url` names. The URL may hold a password and is never part of an error.
pub(crate) async fn backend(url: &str) -> Result<(Arc<dyn Backend>, ManagerSettings), LockError> {
    let mut settings = ManagerSettings::default();
    let (place, options) = split(url)
        .and_then(|(place, options)| Ok((place, options.apply(OPTIONS, &mut settings)?)))
        .map_err(while_connecting)?;
    Ok((named(UrlParts { url: place, options }).await.map_err(while_connecting)?, settings))
}

/// Where a backend is, and the options that are not the manager's.
struct UrlParts<'a> {
    url: &'a str,
    options: GivenOptions,
}

async fn named(parts: UrlParts<'_>) -> Result<Arc<dyn Backend>, LockError> {
    let scheme = parts.url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref().unwrap_or_default() {
        "memory" => memory(parts),
        scheme if is_of_a_majority(scheme) => redlock(parts).await,
        "unix" => redis(parts).await,
        "zookeeper" | "zookeeper+tls" => zookeeper(parts).await,
        scheme if is_of_redis(scheme) => redis(parts).await,
        _ => Err(LockError::new(
            ErrorKind::InvalidOption,
            "the URL begins with none of memory:, redis://, rediss://, valkey://, unix://, redis+sentinel://, \
             redis+cluster://, redlock://, zookeeper://",
        )),
    }
}

fn is_of_a_majority(scheme: &str) -> bool {
    scheme == "redlock" || scheme.ends_with("+redlock") && is_of_redis(scheme)
}

/// Which of them there are, the backend knows.
fn is_of_redis(scheme: &str) -> bool {
    matches!(scheme.split('+').next(), Some("redis" | "rediss" | "valkey" | "valkeys"))
}

const OF_MEMORY: &[UrlOption<Option<Namespace>>] = &[UrlOption::new("namespace", |namespace, value| {
    *namespace = Some(Namespace::parse(value)?);
    Ok(())
})];

fn memory(parts: UrlParts<'_>) -> Result<Arc<dyn Backend>, LockError> {
    let (backend, mut namespace) = (Arc::new(EmbeddedBackend::new()), None);
    let left = parts.options.apply(OF_MEMORY, &mut namespace)?;
    left.refuse_others(&[names(OPTIONS), names(OF_MEMORY)].concat())?;
    match namespace {
        Some(namespace) => in_namespace(backend, namespace),
        None => Ok(backend),
    }
}

#[cfg(feature = "redis")]
async fn redis(parts: UrlParts<'_>) -> Result<Arc<dyn Backend>, LockError> {
    let builder = crate::backend::redis::RedisBackend::builder();
    Ok(Arc::new(builder.at(parts.url, parts.options, &names(OPTIONS)).build().await?))
}

#[cfg(not(feature = "redis"))]
async fn redis(_parts: UrlParts<'_>) -> Result<Arc<dyn Backend>, LockError> {
    let detail = "built without Redis; turn on the feature `redis` of dlock-core";
    Err(LockError::new(ErrorKind::Unsupported, detail))
}

#[cfg(feature = "redis")]
async fn redlock(parts: UrlParts<'_>) -> Result<Arc<dyn Backend>, LockError> {
    let builder = crate::backend::redis::RedlockBackend::builder();
    Ok(Arc::new(builder.at(parts.url, parts.options, &names(OPTIONS)).build().await?))
}

#[cfg(not(feature = "redis"))]
async fn redlock(parts: UrlParts<'_>) -> Result<Arc<dyn Backend>, LockError> {
    redis(parts).await
}

#[cfg(feature = "zookeeper")]
async fn zookeeper(parts: UrlParts<'_>) -> Result<Arc<dyn Backend>, LockError> {
    let builder = crate::backend::zookeeper::ZooKeeperBackend::builder();
    Ok(Arc::new(builder.at(parts.url, parts.options, &names(OPTIONS)).build().await?))
}

#[cfg(not(feature = "zookeeper"))]
async fn zookeeper(_parts: UrlParts<'_>) -> Result<Arc<dyn Backend>, LockError> {
    let detail = "built without ZooKeeper; turn on the feature `zookeeper` of dlock-core";
    Err(LockError::new(ErrorKind::Unsupported, detail))
}

fn while_connecting(error: LockError) -> LockError {
    error.with_operation(Operation::Connect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_url_of_no_backend_is_refused_without_being_shown() {
        for url in [
            "",
            "order:42",
            "mysql://user:secret@host/",
            "memory",
            "//",
            "memory:?secret",
            "redis+secret://host",
        ] {
            let error = backend(url).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::InvalidOption | ErrorKind::Unsupported), "{url}");
            assert!(!format!("{error} {error:?}").contains("secret"));
            assert_eq!(error.operation(), Some(Operation::Connect), "{url}");
        }
    }

    #[tokio::test]
    async fn a_scheme_is_read_in_any_case_and_the_options_are_the_managers() {
        let (backend, settings) = backend("MEMORY:?ttl=10s&wait=max").await.unwrap();
        assert_eq!(backend.name(), "embedded");
        assert_eq!((settings.ttl, settings.wait), (Duration::from_secs(10), Duration::MAX));
    }

    #[tokio::test]
    async fn a_namespace_is_an_option_of_locks_in_memory_too() {
        let (in_shop, _) = backend("memory:?namespace=shop%3A").await.unwrap();
        assert_eq!(in_shop.namespace().map(Namespace::as_str), Some("shop:"));
        assert_eq!(backend("memory:?namespace=").await.unwrap_err().kind(), ErrorKind::InvalidOption);
    }

    #[cfg(feature = "redis")]
    #[tokio::test]
    async fn every_scheme_of_a_majority_names_one() {
        for scheme in ["redlock", "redis+redlock", "rediss+redlock", "Valkey+Redlock", "valkeys+redlock"] {
            let error = backend(&format!("{scheme}://a,b")).await.unwrap_err();
            assert_eq!(error.backend(), Some("redlock"), "{scheme}: {error}");
        }
        for wrong in ["redlock+redlock", "unix+redlock", "x+redlock", "+redlock"] {
            let error = backend(&format!("{wrong}://a,b,c")).await.unwrap_err();
            assert_eq!((error.kind(), error.backend()), (ErrorKind::InvalidOption, None), "{wrong}: {error}");
        }
    }
}
