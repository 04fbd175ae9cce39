//! The spans of an acquire and of a hold. They are made only if a subscriber listens, and take no room otherwise.

use crate::backend::{Backend, Claim};
use crate::error::ErrorKind;
use crate::lease::FencingToken;
use crate::time::Moment;
use tracing::Span;
use tracing::field::{Empty, debug, display};
use tracing::level_filters::LevelFilter;
use tracing::span::Entered;

/// From the first request to its outcome.
pub(crate) struct AcquireSpan(Option<Box<(Span, Moment)>>);

/// From the grant to the release.
pub(crate) struct HoldSpan(Option<Box<Span>>);

impl AcquireSpan {
    pub(crate) fn new(claim: &Claim, backend: &dyn Backend) -> Self {
        let span = heard(|| {
            tracing::info_span!(
                "dlock.acquire",
                key = %claim.key,
                namespace = backend.namespace().map(display),
                backend = backend.name(),
                outcome = Empty,
                waited_ms = Empty,
                token = Empty
            )
        });
        Self(span.map(|span| Box::new((span, Moment::now()))))
    }

    pub(crate) fn within<T>(&self, step: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(there) => there.0.in_scope(step),
            None => step(),
        }
    }

    /// The span of the hold that follows is no part of it.
    pub(crate) fn granted(self, token: FencingToken) {
        self.end(|span| span.record("outcome", "granted").record("token", display(token)));
    }

    pub(crate) fn failed(self, kind: ErrorKind) {
        self.end(|span| span.record("outcome", debug(kind)));
    }

    fn end(self, say: impl FnOnce(&Span) -> &Span) {
        if let Some((span, start)) = self.0.as_deref() {
            say(span).record("waited_ms", Moment::now().since(*start).as_millis());
        }
    }
}

impl HoldSpan {
    /// Of what is not held yet.
    pub(crate) const NONE: Self = Self(None);

    pub(crate) fn new(claim: &Claim, backend: &dyn Backend, token: FencingToken) -> Self {
        let span = heard(|| {
            tracing::info_span!(
                "dlock.hold",
                key = %claim.key,
                namespace = backend.namespace().map(display),
                backend = backend.name(),
                %token
            )
        });
        Self(span.map(Box::new))
    }

    pub(crate) fn enter(&self) -> Option<Entered<'_>> {
        self.0.as_ref().map(|span| span.enter())
    }
}

/// The span, if a subscriber listens. The level is looked at first: with tracing's feature `log` an unused span takes a
/// tenth of the time of a free lock.
fn heard(span: impl FnOnce() -> Span) -> Option<Span> {
    if LevelFilter::current() < LevelFilter::INFO {
        return None;
    }
    Some(span()).filter(|span| !span.is_disabled())
}
