//! One request: acquire, ready the inner service, call it, hand the lock on to the body.

use crate::body::LockBody;
use crate::held::{Held, Verdict};
use crate::layer::{Acquiring, HoldUntil, LockLayer, Start};
use crate::locked::Locked;
use crate::rejection::{LockRejection, is_grpc};
use bytes::Bytes;
use dlock_core::{ErrorKind, LockError, LockGuard, LockKey, Operation};
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::fmt;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

pin_project! {
    /// The future of [`Lock`](crate::Lock).
    ///
    /// # Cancel safety
    /// Dropping it drops the inner service's future and then releases the lock in the background, or leaves
    /// the queue if the lock was not there yet.
    #[must_use = "a future does nothing until it is awaited"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        stage: Stage<S::Future>,
        pending: Option<Pending<S, B>>,
        rules: Rules,
    }
}

pin_project! {
    /// How far a request is. `Calling` drops the handler before the lock: fields go in order.
    #[project = StageProj]
    enum Stage<F> {
        Rejected { rejection: Option<LockRejection> },
        Asking { key: Option<LockKey> },
        Acquiring { acquiring: Acquiring },
        // Without a lock where none is asked for, an outer layer has it, or the request may go on without.
        Readying { held: Option<Held> },
        Calling { #[pin] future: F, held: Option<Held> },
        Done,
    }
}

/// What is needed until the inner service is called.
struct Pending<S, B> {
    inner: S,
    request: Request<B>,
}

/// How this request is answered.
struct Rules {
    layer: LockLayer,
    grpc: bool,
}

/// What a stage comes to: the next one, or the output.
type Turn<F, R, E> = ControlFlow<Result<Response<LockBody<R>>, E>, Stage<F>>;

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) fn begin(inner: S, request: Request<B>, layer: LockLayer) -> Self {
        let (mut parts, body) = request.into_parts();
        let start = layer.start(&mut parts);
        Self::started(inner, Request::from_parts(parts, body), start, layer)
    }

    pub(crate) fn started(inner: S, request: Request<B>, start: Start, layer: LockLayer) -> Self {
        let stage = match start {
            Start::Reject(rejection) => Stage::Rejected { rejection: Some(rejection) },
            Start::Pass => Stage::Readying { held: None },
            Start::Lock(key) => Stage::Asking { key: Some(key) },
        };
        let rules = Rules { layer, grpc: is_grpc(request.headers()) };
        Self { stage, pending: Some(Pending { inner, request }), rules }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<LockBody<R>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let turn = ready!(self.as_mut().poll_turn(context));
            let mut stage = self.as_mut().project().stage;
            match turn {
                ControlFlow::Continue(next) => stage.set(next),
                ControlFlow::Break(output) => {
                    stage.set(Stage::Done);
                    return Poll::Ready(output);
                }
            }
        }
    }
}

impl<S, B, R> ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    fn poll_turn(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Turn<S::Future, R, S::Error>> {
        let this = self.project();
        match this.stage.project() {
            StageProj::Rejected { rejection } => match rejection.take() {
                Some(rejection) => Poll::Ready(this.rules.answer(rejection)),
                None => Poll::Pending,
            },
            StageProj::Asking { key } => match key.take() {
                Some(key) => Poll::Ready(this.rules.ask(key)),
                None => Poll::Pending,
            },
            StageProj::Acquiring { acquiring } => {
                let outcome = ready!(acquiring.poll(&this.rules.layer, context));
                Poll::Ready(this.rules.acquired(outcome, this.pending))
            }
            StageProj::Readying { held } => poll_readying(held, this.pending, this.rules, context),
            StageProj::Calling { future, held } => poll_calling(future, held, this.rules, context),
            // Only a caller that polls again after the output gets here.
            StageProj::Done => Poll::Pending,
        }
    }
}

impl Rules {
    fn answer<F, R, E>(&self, rejection: impl Into<LockRejection>) -> Turn<F, R, E> {
        ControlFlow::Break(Ok(self.layer.answer(rejection, self.grpc).map(LockBody::answer)))
    }

    fn ask<F, R, E>(&self, key: LockKey) -> Turn<F, R, E> {
        match self.layer.acquire(key) {
            Ok(acquiring) => ControlFlow::Continue(Stage::Acquiring { acquiring }),
            Err(rejection) => self.answer(rejection),
        }
    }

