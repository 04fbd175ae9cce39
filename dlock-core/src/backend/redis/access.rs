//! How Redis servers are reached, of whatever kind and number.

use super::credentials::CredentialsProvider;
#[cfg(feature = "redis-tls")]
use super::tls::TlsSettings;
use crate::backend::durations::{TIMEOUT, check_range};
use crate::backend::start::StartOptions;
use crate::backend::url_options::{GivenOptions, UrlOption, duration, flag, names};
use crate::error::LockError;
use crate::key::Namespace;
use std::time::Duration;

/// How long the parts of a request may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) connect: Duration,
    pub(super) request: Duration,
}

/// What all servers of one backend value share.
#[derive(Clone)]
pub(super) struct ServerAccess {
    pub(super) limits: Limits,
    pub(super) start: StartOptions,
    pub(super) namespace: Option<Namespace>,
    /// Whether to believe the URL, and not the servers, about their kind.
    pub(super) trusts_url: bool,
    /// Asked at each connect, instead of the login of the URL.
    pub(super) credentials: Option<CredentialsProvider>,
    #[cfg(feature = "redis-tls")]
    pub(super) tls: TlsSettings,
}

impl Default for ServerAccess {
    fn default() -> Self {
        let limits = Limits { connect: Duration::from_secs(2), request: Duration::from_secs(1) };
        Self {
            limits,
            start: StartOptions::default(),
            namespace: None,
            trusts_url: false,
            credentials: None,
            #[cfg(feature = "redis-tls")]
            tls: TlsSettings::default(),
        }
    }
}

impl ServerAccess {
    /// From here on all keys lie in `inner`, inside the present namespace.
    ///
    /// # Errors
    /// As [`Namespace::within`].
    pub(super) fn enter(&mut self, inner: &Namespace) -> Result<(), LockError> {
        self.namespace = Some(match &self.namespace {
            Some(outer) => outer.within(inner)?,
            None => inner.clone(),
        });
        Ok(())
    }

    /// Takes those of the options that are about the way to the servers, and gives back the others.
    ///
    /// # Errors
    /// [`InvalidOption`](crate::ErrorKind::InvalidOption) if a value is wrong.
    pub(super) fn take(&mut self, given: GivenOptions) -> Result<GivenOptions, LockError> {
        let given = given.apply(OPTIONS, self)?;
        #[cfg(feature = "redis-tls")]
        let given = given.apply(super::tls::OPTIONS, &mut self.tls)?;
        Ok(given)
    }

    /// # Errors
    /// [`InvalidOption`](crate::ErrorKind::InvalidOption) if a setting is out of its range.
    pub(super) fn check(&self) -> Result<(), LockError> {
        check_range("connect_timeout", self.limits.connect, &TIMEOUT)?;
        check_range("request_timeout", self.limits.request, &TIMEOUT)
    }
}

/// Their names in a URL.
pub(super) fn option_names() -> Vec<&'static str> {
    #[cfg(feature = "redis-tls")]
    return [names(OPTIONS), names(super::tls::OPTIONS)].concat();
    #[cfg(not(feature = "redis-tls"))]
    return names(OPTIONS);
}

const OPTIONS: &[UrlOption<ServerAccess>] = &[
    UrlOption::new("connect_timeout", |access, value| {
        access.limits.connect = duration(value)?;
        Ok(())
    }),
    UrlOption::new("request_timeout", |access, value| {
        access.limits.request = duration(value)?;
        Ok(())
    }),
    UrlOption::new("connect_within", |access, value| {
        access.start.connect_within = duration(value)?;
        Ok(())
    }),
    UrlOption::new("lazy", |access, value| {
        access.start.is_lazy = flag(value)?;
        Ok(())
    }),
    UrlOption::new("namespace", |access, value| {
        access.namespace = Some(Namespace::parse(value)?);
        Ok(())
    }),
    UrlOption::new("trust_url", |access, value| {
        access.trusts_url = flag(value)?;
        Ok(())
    }),
];
