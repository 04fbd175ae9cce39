//! The settings in one line: `zookeeper[+tls]://[user:password@]host[:2181][,host…][/root][?option=value]`.

use super::settings::Settings;
use crate::backend::url_options::{GivenOptions, UrlOption, Wrong, choice, duration, flag, names, number};
#[cfg(feature = "zookeeper-tls")]
use crate::backend::url_options::{file, two_files};
use crate::backend::zookeeper::Dialect;
use crate::backend::zookeeper::recipe::Recipe;
use crate::error::LockError;

/// Takes the options that a URL gives. `others` are the names of those that were taken before.
///
/// # Errors
/// [`ErrorKind::InvalidOption`](crate::ErrorKind::InvalidOption) if one is not known or wrong.
pub(crate) fn take(given: GivenOptions, others: &[&str], settings: &mut Settings) -> Result<(), LockError> {
    let left = given.apply(OPTIONS, settings)?.apply(TLS_OPTIONS, settings)?;
    left.refuse_others(&[others, &names(OPTIONS), &names(TLS_OPTIONS)].concat())
}

const OPTIONS: &[UrlOption<Settings>] = &[
    UrlOption::new("namespace", Settings::set_namespace),
    UrlOption::new("session_timeout", |settings, value| settings.set_session_timeout(duration(value)?)),
    UrlOption::new("request_timeout", |settings, value| settings.set_request_timeout(duration(value)?)),
    UrlOption::new("connect_within", |settings, value| {
        settings.start_mut().connect_within = duration(value)?;
        Ok(())
    }),
    UrlOption::new("lazy", |settings, value| {
        settings.start_mut().is_lazy = flag(value)?;
        Ok(())
    }),
    UrlOption::new("lost_after_percent", |settings, value| settings.set_lost_after_percent(number(value)?)),
    UrlOption::new("dialect", |settings, value| {
        settings.set_dialect(choice(value, &[("curator", Dialect::Curator), ("kazoo", Dialect::Kazoo)])?);
        Ok(())
    }),
    UrlOption::new("recipe", |settings, value| {
        settings
            .set_recipe(choice(value, &[("sequential", Recipe::Sequential), ("simple", Recipe::Simple)])?);
        Ok(())
    }),
    #[cfg(feature = "zookeeper-sasl")]
    UrlOption::new("sasl_user", |settings, value| {
        settings.access_mut().set_sasl(Some(value), None);
        Ok(())
    }),
    #[cfg(feature = "zookeeper-sasl")]
    UrlOption::new("sasl_password", |settings, value| {
        settings.access_mut().set_sasl(None, Some(value));
        Ok(())
    }),
    UrlOption::new("share_with", |settings, value| {
        value.split(',').try_for_each(|other| share(settings, other))
    }),
];

#[cfg(feature = "zookeeper-tls")]
const TLS_OPTIONS: &[UrlOption<Settings>] = &[
    UrlOption::new("root_certificates", |settings, value| settings.tls_mut().set_roots(&file(value)?)),
    UrlOption::new("client_certificate", |settings, value| {
        let (certificate, key) = two_files(value)?;
        settings.tls_mut().set_identity(&certificate, &key)
    }),
];

#[cfg(not(feature = "zookeeper-tls"))]
const TLS_OPTIONS: &[UrlOption<Settings>] = &[];

/// `scheme:id`.
fn share(settings: &mut Settings, other: &str) -> Result<(), Wrong> {
    let (scheme, id) = other.split_once(':').ok_or("write scheme:id, such as ip:10.0.0.0/8")?;
    settings.access_mut().share_with(scheme, id)
}

/// Puts what `url`, without its options, says into `settings`. The URL may hold a password and is never part of an
/// error.
pub(crate) fn apply(url: &str, settings: &mut Settings) -> Result<(), Wrong> {
    let no_scheme = "the URL begins with neither zookeeper:// nor zookeeper+tls://";
    let (scheme, rest) = url.split_once("://").ok_or(no_scheme)?;
    match scheme.to_ascii_lowercase().as_str() {
        "zookeeper" => {}
        "zookeeper+tls" => settings.tls_mut().demand()?,
        _ => return Err(no_scheme.into()),
    }
    let (authority, root) = match rest.split_once('/') {
        Some((authority, root)) => (authority, root),
        None => (rest, ""),
    };
    if root.contains('@') {
        return Err("the URL's path has an @ in it; percent-encode a slash in the password".into());
    }
    let hosts = match authority.rsplit_once('@') {
        Some((user, hosts)) => {
            set_user(user, settings)?;
            hosts
        }
        None => authority,
    };
    settings.set_hosts(hosts)?;
    match root {
        "" => Ok(()),
        root => settings.set_root(&format!("/{root}")),
    }
}

