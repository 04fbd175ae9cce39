//! One request: acquire, ready the inner service, call it, hand the lock on to the body.

use crate::body::LockBody;
use crate::held::Held;
use crate::layer::{HoldUntil, LockLayer};
use crate::locked::Locked;
use crate::rejection::LockRejection;
use bytes::Bytes;
use dlock_core::{AcquireFuture, ErrorKind, LockError, LockGuard, Operation};
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::fmt;
use std::ops::ControlFlow;
use std::pin::Pin;
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
        layer: LockLayer,
    }
}

pin_project! {
    /// How far a request is. `Calling` drops the handler before the lock: fields go in order.
    #[project = StageProj]
    pub(crate) enum Stage<F> {
        Rejected { rejection: LockRejection },
        Acquiring { acquiring: AcquireFuture },
        // Without a lock where none is asked for, or an outer layer has it.
        Readying { held: Option<Held> },
        Calling { #[pin] future: F, held: Option<Held> },
        Done,
    }
}

/// What is needed until the inner service is called.
pub(crate) struct Pending<S, B> {
    pub(crate) inner: S,
    pub(crate) request: Request<B>,
}

/// What a stage comes to: the next one, or the output.
type Turn<F, R, E> = ControlFlow<Result<Response<LockBody<R>>, E>, Stage<F>>;

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) fn new(stage: Stage<S::Future>, pending: Pending<S, B>, layer: LockLayer) -> Self {
        Self { stage, pending: Some(pending), layer }
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
            StageProj::Rejected { rejection } => Poll::Ready(answer(rejection)),
            StageProj::Acquiring { acquiring } => {
                let outcome = ready!(Pin::new(acquiring).poll(context));
                Poll::Ready(acquired(outcome, this.pending, this.layer))
            }
            StageProj::Readying { held } => poll_readying(held, this.pending, this.layer, context),
            StageProj::Calling { future, held } => poll_calling(future, held, this.layer, context),
            // Only a caller that polls again after the output gets here.
            StageProj::Done => Poll::Pending,
        }
    }
}

fn answer<F, R, E>(rejection: &LockRejection) -> Turn<F, R, E> {
    ControlFlow::Break(Ok(rejection.answer().map(LockBody::answer)))
}

fn acquired<S: Service<Request<B>>, B, R>(
    outcome: Result<LockGuard, LockError>,
    pending: &mut Option<Pending<S, B>>,
    layer: &LockLayer,
) -> Turn<S::Future, R, S::Error> {
    match outcome {
        Ok(guard) => {
            let held = Held::new(guard);
            if let Some(Pending { request, .. }) = pending {
                Locked::enter(request.extensions_mut(), held.guard(), layer.locks());
            }
            ControlFlow::Continue(Stage::Readying { held: Some(held) })
        }
        Err(error) => answer(&layer.reject(error)),
    }
}

/// The inner service is readied on the very instance that is called.
fn poll_readying<S: Service<Request<B>>, B, R>(
    held: &mut Option<Held>,
    pending: &mut Option<Pending<S, B>>,
    layer: &LockLayer,
    context: &mut Context<'_>,
) -> Poll<Turn<S::Future, R, S::Error>> {
    if Held::poll_lost(held, context).is_ready() {
        return Poll::Ready(answer(&layer.reject(lost_before_the_call())));
    }
    if let Some(Pending { inner, .. }) = pending
        && let Err(error) = ready!(inner.poll_ready(context))
    {
        return Poll::Ready(ControlFlow::Break(Err(error)));
    }
    Poll::Ready(ControlFlow::Continue(match pending.take() {
        Some(Pending { mut inner, request }) => {
            Stage::Calling { future: inner.call(request), held: held.take() }
        }
        None => Stage::Done,
    }))
}

fn poll_calling<F, R, E>(
    future: Pin<&mut F>,
    held: &mut Option<Held>,
    layer: &LockLayer,
    context: &mut Context<'_>,
) -> Poll<Turn<F, R, E>>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
{
    if Held::poll_lost(held, context).is_ready() {
        return Poll::Ready(answer(&layer.reject(LockRejection::lost())));
    }
    let outcome = ready!(future.poll(context));
    let held = held.take().filter(|_| layer.hold_until() == HoldUntil::BodyEnd);
    Poll::Ready(ControlFlow::Break(outcome.map(|response| response.map(|body| LockBody::new(body, held)))))
}

/// The handler did not run, so trying again helps: no [`LockRejection::lost`].
fn lost_before_the_call() -> LockError {
    LockError::new(ErrorKind::Unavailable, "the lock was lost before the inner service was ready")
        .with_operation(Operation::Acquire)
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Rejected { .. } => "rejected",
            Stage::Acquiring { .. } => "acquiring",
            Stage::Readying { .. } => "readying",
            Stage::Calling { .. } => "calling",
            Stage::Done => "done",
        };
        f.debug_struct("ResponseFuture").field("stage", &stage).finish_non_exhaustive()
    }
}
