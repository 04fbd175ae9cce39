//! The key of a request.

use crate::key_error::{Fault, KeyError};
use crate::path::resource_path;
use dlock_core::{KeyTemplate, LockKey};
use http::request::Parts;
use http::{HeaderName, Method};
use std::any::type_name;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Reads from a request what to lock.
///
/// [`Key`] does it part by part. For anything else write a closure, which may go on to use a [`Key`]. A closure sees the
/// request as the client wrote it: `/orders/42` and `/orders/%34%32` are two paths, and [`Key::uri_path`] knows that
/// they are one resource.
///
/// ```
/// use dlock_tower::{Key, KeyFromRequest};
/// use http::request::Parts;
///
/// let order = Key::new("order").uri_path();
/// let changes_only = move |parts: &Parts| match parts.method.is_safe() {
///     true => Ok(None), // reads are not locked
///     false => order.lock_key(parts),
/// };
///
/// let (read, ()) = http::Request::get("/orders/7").body(())?.into_parts();
/// assert_eq!(changes_only.lock_key(&read)?, None);
/// let (change, ()) = http::Request::put("/orders/7").body(())?.into_parts();
/// assert_eq!(changes_only.lock_key(&change)?.unwrap().as_bytes(), b"order:%2Forders%2F7");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait KeyFromRequest: Send + Sync + 'static {
    /// The key, or `None` to leave the request unlocked.
    ///
    /// # Errors
    /// [`KeyError::client`] if the request lacks something: it is answered 400. [`KeyError::wiring`] if the
    /// program does: it is answered 500 and logged.
    fn lock_key(&self, parts: &Parts) -> Result<Option<LockKey>, KeyError>;

    /// The same for the layer, which lends the parts. They are as before when this returns.
    #[doc(hidden)]
    fn read_key(&self, parts: &mut Parts) -> Result<Option<LockKey>, KeyError> {
        self.lock_key(parts)
    }
}

impl<F> KeyFromRequest for F
where
    F: Fn(&Parts) -> Result<Option<LockKey>, KeyError> + Send + Sync + 'static,
{
    fn lock_key(&self, parts: &Parts) -> Result<Option<LockKey>, KeyError> {
        self(parts)
    }
}

/// A key made of parts of the request, joined with `:`.
///
/// Values are escaped as those in an annotation's key, so that `Key::new("order").path_param("id")` and
/// `#[distributed_lock("order:{id}")]` lock the same thing, and no client can write a separator. Each part
/// has 1 to 128 bytes before it is escaped; a request with an empty or longer one is refused.
///
/// A value is text. Where the handler, or the annotated function, reads it as a number or an id, add
/// [`parsed_as`](Self::parsed_as), so that all spellings of one value are one key.
///
/// Put the tenant into the key, from an extension that an outer layer has checked. Otherwise a tenant can lock the
/// things of other tenants.
///
/// ```
/// use dlock_tower::{Key, KeyFromRequest};
///
/// #[derive(Clone)]
/// struct Tenant(u32);
///
/// let key = Key::new("payment").ext(|tenant: &Tenant| tenant.0).header("idempotency-key");
///
/// let request = http::Request::post("/payments").extension(Tenant(7)).header("idempotency-key", "a:b");
/// let (parts, ()) = request.body(())?.into_parts();
/// assert_eq!(key.lock_key(&parts)?.unwrap().as_bytes(), b"payment:7:a%3Ab");
///
/// let (parts, ()) = http::Request::post("/payments").extension(Tenant(7)).body(())?.into_parts();
/// assert!(key.lock_key(&parts).unwrap_err().is_client_fault());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a key does nothing until a layer is made with it"]
pub struct Key {
    parts: Vec<KeyPart>,
    stripes: Option<u64>,
}

enum KeyPart {
    Literal(Cow<'static, str>),
    Value { name: String, fault: Fault, read: Box<ReadPart> },
}

/// Reads the text of a part; `None` leaves the request unlocked. The parts can be changed because axum's extractors
/// ask for that.
type ReadPart = dyn for<'a> Fn(&'a mut Parts) -> PartText<'a> + Send + Sync;
pub(crate) type PartText<'a> = Result<Option<Cow<'a, str>>, KeyError>;

