//! The settings in one line: `zookeeper[+tls]://[user:password@]host[:2181][,host…][/root]`.

use super::settings::Settings;
use super::wrong::Wrong;

/// Puts what `url` says into `settings`. The URL may hold a password and is never part of an error.
pub(crate) fn apply(url: &str, settings: &mut Settings) -> Result<(), Wrong> {
    let rest = match url.strip_prefix("zookeeper+tls://") {
        Some(rest) => {
            settings.tls_mut().demand()?;
            rest
        }
        None => url
            .strip_prefix("zookeeper://")
            .ok_or("the URL begins with neither zookeeper:// nor zookeeper+tls://")?,
    };
    let (authority, root) = match rest.split_once('/') {
        Some((authority, root)) => (authority, root),
        None => (rest, ""),
    };
    if root.contains(['@', '?', '#']) {
        let wrong = "the URL's path has an @, ? or # in it; percent-encode a slash in the password, and set options \
                     by the builder";
        return Err(wrong.into());
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
    use proptest::prelude::*;

    fn parsed(url: &str) -> Result<Settings, Wrong> {
        let mut settings = Settings::default();
        apply(url, &mut settings).map(|()| settings)
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
