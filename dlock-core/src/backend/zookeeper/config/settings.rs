//! Checked settings, and how the client gets them.

use super::access::Access;
use super::names;
use super::tls::Tls;
use crate::backend::start::StartOptions;
use crate::backend::url_options::Wrong;
use crate::backend::zookeeper::Dialect;
use crate::backend::zookeeper::path;
use crate::backend::zookeeper::recipe::Recipe;
use crate::key::Namespace;
use std::fmt;
use std::time::Duration;
use zookeeper::{Client, Connector, CreateMode, CreateOptions, Error};

/// What a backend value was built with. Every value has passed its check.
#[derive(Clone)]
pub(crate) struct Settings {
    hosts: String,
    root: String,
    namespace: Option<Namespace>,
    dialect: Dialect,
    session_timeout: Duration,
    lost_after_percent: u32,
    request_timeout: Duration,
    access: Access,
    recipe: Recipe,
    tls: Tls,
    start: StartOptions,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts: "127.0.0.1:2181".to_owned(),
            root: "/locks".to_owned(),
            namespace: None,
            dialect: Dialect::default(),
            session_timeout: Duration::from_secs(10),
            lost_after_percent: 60,
            request_timeout: Duration::from_secs(3),
            access: Access::default(),
            recipe: Recipe::default(),
            tls: Tls::default(),
            start: StartOptions::default(),
        }
    }
}

impl Settings {
    /// `host[:port]`, several separated by commas.
    pub(crate) fn set_hosts(&mut self, hosts: &str) -> Result<(), Wrong> {
        let hosts: Vec<_> = hosts.split(',').map(str::trim).collect();
        if let Some(wrong) = hosts.iter().find_map(|host| what_is_wrong(host)) {
            return Err(wrong.into());
        }
        self.hosts = hosts.join(",");
        Ok(())
    }

    pub(crate) fn set_root(&mut self, root: &str) -> Result<(), Wrong> {
        if !path::is_root(root) {
            let wrong = "the root is not a path that ZooKeeper accepts; use one such as \"/locks\", with no slash at the end";
            return Err(wrong.into());
        }
        root.clone_into(&mut self.root);
        Ok(())
    }

    pub(crate) fn set_namespace(&mut self, namespace: &str) -> Result<(), Wrong> {
        self.namespace = Some(Namespace::parse(namespace)?);
        Ok(())
    }

    pub(crate) fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    pub(crate) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    pub(crate) fn set_session_timeout(&mut self, timeout: Duration) -> Result<(), Wrong> {
        self.session_timeout = in_range(timeout, "session timeout", 24)?;
        Ok(())
    }

    pub(crate) fn set_lost_after_percent(&mut self, percent: u32) -> Result<(), Wrong> {
        if !(40..=75).contains(&percent) {
            return Err(format!("guards lost after {percent} % of the session timeout: use 40 to 75").into());
        }
        self.lost_after_percent = percent;
        Ok(())
    }

    pub(crate) fn lost_after_percent(&self) -> u32 {
        self.lost_after_percent
    }

    pub(crate) fn set_request_timeout(&mut self, timeout: Duration) -> Result<(), Wrong> {
        self.request_timeout = in_range(timeout, "request timeout", 1)?;
        Ok(())
    }

    pub(crate) fn access_mut(&mut self) -> &mut Access {
        &mut self.access
    }

    pub(crate) fn start(&self) -> StartOptions {
        self.start
    }

    pub(crate) fn start_mut(&mut self) -> &mut StartOptions {
        &mut self.start
    }

    pub(crate) fn tls_mut(&mut self) -> &mut Tls {
        &mut self.tls
    }

    /// What only shows when everything is set.
    pub(crate) fn check(&self) -> Result<(), Wrong> {
        self.access.check()?;
        self.tls.check(self.hosts())
    }

    pub(crate) fn set_recipe(&mut self, recipe: Recipe) {
        self.recipe = recipe;
    }

    pub(crate) fn recipe(&self) -> Recipe {
        self.recipe
    }

    pub(crate) fn hosts(&self) -> &str {
        &self.hosts
    }

    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// How long connecting may take: as long as the session that is asked for.
    pub(crate) fn connect_limit(&self) -> Duration {
        self.session_timeout
    }