impl Key {
    /// The longest part, in bytes before it is escaped.
    pub const MAX_PART_LEN: usize = 128;

    /// A key that begins with `namespace`, which says what sort of thing is locked.
    pub fn new(namespace: impl Into<Cow<'static, str>>) -> Self {
        Self { parts: Vec::new(), stripes: None }.lit(namespace)
    }

    /// Adds a fixed text, as it is.
    pub fn lit(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.parts.push(KeyPart::Literal(text.into()));
        self
    }

    /// Adds a header's value, without blanks around it. A request without the header, with two of it, or with one
    /// that is not UTF-8 is answered 400.
    ///
    /// The value is taken as it is: `a,b` and `a, b` are two keys, and so are `Example.com` and `example.com`. If
    /// the handler reads it as something else than text, see [`parsed_as`](Self::parsed_as). Requests over HTTP/2
    /// have no header `host`.
    pub fn header(self, name: &str) -> Self {
        self.add_header(name, true)
    }

    /// Adds a header's value if there is one; a request without the header is not locked at all. Otherwise as
    /// [`header`](Self::header): an empty value is answered 400.
    pub fn optional_header(self, name: &str) -> Self {
        self.add_header(name, false)
    }

    /// Adds what `value` makes of the request's extension of type `T`, such as a tenant that an outer authentication
    /// layer put there. A request without the extension, or with an empty or too long value, is answered 500, since it
    /// is not the client's fault.
    ///
    /// The printed value is the key. So it must print one text for one thing: two equal values that print different
    /// texts are two keys.
    pub fn ext<T, V>(self, value: impl Fn(&T) -> V + Send + Sync + 'static) -> Self
    where
        T: Send + Sync + 'static,
        V: fmt::Display,
    {
        self.add(format!("extension {}", type_name::<T>()), Fault::Wiring, move |parts| {
            match parts.extensions.get::<T>() {
                Some(extension) => Ok(Some(value(extension).to_string().into())),
                None => Err(KeyError::wiring(format!(
                    "no request extension of type {}; put the layer that sets it outside of the LockLayer",
                    type_name::<T>()
                ))),
            }
        })
    }

    /// Adds the path of the URI, without the query: one key for one resource, however a client spells its path.
    ///
    /// - Percent escapes are decoded: `/orders/%34%32` and `/orders/42` are one key.
    /// - `%2F` is no separator, as for axum: `/a%2Fb` and `/a/b` are two keys. Nor is `%2534` decoded twice.
    /// - Empty segments do not count: `/orders//42/` and `/orders/42` are one key.
    /// - Capital letters, `+` and `;` do: `/a`, `/A` and `/a;v=1` are three keys.
    /// - A path with a segment `.` or `..`, however it is spelled, is answered 400: programs do not agree on what
    ///   it means. So is a path that is not UTF-8 when it is decoded, and a URI without a path.
    /// - The scheme and the host are left out: several hosts of one server share keys.
    ///
    /// A router may distinguish two paths that are one key here. Their requests then wait for each other.
    ///
    /// axum's `nest` cuts off the prefix that it matched. With the feature `axum` the key still has the whole path:
    /// order 42 of one shop is not order 42 of another. Without the feature, and with other routers, the key has only
    /// what the router left. Then add what it cut off, or two resources share a key.
    ///
    /// ```
    /// use dlock_tower::{Key, KeyFromRequest};
    ///
    /// let key = Key::new("order").uri_path();
    /// for path in ["/orders/42", "/orders/%34%32", "/orders//42/", "/orders/42?dry-run"] {
    ///     let (parts, ()) = http::Request::put(path).body(())?.into_parts();
    ///     assert_eq!(key.lock_key(&parts)?.unwrap().as_bytes(), b"order:%2Forders%2F42");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn uri_path(self) -> Self {
        self.add("URI path".to_owned(), Fault::Client, |parts| Ok(Some(resource_path(parts)?)))
    }

