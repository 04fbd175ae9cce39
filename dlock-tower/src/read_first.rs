//! Reading the request's body before the lock is asked for.

use crate::body::{BoxError, LockBody};
use crate::future::ResponseFuture;
use crate::rejection::LockRejection;
use crate::settings::{LayerSettings, LockDecision};
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use http_body_util::combinators::Collect;
use http_body_util::{BodyExt as _, Collected, LengthLimitError, Limited};
use pin_project_lite::pin_project;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// The layer leaves the request's body to the handler.
#[derive(Debug)]
pub enum AsItComes {}

/// The layer reads the request's body, see [`LockLayer::read_body_first`](crate::LockLayer::read_body_first).
#[derive(Debug)]
pub enum ReadFirst {}

pin_project! {
    /// The future of a [`Lock`](crate::Lock) that reads the request's body first.
    ///
    /// # Cancel safety
    /// As that of [`ResponseFuture`]; while the body is read there is no lock yet.
    #[must_use = "a future does nothing until it is awaited"]
    pub struct ReadFirstFuture<S, B>
    where
        S: Service<Request<B>>,
        B: Body,
        B::Error: Into<BoxError>,
    {
        #[pin]
        stage: ReadingStage<S, B>,
    }
}

pin_project! {
    #[project = ReadingStageProj]
    enum ReadingStage<S, B>
    where
        S: Service<Request<B>>,
        B: Body,
        B::Error: Into<BoxError>,
    {
        Reading { #[pin] body: Collect<Limited<B>>, rest: Option<Rest<S>> },
        Responding { #[pin] response: ResponseFuture<S, B> },
    }
}

/// All of a request but its body, and the service that gets it.
struct Rest<S> {
    inner: S,
    parts: Parts,
    decision: LockDecision,
    settings: Arc<LayerSettings>,
}

impl<S, B> ReadFirstFuture<S, B>
where
    S: Service<Request<B>>,
    B: Body<Data = Bytes> + From<Bytes>,
    B::Error: Into<BoxError>,
{
    pub(crate) fn begin(inner: S, request: Request<B>, settings: Arc<LayerSettings>) -> Self {
        let (mut parts, body) = request.into_parts();
        let decision = match settings.decide(&mut parts) {
            LockDecision::Lock(_) if body.size_hint().lower() > settings.read_first as u64 => {
                LockDecision::Reject(LockRejection::body_too_large())
            }
            decision => decision,
        };
        let rest = Rest { inner, parts, decision, settings };
        let stage = if matches!(rest.decision, LockDecision::Lock(_)) {
            ReadingStage::Reading {
                body: Limited::new(body, rest.settings.read_first).collect(),
                rest: Some(rest),
            }
        } else {
            ReadingStage::Responding { response: rest.respond(body) }
        };
        Self { stage }
    }
}

impl<S> Rest<S> {
    fn respond<B>(self, body: B) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        let Self { inner, parts, decision, settings } = self;
        ResponseFuture::decided(inner, Request::from_parts(parts, body), decision, settings)
    }

    /// What follows the reading: the lock, or the answer to a body that could not be read.
    fn read<B>(mut self, body: Result<Collected<Bytes>, BoxError>) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
        B: From<Bytes>,
    {
        let bytes = match body {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                self.decision = LockDecision::Reject(rejection(error));
                Bytes::new()
            }
        };
        self.respond(bytes.into())
    }
}

fn rejection(error: BoxError) -> LockRejection {
    if error.is::<LengthLimitError>() {
        LockRejection::body_too_large()
    } else {
        LockRejection::body_broken(error)
    }
}

impl<S, B, R> Future for ReadFirstFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: Body<Data = Bytes> + From<Bytes>,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<LockBody<R>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let mut stage = self.as_mut().project().stage;
            match stage.as_mut().project() {
                ReadingStageProj::Responding { response } => return response.poll(context),
                ReadingStageProj::Reading { body, rest } => {
                    let body = ready!(body.poll(context));
                    // There until the body is read, which is now.
                    let Some(rest) = rest.take() else { return Poll::Pending };
                    stage.set(ReadingStage::Responding { response: rest.read(body) });
                }
            }
        }
    }
}

impl<S, B> fmt::Debug for ReadFirstFuture<S, B>
where
    S: Service<Request<B>>,
    B: Body,
    B::Error: Into<BoxError>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stage {
            ReadingStage::Reading { .. } => f.write_str("ReadFirstFuture(reading the body)"),
            ReadingStage::Responding { response } => response.fmt(f),
        }
    }
}