fn set_user(user: &str, settings: &mut Settings) -> Result<(), Wrong> {
    let (user, password) =
        user.split_once(':').ok_or("the URL names a user without a password; write user:password@")?;
    let user = percent_decoded(user).and_then(|user| String::from_utf8(user).ok());
    match (user, percent_decoded(password)) {
        (Some(user), Some(password)) => settings.access_mut().set_digest(&user, &password),
        _ => Err("the URL's user or password is not percent-encoded as it should be; write % as %25".into()),
    }
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? * 16 + hex(bytes.next()?)?,
            plain => plain,
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::url_options::split;
    use crate::key::Namespace;
    use proptest::prelude::*;
    use std::time::Duration;

    fn parsed(url: &str) -> Result<Settings, Wrong> {
        let mut settings = Settings::default();
        let (place, options) = split(url).map_err(|error| error.to_string())?;
        apply(place, &mut settings)?;
        take(options, &["ttl"], &mut settings).map_err(|error| error.to_string())?;
        Ok(settings)
    }

    #[test]
    fn options_are_set_by_their_names() {
        let settings = parsed(
            "ZooKeeper://me:secret@a/x?namespace=shop:&session_timeout=4s&request_timeout=500ms&lost_after_percent=50&dialect=kazoo\
             &recipe=simple&share_with=ip:10.0.0.0/8,digest:super:xQJmxLMiHGwaqBvst5y6rkB6HQs%3D",
        )
        .unwrap();
        assert_eq!(settings.connect_limit(), Duration::from_secs(4));
        assert_eq!(settings.request_timeout(), Duration::from_millis(500));
        assert_eq!((settings.lost_after_percent(), settings.dialect()), (50, Dialect::Kazoo));
        assert_eq!(settings.recipe(), Recipe::Simple);
        assert_eq!(settings.namespace().map(Namespace::as_str), Some("shop:"));
        settings.check().unwrap();
        for (wrong, named) in [
            ("zookeeper://a?session_timeot=4s", "session_timeout"),
            ("zookeeper://a?session_timeot=4s", "ttl"),
            ("zookeeper://a?session_timeout=1ms", "50ms"),
            ("zookeeper://a?dialect=secret", "kazoo"),
            ("zookeeper://a?namespace=", "empty"),
            ("zookeeper://a?share_with=secret", "scheme:id"),
        ] {
            let text = parsed(wrong).expect_err(wrong);
            assert!(text.contains(named) && !text.contains("secret"), "{wrong}: {text}");
        }
    }

    #[test]
    fn hosts_root_and_user_are_read() {
        let plain = parsed("zookeeper://a").unwrap();
        assert_eq!((plain.hosts(), plain.root()), ("a", "/locks"));
        let slash = parsed("zookeeper://a:1,b:2/").unwrap();
        assert_eq!((slash.hosts(), slash.root()), ("a:1,b:2", "/locks"));
        let full = parsed("zookeeper://me:p%40ss%2Fw%C3%BCrd@a,b:2/x/y").unwrap();
        assert_eq!((full.hosts(), full.root()), ("a,b:2", "/x/y"));
        assert!(format!("{full:?}").contains("digest_auth: true"));
    }

    #[test]
    fn users_are_decoded() {
        assert_eq!(percent_decoded("p%40ss%2F%c3%bc").as_deref(), Some("p@ss/\u{fc}".as_bytes()));
        for wrong in ["%", "%4", "%zz", "%+1", "a%"] {
            assert_eq!(percent_decoded(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_wrong_url_is_refused_and_never_shown() {
        for url in [
            "",
            "redis://a",
            "zookeeper:a",
            "zookeeper+tls:a",
            "zookeeper+tls://",
            "zookeeper+ssl://a",
            "zookeeper://",
            "zookeeper:///locks",
            "zookeeper://a//",
            "zookeeper://a/x/",
            "zookeeper://me:secret@",
            "zookeeper://secret@a",
            "zookeeper://:secret@a",
            "zookeeper://me:secret%@a",
            "zookeeper://me:sec/secret@a",
            "zookeeper://me:12/secret@a",
            "zookeeper://a:secret",
            "zookeeper://a/x?secret",
            "zookeeper://a/../secret",
            "zookeeper://me%3A:secret@a",
            "zookeeper://me%FF:secret@a",
        ] {
            let wrong = parsed(url).expect_err(url);
            assert!(!wrong.contains("secret"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_url_is_too_odd(rest in ".{0,40}", user in "[a-z%@:/]{0,8}") {
            let _ = parsed(&rest);
            let _ = parsed(&format!("zookeeper://{user}{rest}"));
        }
    }
}