    /// Adds the method, such as `POST`. `HEAD` counts as `GET`: it asks for the same thing, and axum has one handler
    /// for both.
    pub fn method(self) -> Self {
        self.add("method".to_owned(), Fault::Client, |parts| Ok(Some(method(&parts.method).into())))
    }

    /// Reads the part added just before as a `T`, and adds what the `T` prints instead. Spellings of one value are
    /// then one key: `42`, `042` and `+42` of a number, or capital and small letters of a UUID.
    ///
    /// Use it wherever the handler reads a value as something other than text, such as `Path<u64>`. Without it a client
    /// can write order 42 as `/orders/042`, and gets a different lock for it. A part that cannot be read as a `T` is
    /// answered 400. Behind [`lit`](Self::lit) there is nothing to read, and requests are answered 500.
    ///
    /// ```
    /// use dlock_tower::{Key, KeyFromRequest};
    ///
    /// let key = Key::new("order").header("x-order").parsed_as::<u64>();
    /// for order in ["42", "042", "+42"] {
    ///     let (parts, ()) = http::Request::put("/").header("x-order", order).body(())?.into_parts();
    ///     assert_eq!(key.lock_key(&parts)?.unwrap().as_bytes(), b"order:42");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parsed_as<T>(mut self) -> Self
    where
        T: FromStr + fmt::Display + 'static,
    {
        let part = self.parts.pop();
        self.parts.extend(part.map(KeyPart::parsed_as::<T>));
        self
    }

    /// Maps all values of the parts to `stripes` keys. So values that clients choose freely cannot make more keys than
    /// that. Things on one stripe wait for each other. It is off by default.
    ///
    /// The stripe depends only on the parts and on `stripes`, so all processes must use the same number. With zero,
    /// requests are answered 500.
    ///
    /// ```
    /// use dlock_tower::{Key, KeyFromRequest};
    ///
    /// let key = Key::new("upload").uri_path().striped(16);
    /// let (parts, ()) = http::Request::put("/notes.txt").body(())?.into_parts();
    /// assert_eq!(key.lock_key(&parts)?.unwrap().as_bytes(), b"upload:stripe:16:0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn striped(self, stripes: u32) -> Self {
        Self { stripes: Some(stripes.into()), ..self }
    }

    /// Adds a part whose emptiness or length is `fault`'s.
    pub(crate) fn add<F>(mut self, name: String, fault: Fault, read: F) -> Self
    where
        F: for<'a> Fn(&'a mut Parts) -> PartText<'a> + Send + Sync + 'static,
    {
        self.parts.push(KeyPart::value(name, fault, read));
        self
    }

    fn add_header(self, name: &str, required: bool) -> Self {
        let part = format!("header {name}");
        let name = HeaderName::try_from(name).map_err(|_| format!("`{name}` is not a header name"));
        self.add(part, Fault::Client, move |parts| match &name {
            Ok(name) => match header(parts, name)? {
                None if required => Err(KeyError::client(format!("header {name} is missing"))),
                value => Ok(value),
            },
            Err(detail) => Err(KeyError::wiring(detail.clone())),
        })
    }
}

/// What a key says of a method.
fn method(method: &Method) -> &str {
    match *method {
        Method::HEAD => Method::GET.as_str(),
        _ => method.as_str(),
    }
}

/// The value of a header that is given once. Of two values, another layer might take the other.
fn header<'a>(parts: &'a Parts, name: &HeaderName) -> PartText<'a> {
    let mut values = parts.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match std::str::from_utf8(value.as_bytes()) {
            // Over HTTP/1 the server has taken the blanks off; over HTTP/2 it has not.
            Ok(text) => Ok(Some(text.trim_matches([' ', '\t']).into())),
            Err(_) => Err(KeyError::client(format!("header {name} is not valid UTF-8"))),
        },
        (Some(_), Some(_)) => Err(KeyError::client(format!("header {name} is given more than once"))),
    }
}

