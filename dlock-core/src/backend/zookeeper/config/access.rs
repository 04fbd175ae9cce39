//! The account of a client, and the accounts that may use the nodes it makes.

use crate::backend::url_options::Wrong;
use zookeeper::{Acl, Acls, AuthId, Connector, Permission};

/// Without credentials every client may do everything, since there is no account that nodes could belong to.
#[derive(Clone, Default)]
pub(crate) struct Access {
    user_and_password: Option<Vec<u8>>,
    #[cfg(feature = "zookeeper-sasl")]
    sasl: Option<(String, String)>,
    others: Vec<AuthId>,
    node_acl: Vec<Acl>,
    dir_acl: Vec<Acl>,
}

impl Access {
    pub(crate) fn set_digest(&mut self, user: &str, password: &[u8]) -> Result<(), Wrong> {
        if user.is_empty() || user.contains(':') {
            return Err("the user is empty or has a colon in it, which the digest scheme cannot carry".into());
        }
        self.user_and_password = Some([user.as_bytes(), b":", password].concat());
        self.write_lists();
        Ok(())
    }

    /// User and password for SASL. Of a URL they come one after the other.
    #[cfg(feature = "zookeeper-sasl")]
    pub(crate) fn set_sasl(&mut self, user: Option<&str>, password: Option<&str>) {
        let (known_user, known_password) = self.sasl.take().unwrap_or_default();
        self.sasl =
            Some((user.map_or(known_user, str::to_owned), password.map_or(known_password, str::to_owned)));
        self.write_lists();
    }

    #[cfg(feature = "zookeeper-sasl")]
    fn check_sasl(&self) -> Result<(), Wrong> {
        let cannot_be = |text: &str| text.is_empty() || text.contains(['"', '\\', '\0']);
        match &self.sasl {
            Some((user, password)) if cannot_be(user) || cannot_be(password) => Err(
                "the user or the password for SASL is empty, or has a quotation mark or a backslash in it, which the \
                 protocol and the server's configuration cannot carry"
                    .into(),
            ),
            _ => Ok(()),
        }
    }

    #[cfg(not(feature = "zookeeper-sasl"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as with the feature")]
    fn check_sasl(&self) -> Result<(), Wrong> {
        Ok(())
    }

    pub(crate) fn share_with(&mut self, scheme: &str, id: &str) -> Result<(), Wrong> {
        if scheme.is_empty() || id.is_empty() {
            return Err("the locks are shared with a scheme or an id that is empty".into());
        }
        if scheme == "digest" && !is_digest(id) {
            return Err(
                "the locks are shared with a digest that is none; write user:HASH, as ZooKeeper prints it \
                        in access lists, and never the password"
                    .into(),
            );
        }
        self.others.push(AuthId::new(scheme, id));
        self.write_lists();
        Ok(())
    }

    /// What only shows when everything is set.
    pub(crate) fn check(&self) -> Result<(), Wrong> {
        self.check_sasl()?;
        match (self.is_named(), self.others.is_empty()) {
            (false, false) => {
                Err("the locks are shared with others, but without credentials they are everybody's; \
                                  set digest_auth"
                    .into())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn is_named(&self) -> bool {
        self.user_and_password.is_some() || self.has_sasl()
    }

    #[cfg(feature = "zookeeper-sasl")]
    fn has_sasl(&self) -> bool {
        self.sasl.is_some()
    }

    #[cfg(not(feature = "zookeeper-sasl"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    fn has_sasl(&self) -> bool {
        false
    }

    pub(crate) fn introduce(&self, connector: Connector) -> Connector {
        let connector = match &self.user_and_password {
            Some(user_and_password) => connector.with_auth("digest", user_and_password),
            None => connector,
        };
        self.introduce_by_sasl(connector)
    }

    #[cfg(feature = "zookeeper-sasl")]
    fn introduce_by_sasl(&self, connector: Connector) -> Connector {
        match &self.sasl {
            Some((user, password)) => {
                connector.with_sasl(zookeeper::SaslOptions::digest_md5(user.clone(), password.clone()))
            }
            None => connector,
        }
    }

    #[cfg(not(feature = "zookeeper-sasl"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    fn introduce_by_sasl(&self, connector: Connector) -> Connector {
        connector
    }

    /// For lock nodes: no other account may change them.
    pub(crate) fn node_acl(&self) -> Acls<'_> {
        self.or_anyone(&self.node_acl)
    }

    /// For directories: no other account may use them. An account that may delete in a directory may free its lock.
    pub(crate) fn dir_acl(&self) -> Acls<'_> {
        self.or_anyone(&self.dir_acl)
    }

    fn or_anyone<'a>(&self, acl: &'a [Acl]) -> Acls<'a> {
        if self.is_named() { Acls::new(acl) } else { Acls::anyone_all() }
    }

    fn write_lists(&mut self) {
        let all_but_admin = Permission::READ | Permission::WRITE | Permission::CREATE | Permission::DELETE;
        let others = self.others.iter().map(|other| Acl::new(all_but_admin, other.clone()));
        self.dir_acl = std::iter::once(Acl::new(Permission::ALL, AuthId::authed())).chain(others).collect();
        self.node_acl.clone_from(&self.dir_acl);
        // A waiter must be able to watch the node ahead, whatever its account.
        self.node_acl.push(Acl::new(Permission::READ, AuthId::anyone()));
    }
}

/// `user:HASH`, the hash being the 20 bytes of SHA-1 in Base64.
fn is_digest(id: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    id.split_once(':').is_some_and(|(user, hash)| {
        let digits = hash.strip_suffix('=').unwrap_or_default();
        !user.is_empty() && digits.len() == 27 && digits.bytes().all(is_base64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=";

    #[test]
    fn a_user_that_digest_cannot_carry_is_refused() {
        for wrong in ["", "a:b"] {
            assert!(Access::default().set_digest(wrong, b"x").is_err());
        }
    }

    #[test]
    fn a_digest_is_told_from_a_password() {
        let mut access = Access::default();
        access.share_with("digest", DIGEST).unwrap();
        access.share_with("ip", "10.0.0.0/8").unwrap();
        for wrong in [
            "",
            "super",
            "super:",
            "super:secret",
            ":xQJmxLMiHGwaqBvst5y6rkB6HQs=",
            "super:xQJmxLMiHGwaqBvst5y6rkB6HQsx",
        ] {
            let wrong = access.share_with("digest", wrong).expect_err(wrong);
            assert!(!wrong.contains("secret"), "{wrong}");
        }
        assert!(access.share_with("", "x").is_err());
    }

    #[test]
    fn what_is_everybodys_cannot_be_shared() {
        let mut access = Access::default();
        access.share_with("digest", DIGEST).unwrap();
        assert!(access.check().is_err());
        access.set_digest("me", b"secret").unwrap();
        access.check().unwrap();
        assert_eq!((access.dir_acl.len(), access.node_acl.len()), (2, 3));
    }
}
