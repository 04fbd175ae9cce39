//! The settings of a `RedisBackend`, and their names in a URL.

use super::access::{self, ServerAccess};
use super::recipe::Recipe;
use super::script_options::{Gap, ScriptOptions};
use super::servers::AddressMap;
use crate::backend::url_options::{GivenOptions, UrlOption, choice, duration, names, number};
use crate::error::{ErrorKind, LockError};
use crate::guarantees::Guarantees;
use std::fmt;
use std::time::Duration;

/// The settings of a backend value, except where the servers are.
#[derive(Clone)]
pub(super) struct RedisSettings {
    pub(super) access: ServerAccess,
    pub(super) sentinel_login: Option<(String, String)>,
    pub(super) address_map: AddressMap,
    /// The database, where the URL's path does not say it.
    pub(super) database: Option<i64>,
    pub(super) recipe: Recipe,
    pub(super) options: ScriptOptions,
    pub(super) required_replicas: usize,
    pub(super) caller_connections: usize,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            access: ServerAccess::default(),
            sentinel_login: None,
            address_map: AddressMap::default(),
            database: None,
            recipe: Recipe::default(),
            options: ScriptOptions::default(),
            required_replicas: 0,
            caller_connections: CALLER_CONNECTIONS,
        }
    }
}

/// That a runtime can do no IO shows in a panic of the task that connects it. If a panic ends the process, this is not
/// tried by default.
const CALLER_CONNECTIONS: usize = if cfg!(panic = "abort") { 0 } else { 4 };

impl RedisSettings {
    /// Takes the options that a URL gives. `others` are the names of those that were taken before.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] if one is not known or wrong.
    pub(super) fn take(&mut self, given: GivenOptions, others: &[&str]) -> Result<(), LockError> {
        let left = self.access.take(given)?.apply(OPTIONS, self)?;
        left.refuse_others(&[others, &access::option_names(), &names(OPTIONS)].concat())
    }

    /// # Errors
    /// [`ErrorKind::InvalidOption`] if a setting is out of its range, or two do not go together.
    pub(super) fn check(&self) -> Result<(), LockError> {
        self.access.check()?;
        self.options.check()?;
        let refuse = |detail| Err(LockError::new(ErrorKind::InvalidOption, detail));
        if self.options.gap.is_some() && self.recipe != Recipe::Fair {
            return refuse("foreign_gap is for Recipe::Fair; with the others a released lock is free anyway");
        }
        if !self.options.quarantine.is_zero() && !self.has_queue() {
            return refuse("quarantine needs the scripts of Recipe::Fair or Recipe::Barging");
        }
        if self.required_replicas > 0 && !self.has_queue() {
            return refuse("require_replicas needs the scripts of Recipe::Fair or Recipe::Barging");
        }
        Ok(())
    }

    /// How a server keeps its data, and what it is replicated to, cannot be seen here. So of restarts only the quarantine
    /// says something, and of failovers nothing does.
    pub(super) fn guarantees(&self) -> Guarantees {
        let tokens = Guarantees::RISING_TOKENS | Guarantees::TOKEN_BLOCKS;
        let of_recipe = match self.recipe {
            Recipe::Fair => tokens | Guarantees::QUEUE,
            Recipe::Barging => tokens,
            Recipe::Plain | Recipe::Timestamp => Guarantees::empty(),
        };
        let is_quarantined = self.has_queue() && !self.options.quarantine.is_zero();
        let of_quarantine = if is_quarantined { Guarantees::ACROSS_RESTARTS } else { Guarantees::empty() };
        Guarantees::ACROSS_PROCESSES | of_recipe | of_quarantine
    }

    pub(super) fn has_queue(&self) -> bool {
        matches!(self.recipe, Recipe::Fair | Recipe::Barging)
    }

    pub(super) fn set_gap(&mut self, between: Duration, gap: Duration) {
        self.options.gap = (!gap.is_zero()).then_some(Gap { between, length: gap });
    }

    fn sentinel_login_mut(&mut self) -> &mut (String, String) {
        self.sentinel_login.get_or_insert_with(|| ("default".to_owned(), String::new()))
    }
}