impl KeyFromRequest for Key {
    fn lock_key(&self, parts: &Parts) -> Result<Option<LockKey>, KeyError> {
        self.read_key(&mut parts.clone())
    }

    fn read_key(&self, parts: &mut Parts) -> Result<Option<LockKey>, KeyError> {
        self.key_of(parts).map_err(|error| error.at_route(parts))
    }
}

impl Key {
    fn key_of(&self, parts: &mut Parts) -> Result<Option<LockKey>, KeyError> {
        let mut template = KeyTemplate::new();
        for (index, part) in self.parts.iter().enumerate() {
            let separated = if index == 0 { template } else { template.literal(":") };
            template = match part.append(separated, parts)? {
                Some(template) => template,
                None => return Ok(None),
            };
        }
        let key = template.finish()?;
        Ok(Some(match self.stripes {
            Some(stripes) => self.stripe(&key, stripes)?,
            None => key,
        }))
    }

    fn stripe(&self, key: &LockKey, stripes: u64) -> Result<LockKey, KeyError> {
        let stripe = fnv_1a(key.as_bytes()).checked_rem(stripes);
        let stripe = stripe.ok_or_else(|| KeyError::wiring("a key of zero stripes locks nothing"))?;
        let namespace = match self.parts.first() {
            Some(KeyPart::Literal(text)) => text,
            _ => "",
        };
        let template = KeyTemplate::new().literal(namespace).literal(":stripe:").value(&stripes);
        Ok(template.literal(":").value(&stripe).finish()?)
    }
}

/// Spreads keys over stripes. Fixed for good: processes of two releases have to agree.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl KeyPart {
    /// This part, printed by a `T` that is read from its text.
    fn parsed_as<T>(self) -> Self
    where
        T: FromStr + fmt::Display + 'static,
    {
        let Self::Value { name, fault, read } = self else {
            return Self::value("parsed literal".to_owned(), Fault::Wiring, |_| {
                Err(KeyError::wiring("`parsed_as` must follow a part that is read from the request"))
            });
        };
        let invalid = format!("{name} is not a valid {}", type_name::<T>());
        Self::value(name, fault, move |parts| {
            let Some(text) = read(parts)? else { return Ok(None) };
            match text.parse::<T>() {
                Ok(value) => Ok(Some(value.to_string().into())),
                Err(_) => Err(KeyError { fault, detail: invalid.clone().into() }),
            }
        })
    }

    fn value<F>(name: String, fault: Fault, read: F) -> Self
    where
        F: for<'a> Fn(&'a mut Parts) -> PartText<'a> + Send + Sync + 'static,
    {
        Self::Value { name, fault, read: Box::new(read) }
    }

    fn append(&self, template: KeyTemplate, parts: &mut Parts) -> Result<Option<KeyTemplate>, KeyError> {
        match self {
            Self::Literal(text) => {
                check(text, "literal", Fault::Wiring)?;
                Ok(Some(template.literal(text)))
            }
            Self::Value { name, fault, read } => match read(parts)? {
                Some(text) => {
                    check(&text, name, *fault)?;
                    Ok(Some(template.value(&text)))
                }
                None => Ok(None),
            },
        }
    }
}

fn check(text: &str, name: &str, fault: Fault) -> Result<(), KeyError> {
    let detail = match text.len() {
        0 => format!("{name} is empty"),
        1..=Key::MAX_PART_LEN => return Ok(()),
        long => format!("{name} has {long} bytes, more than {}", Key::MAX_PART_LEN),
    };
    Err(KeyError { fault, detail: detail.into() })
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.parts).finish()?;
        self.stripes.map_or(Ok(()), |stripes| write!(f, " in {stripes} stripes"))
    }
}