    pub(crate) async fn connect(&self) -> Result<Client, Error> {
        if self.tls.is_demanded() {
            // A certificate is for a name.
            return self.tls.connect(self.connector(), self.hosts()).await;
        }
        let hosts = names::with_addresses(self.hosts(), self.connect_limit() / 4).await;
        self.tls.connect(self.connector(), &hosts).await
    }

    fn connector(&self) -> Connector {
        let connector = Client::connector().with_session_timeout(self.session_timeout).with_fail_eagerly();
        self.access.introduce(connector)
    }

    /// How lock nodes are made.
    pub(crate) fn node_options(&self, mode: CreateMode) -> CreateOptions<'_> {
        mode.with_acls(self.access.node_acl())
    }

    /// How directories are made.
    pub(crate) fn dir_options(&self, mode: CreateMode) -> CreateOptions<'_> {
        mode.with_acls(self.access.dir_acl())
    }
}

/// Why `host` is none.
fn what_is_wrong(host: &str) -> Option<&'static str> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, "2181"),
    };
    if name.is_empty() {
        return Some("a host is empty; name servers as \"zk1:2181,zk2:2181\"");
    }
    if host.contains(['/', '@']) {
        return Some("a host contains a slash or an @; set the root and the user by their own settings");
    }
    if host.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Some("a host contains a space; separate servers by commas");
    }
    if name.contains(':') && !(name.starts_with('[') && name.ends_with(']')) {
        return Some("a host has more than one colon; write IPv6 addresses as \"[::1]:2181\"");
    }
    if !port.parse::<u16>().is_ok_and(|port| port != 0) {
        return Some("a host's port is not a number from 1 to 65535");
    }
    None
}

/// From 50 ms to this many hours.
fn in_range(timeout: Duration, name: &'static str, hours: u64) -> Result<Duration, Wrong> {
    const SHORTEST: Duration = Duration::from_millis(50);
    if (SHORTEST..=Duration::from_secs(hours * 60 * 60)).contains(&timeout) {
        return Ok(timeout);
    }
    Err(format!("{name} {timeout:?}: use 50ms to {hours}h").into())
}

/// Without the credentials.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("hosts", &self.hosts)
            .field("root", &self.root)
            .field("namespace", &self.namespace)
            .field("dialect", &self.dialect)
            .field("session_timeout", &self.session_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("recipe", &self.recipe)
            .field("tls", &self.tls)
            .field("digest_auth", &self.access.is_named())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(hosts: &str) -> Result<String, Wrong> {
        let mut settings = Settings::default();
        settings.set_hosts(hosts).map(|()| settings.hosts)
    }

    #[test]
    fn hosts_are_checked_one_by_one() {
        assert_eq!(hosts("a:2181, b ,[::1]:2182,[::1]").unwrap(), "a:2181,b,[::1]:2182,[::1]");
        for wrong in [
            "",
            ",",
            "a,",
            "a:",
            "a:0",
            "a:x",
            "a:70000",
            "::1",
            "a b",
            "a/locks",
            "me:secret@a",
            "tcp://a",
            ":1",
        ] {
            assert!(!hosts(wrong).expect_err(wrong).contains("secret"));
        }
    }

    #[test]
    fn guards_may_be_lost_neither_between_heartbeats_nor_too_late() {
        let mut settings = Settings::default();
        for wrong in [0, 39, 76, u32::MAX] {
            assert!(settings.set_lost_after_percent(wrong).unwrap_err().contains("use 40 to 75"), "{wrong}");
        }
        settings.set_lost_after_percent(75).unwrap();
        assert_eq!(settings.lost_after_percent(), 75);
    }

    #[test]
    fn timeouts_are_checked_at_both_ends() {
        let mut settings = Settings::default();
        for wrong in [Duration::ZERO, Duration::from_millis(49), Duration::from_secs(86_401), Duration::MAX] {
            assert!(settings.set_session_timeout(wrong).unwrap_err().contains("use 50ms to 24h"));
            assert!(settings.set_request_timeout(wrong).unwrap_err().contains("use 50ms to 1h"));
        }
        assert!(settings.set_request_timeout(Duration::from_secs(3_601)).is_err());
        settings.set_session_timeout(Duration::from_secs(1)).unwrap();
        assert_eq!(settings.connect_limit(), Duration::from_secs(1));
    }
}
