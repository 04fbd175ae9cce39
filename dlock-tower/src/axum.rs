//! The parts for axum: path parameters, extractors, responses.

use crate::key::{Key, PartText};
use crate::key_error::{Fault, KeyError};
use crate::locked::Locked;
use crate::rejection::LockRejection;
use ::axum::body::Body;
use ::axum::extract::rejection::RawPathParamsRejection;
use ::axum::extract::{FromRequestParts, OptionalFromRequestParts, RawPathParams};
use ::axum::response::{IntoResponse, Response};
use http::request::Parts;
use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

impl Key {
    /// Adds the value of a parameter of the route's path, such as `id` in `/orders/{id}`, percent-decoded: the text that
    /// a handler gets by `Path<String>`. If the handler reads it as something else, such as `Path<u64>`, add
    /// [`parsed_as`](Self::parsed_as): `042` and `42` are two texts and one number.
    ///
    /// In a wildcard such as `{*path}`, `a/b` and `a%2Fb` are one text, and `a/b` and `a//b` are two.
    ///
    /// On a route without that parameter, or with two of that name (one of them in the path of a `nest`), a request is
    /// answered 500. Add the layer with `route_layer`: with `layer` it also gets the requests that no route matches,
    /// and answers those with 500, not 404.
    pub fn path_param(self, name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        self.add(format!("path parameter {name}"), Fault::Client, move |parts| path_param(parts, &name))
    }
}

fn path_param(parts: &mut Parts, name: &str) -> PartText<'static> {
    let params = path_params(parts)?;
    let mut values = params.iter().filter(|(found, _)| *found == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(Some(value.to_owned().into())),
        (None, _) => {
            let names = params.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "none".to_owned() } else { names };
            Err(KeyError::wiring(format!("the route's path has no parameter `{name}`; it has {names}")))
        }
        (Some(_), Some(_)) => Err(KeyError::wiring(format!(
            "the route's path has two parameters named `{name}`; rename one of them"
        ))),
    }
}

/// axum's own type for the parameters is private; its extractor is async without ever waiting.
fn path_params(parts: &mut Parts) -> Result<RawPathParams, KeyError> {
    let extracting = pin!(RawPathParams::from_request_parts(parts, &()));
    match extracting.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(params)) => Ok(params),
        Poll::Ready(Err(RawPathParamsRejection::InvalidUtf8InPathParam(error))) => {
            Err(KeyError::client(error.to_string()))
        }
        Poll::Ready(Err(error)) => Err(KeyError::wiring(error.to_string())),
        Poll::Pending => Err(KeyError::wiring("axum waits for the path parameters")),
    }
}

/// Answers 500 on a route without [`LockLayer`](crate::LockLayer), and where the layer's key was `None`.
impl<S: Send + Sync> FromRequestParts<S> for Locked {
    type Rejection = LockRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, LockRejection> {
        parts.extensions.get().cloned().ok_or_else(|| {
            let detail = "add the layer with `route_layer`; if its key is `None` for some requests, take \
                          `Option<Locked>`";
            LockRejection::no_layer(KeyError::wiring(detail).at_route(parts))
        })
    }
}

/// `None` for a request that is not locked.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Locked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}

impl IntoResponse for LockRejection {
    fn into_response(self) -> Response {
        self.report();
        self.to_http().map(Body::from)
    }
}