impl fmt::Debug for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => write!(f, "{text:?}"),
            Self::Value { name, .. } => write!(f, "{{{name}}}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::request::Builder;
    use http::{HeaderValue, Request};
    use proptest::prelude::*;

    fn parts(builder: Builder) -> Parts {
        builder.body(()).unwrap().into_parts().0
    }

    fn read(key: &Key, builder: Builder) -> Vec<u8> {
        key.lock_key(&parts(builder)).unwrap().unwrap().as_bytes().to_vec()
    }

    fn fault(key: &Key, builder: Builder) -> (Fault, String) {
        let error = key.lock_key(&parts(builder)).unwrap_err();
        (error.fault, error.to_string())
    }

    #[test]
    fn parts_are_joined_in_order_and_values_escaped() {
        let key = Key::new("shop:order").method().lit("by").header("x-user").uri_path();
        let request = Request::post("/a/b?c=d").header("x-user", "é 1%");
        assert_eq!(read(&key, request), "shop:order:POST:by:é%201%25:%2Fa%2Fb".as_bytes());
    }

    #[test]
    fn a_header_must_be_there_once_and_readable() {
        let key = Key::new("order").header("x-user");
        let opaque = HeaderValue::from_bytes(b"\xff").unwrap();
        let twice = Request::get("/").header("x-user", "1").header("X-User", "1");
        for (request, detail) in [
            (Request::get("/"), "header x-user is missing"),
            (Request::get("/").header("x-user", ""), "header x-user is empty"),
            (Request::get("/").header("x-user", opaque), "header x-user is not valid UTF-8"),
            (twice, "header x-user is given more than once"),
        ] {
            assert_eq!(fault(&key, request), (Fault::Client, detail.to_owned()));
        }
    }

    #[test]
    fn without_an_optional_header_nothing_is_locked() {
        let key = Key::new("payment").optional_header("idempotency-key");
        assert_eq!(key.lock_key(&parts(Request::get("/"))).unwrap(), None);
        assert_eq!(read(&key, Request::get("/").header("Idempotency-Key", "7")), b"payment:7");
        let empty = Request::get("/").header("idempotency-key", "");
        assert_eq!(fault(&key, empty).0, Fault::Client);
    }

    #[test]
    fn blanks_around_a_headers_value_do_not_count() {
        let key = Key::new("order").header("X-User");
        let values =
            ["7", " 7", "7 ", "\t 7 \t"].map(|value| read(&key, Request::get("/").header("x-user", value)));
        assert_eq!(values, [b"order:7"; 4]);
        assert_eq!(read(&key, Request::get("/").header("x-user", "7, 8")), b"order:7,%208");
        for key in [key, Key::new("order").optional_header("X-User")] {
            let blank = Request::get("/").header("x-user", " \t");
            assert_eq!(fault(&key, blank), (Fault::Client, "header X-User is empty".to_owned()));
        }
    }

    #[test]
    fn a_parsed_part_is_one_key_for_one_value() {
        let key = Key::new("user").header("x-user").parsed_as::<u32>();
        for spelling in ["7", "007", "+7", " 7"] {
            assert_eq!(read(&key, Request::get("/").header("x-user", spelling)), b"user:7");
        }
        for text in ["x", "7 8", "-7", "0x7", &"7".repeat(40)] {
            let detail = "header x-user is not a valid u32".to_owned();
            assert_eq!(fault(&key, Request::get("/").header("x-user", text)), (Fault::Client, detail));
        }
        let optional = Key::new("user").optional_header("x-user").parsed_as::<u32>();
        assert_eq!(optional.lock_key(&parts(Request::get("/"))).unwrap(), None);
        assert_eq!(read(&optional, Request::get("/").header("x-user", "07")), b"user:7");
    }

    #[test]
    fn head_is_get_and_methods_have_upper_and_lower_case() {
        let key = Key::new("report").method();
        let keys = ["GET", "HEAD", "get", "PURGE"].map(|method| read(&key, Request::get("/").method(method)));
        assert_eq!(keys, [&b"report:GET"[..], b"report:GET", b"report:get", b"report:PURGE"]);
    }

    #[test]
    fn a_uri_without_a_path_is_refused_or_the_root() {
        let key = Key::new("x").uri_path();
        let tunnel = Request::connect("example.com:443");
        assert_eq!(fault(&key, tunnel), (Fault::Client, "URI path is empty".to_owned()));
        let root = ["/", "//", "http://example.com", "http://example.com/", "/?a=b", "http://example.com?a"];
        assert_eq!(root.map(|uri| read(&key, Request::get(uri))), [b"x:%2F"; 6]);
        assert_eq!(read(&key, Request::options("*")), b"x:*");
        assert_eq!(read(&key, Request::options("/*")), b"x:%2F*");
    }

    #[test]
    fn a_part_is_measured_before_it_is_escaped() {
        let key = Key::new("order").header("x-user");
        let longest = "%".repeat(Key::MAX_PART_LEN);
        assert_eq!(read(&key, Request::get("/").header("x-user", &longest)).len(), 6 + 3 * 128);
        let too_long = Request::get("/").header("x-user", longest + "%");
        assert_eq!(
            fault(&key, too_long),
            (Fault::Client, "header x-user has 129 bytes, more than 128".to_owned())
        );
    }

    #[test]
    fn a_key_that_is_too_long_in_all_is_the_clients_fault() {
        let key = Key::new("order").header("x-user").header("x-user");
        assert_eq!(fault(&key, Request::get("/").header("x-user", "%".repeat(128))).0, Fault::Client);
    }

    #[test]
    fn stripes_are_few_fixed_and_all_used() {
        let key = Key::new("user").header("x-user").striped(4);
        let stripe =
            |user: u32| String::from_utf8(read(&key, Request::get("/").header("x-user", user))).unwrap();
        let used: std::collections::BTreeSet<_> = (0..64).map(stripe).collect();
        let all = (0..4).map(|stripe| format!("user:stripe:4:{stripe}")).collect();
        assert_eq!(used, all);
        assert_eq!(fnv_1a(b"foobar"), 0x8594_4171_f739_67e8, "the published test vector");
    }

    #[test]
    fn what_is_not_locked_has_no_stripe() {
        let key = Key::new("user").optional_header("x-user").striped(4);
        assert_eq!(key.lock_key(&parts(Request::get("/"))).unwrap(), None);
    }

    #[test]
    fn what_the_program_should_have_set_up_is_its_own_fault() {
        let long = "a".repeat(129);
        for key in [
            Key::new(""),
            Key::new("order").lit(long.clone()),
            Key::new("order").header("not a name"),
            Key::new("order").striped(0),
            Key::new("order").optional_header(""),
            Key::new("order").parsed_as::<u32>(),
            Key::new("order").ext(|_: &u32| 7).lit("7").parsed_as::<u32>(),
            Key::new("order").ext(|_: &u32| "seven").parsed_as::<u32>(),
            Key::new("order").ext(|missing: &u8| *missing),
            Key::new("order").ext(|_: &u32| ""),
            Key::new("order").ext(move |_: &u32| long.clone()),
        ] {
            let request = Request::get("/").extension(7_u32);
            assert_eq!(fault(&key, request).0, Fault::Wiring, "{key:?}");
        }
    }

    proptest! {
        /// With all characters that separate or escape something in a key.
        #[test]
        fn no_value_can_pass_for_another_part(
            values in proptest::collection::vec("[ab:%/{}2F5A, ]{0,3}", 4),
        ) {
            let key = Key::new("k").header("x-a").lit("b:").header("x-b");
            let read = |values: &[String]| {
                let request = Request::get("/").header("x-a", &values[0]).header("x-b", &values[1]);
                key.lock_key(&parts(request)).ok()
            };
            let trimmed = |values: &[String]| [0, 1].map(|at| values[at].trim().to_owned());
            if let (Some(one), Some(other)) = (read(&values[..2]), read(&values[2..])) {
                prop_assert_eq!(one == other, trimmed(&values[..2]) == trimmed(&values[2..]));
            }
        }
    }
}