const OPTIONS: &[UrlOption<RedisSettings>] = &[
    UrlOption::new("db", |settings, value| {
        settings.database = Some(i64::from(number::<u32>(value)?));
        Ok(())
    }),
    UrlOption::new("sentinel_user", |settings, value| {
        value.clone_into(&mut settings.sentinel_login_mut().0);
        Ok(())
    }),
    UrlOption::new("sentinel_password", |settings, value| {
        value.clone_into(&mut settings.sentinel_login_mut().1);
        Ok(())
    }),
    UrlOption::new("recipe", |settings, value| {
        settings.recipe = choice(value, RECIPES)?;
        Ok(())
    }),
    UrlOption::new("foreign_gap", |settings, value| {
        let (between, gap) = value.split_once(',').ok_or("write two durations, such as 10s,200ms")?;
        settings.set_gap(duration(between)?, duration(gap)?);
        Ok(())
    }),
    UrlOption::new("caller_connections", |settings, value| {
        settings.caller_connections = number(value)?;
        Ok(())
    }),
    UrlOption::new("require_replicas", |settings, value| {
        settings.required_replicas = number(value)?;
        Ok(())
    }),
    UrlOption::new("quarantine", |settings, value| {
        settings.options.quarantine = duration(value)?;
        Ok(())
    }),
];

const RECIPES: &[(&str, Recipe)] = &[
    ("fair", Recipe::Fair),
    ("barging", Recipe::Barging),
    ("plain", Recipe::Plain),
    ("timestamp", Recipe::Timestamp),
];

/// Without logins.
impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("address_map", &self.address_map)
            .field("limits", &self.access.limits)
            .field("namespace", &self.access.namespace)
            .field("trust_url", &self.access.trusts_url)
            .field("recipe", &self.recipe)
            .field("options", &self.options)
            .field("required_replicas", &self.required_replicas)
            .field("caller_connections", &self.caller_connections)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::url_options::split;

    fn of(query: &str) -> Result<RedisSettings, LockError> {
        let (mut settings, (_, given)) = (RedisSettings::default(), split(query)?);
        settings.take(given, &["ttl"])?;
        settings.check().map(|()| settings)
    }

    #[test]
    fn every_option_is_set_by_its_name() {
        let settings = of(
            "?connect_timeout=3s&request_timeout=500ms&recipe=Fair&foreign_gap=10s,200ms&caller_connections=2\
             &require_replicas=1&quarantine=30s&sentinel_password=a%26b&db=3",
        )
        .unwrap();
        assert_eq!(settings.access.limits.connect, Duration::from_secs(3));
        assert_eq!(settings.access.limits.request, Duration::from_millis(500));
        assert_eq!(settings.recipe, Recipe::Fair);
        let gap = Gap { between: Duration::from_secs(10), length: Duration::from_millis(200) };
        assert_eq!(settings.options.gap, Some(gap));
        assert_eq!((settings.caller_connections, settings.required_replicas), (2, 1));
        assert_eq!(settings.options.quarantine, Duration::from_secs(30));
        assert_eq!(settings.sentinel_login, Some(("default".to_owned(), "a&b".to_owned())));
        assert_eq!(settings.database, Some(3));
        assert_eq!(of("?recipe=plain").unwrap().recipe, Recipe::Plain);
    }

    #[test]
    fn what_is_not_known_or_wrong_is_refused_by_name() {
        for (query, named) in [
            ("?quarantin=30s", "quarantine"),
            ("?quarantin=30s", "connect_timeout"),
            ("?quarantin=30s", "ttl"),
            ("?recipe=marker", "fair, barging, plain, timestamp"),
            ("?foreign_gap=10s", "foreign_gap"),
            ("?request_timeout=0s", "request_timeout"),
            ("?db=-1", "db"),
            ("?recipe=plain&quarantine=30s", "quarantine"),
        ] {
            let refused = of(query).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidOption);
            let text = refused.to_string();
            assert!(text.contains(named) && !text.contains("marker"), "{query}: {text}");
        }
    }
}