    fn acquired<S, B, F, R, E>(
        &self,
        outcome: Result<LockGuard, LockRejection>,
        pending: &mut Option<Pending<S, B>>,
    ) -> Turn<F, R, E> {
        match outcome {
            Ok(guard) => {
                let guard = Arc::new(guard);
                if let Some(Pending { request, .. }) = pending {
                    Locked::enter(request.extensions_mut(), &guard, self.layer.locks());
                }
                ControlFlow::Continue(Stage::Readying { held: Some(self.layer.held(guard)) })
            }
            Err(rejection) => self.go_on_or_answer(rejection),
        }
    }

    /// The end of a request without a lock, unless it may go on so.
    fn go_on_or_answer<F, R, E>(&self, rejection: LockRejection) -> Turn<F, R, E> {
        if self.layer.goes_on_without(&rejection) {
            let error = std::error::Error::source(&rejection);
            tracing::warn!(error, "request handled without its lock, as the layer was told to");
            return ControlFlow::Continue(Stage::Readying { held: None });
        }
        self.answer(rejection)
    }
}

/// The inner service is readied on the very instance that is called.
fn poll_readying<S: Service<Request<B>>, B, R>(
    held: &mut Option<Held>,
    pending: &mut Option<Pending<S, B>>,
    rules: &Rules,
    context: &mut Context<'_>,
) -> Poll<Turn<S::Future, R, S::Error>> {
    let over = match pending.as_mut().map(|pending| pending.inner.poll_ready(context)) {
        Some(Poll::Pending) => {
            ready!(Held::poll_over(held, context));
            true
        }
        Some(Poll::Ready(Err(error))) => return Poll::Ready(ControlFlow::Break(Err(error))),
        Some(Poll::Ready(Ok(()))) | None => {
            Held::has_waited(held) && Held::poll_over(held, context).is_ready()
        }
    };
    if over {
        // The handler did not begin, so this is no loss to it, whatever the layer is to do about one.
        return Poll::Ready(lost_before_the_call(pending, rules));
    }
    Poll::Ready(ControlFlow::Continue(match pending.take() {
        Some(Pending { mut inner, request }) => {
            let held = held.take();
            Stage::Calling { future: Held::enter(&held, || inner.call(request)), held }
        }
        None => Stage::Done,
    }))
}

fn poll_calling<F, R, E>(
    mut future: Pin<&mut F>,
    held: &mut Option<Held>,
    rules: &Rules,
    context: &mut Context<'_>,
) -> Poll<Turn<F, R, E>>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
{
    // Whoever has not waited yet has been granted the lock just now.
    if Held::has_waited(held) && Held::look(held) == Verdict::Stop {
        return Poll::Ready(rules.answer(LockRejection::lost()));
    }
    let outcome = match Held::enter(held, || future.as_mut().poll(context)) {
        Poll::Ready(Ok(_)) if Held::look(held) == Verdict::Stop => Err(LockRejection::lost()),
        Poll::Ready(outcome) => Ok(outcome),
        Poll::Pending => {
            ready!(Held::poll_stop(held, context));
            Err(LockRejection::lost())
        }
    };
    Poll::Ready(match outcome {
        Err(lost) => rules.answer(lost),
        Ok(outcome) => {
            let held = held.take().filter(|_| rules.layer.hold_until() == HoldUntil::BodyEnd);
            ControlFlow::Break(outcome.map(|response| response.map(|body| LockBody::new(body, held))))
        }
    })
}

/// The handler did not run, so trying again helps: no [`LockRejection::lost`].
fn lost_before_the_call<S, B, F, R, E>(pending: &mut Option<Pending<S, B>>, rules: &Rules) -> Turn<F, R, E> {
    if let Some(Pending { request, .. }) = pending {
        Locked::leave(request.extensions_mut());
    }
    let error =
        LockError::new(ErrorKind::Unavailable, "the lock was lost before the inner service was ready")
            .with_operation(Operation::Acquire);
    rules.go_on_or_answer(error.into())
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Rejected { .. } => "rejected",
            Stage::Asking { .. } => "asking",
            Stage::Acquiring { .. } => "acquiring",
            Stage::Readying { .. } => "readying",
            Stage::Calling { .. } => "calling",
            Stage::Done => "done",
        };
        f.debug_struct("ResponseFuture").field("stage", &stage).finish_non_exhaustive()
    }
}
