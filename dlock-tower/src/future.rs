//! One request: acquire the lock, wait until the inner service is ready, call it, and pass the lock on to the body.

use crate::acquiring::Acquiring;
use crate::body::LockBody;
use crate::held::HeldLock;
use crate::locked::Locked;
use crate::policy::HoldUntil;
use crate::rejection::{LockRejection, is_grpc};
use crate::settings::{LayerSettings, LockDecision};
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
    /// Dropping it drops the inner service's future, and then releases the lock in the background. If the lock was not
    /// held yet, it leaves the queue.
    #[must_use = "a future does nothing until it is awaited"]
    #[project = Projected]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        // The handler is dropped before the lock: fields go in order.
        #[pin]
        handling: Option<S::Future>,
        held: Option<HeldLock>,
        stage: RequestStage,
        pending: Option<PendingCall<S, B>>,
        rules: Rules,
    }
}

/// How far a request is. What is large lies beside it, so that going on moves little.
enum RequestStage {
    Rejected(LockRejection),
    Asking(LockKey),
    Acquiring(Acquiring),
    // Without a lock where none is asked for, an outer layer has it, or the request may go on without.
    Readying,
    Handling,
    Done,
}

/// What is needed until the inner service is called.
struct PendingCall<S, B> {
    inner: S,
    request: Request<B>,
}

/// How this request is answered.
struct Rules {
    settings: Arc<LayerSettings>,
    grpc: bool,
}

/// What a stage comes to: the next one, or the end of the request without a response of its handler.
type StageOutcome<E> = ControlFlow<End<E>, RequestStage>;

/// The outcome of a request whose handler was called.
type Handled<R, E> = Result<Response<LockBody<R>>, End<E>>;

enum End<E> {
    Rejected(LockRejection),
    /// By the inner service.
    Failed(E),
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) fn begin(inner: S, request: Request<B>, settings: Arc<LayerSettings>) -> Self {
        let (mut parts, body) = request.into_parts();
        let decision = settings.decide(&mut parts);
        Self::decided(inner, Request::from_parts(parts, body), decision, settings)
    }

    pub(crate) fn decided(
        inner: S,
        request: Request<B>,
        decision: LockDecision,
        settings: Arc<LayerSettings>,
    ) -> Self {
        let stage = match decision {
            LockDecision::Reject(rejection) => RequestStage::Rejected(rejection),
            LockDecision::Pass => RequestStage::Readying,
            LockDecision::Lock(key) => RequestStage::Asking(key),
        };
        let rules = Rules { settings, grpc: is_grpc(request.headers()) };
        Self { handling: None, held: None, stage, pending: Some(PendingCall { inner, request }), rules }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<LockBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        while !matches!(this.stage, RequestStage::Handling) {
            match ready!(this.poll_stage(context)) {
                ControlFlow::Continue(next) => *this.stage = next,
                ControlFlow::Break(end) => {
                    this.end();
                    return Poll::Ready(this.rules.answer(end));
                }
            }
        }
        let response = ready!(this.poll_handling(context));
        this.end();
        Poll::Ready(response.or_else(|end| this.rules.answer(end)))
    }
}

impl<S, B> Projected<'_, S, B>
where
    S: Service<Request<B>>,
{
    fn poll_stage(&mut self, context: &mut Context<'_>) -> Poll<StageOutcome<S::Error>> {
        if let RequestStage::Acquiring(acquiring) = self.stage {
            let outcome = ready!(acquiring.poll(&self.rules.settings.wait_limit, context));
            return Poll::Ready(self.acquired(outcome));
        }
        match std::mem::replace(self.stage, RequestStage::Done) {
            RequestStage::Rejected(rejection) => Poll::Ready(ControlFlow::Break(End::Rejected(rejection))),
            RequestStage::Asking(key) => self.ask(key, context),
            RequestStage::Readying => self.poll_readying(context),
            // Only a caller that polls again after the output gets here.
            RequestStage::Acquiring(_) | RequestStage::Handling | RequestStage::Done => Poll::Pending,
        }
    }

    /// Most locks are free: a request that gets its lock at once is never stored as one that waits.
    fn ask(&mut self, key: LockKey, context: &mut Context<'_>) -> Poll<StageOutcome<S::Error>> {
        let mut acquiring = match self.rules.settings.acquire(key) {
            Ok(acquiring) => acquiring,
            Err(rejection) => return Poll::Ready(ControlFlow::Break(End::Rejected(rejection))),
        };
        match acquiring.poll(&self.rules.settings.wait_limit, context) {
            Poll::Ready(outcome) => Poll::Ready(self.acquired(outcome)),
            Poll::Pending => {
                *self.stage = RequestStage::Acquiring(acquiring);
                Poll::Pending
            }
        }
    }

    fn acquired(&mut self, outcome: Result<LockGuard, LockRejection>) -> StageOutcome<S::Error> {
        let guard = match outcome {
            Ok(guard) => Arc::new(guard),
            Err(rejection) => return self.go_on_or_end(rejection),
        };
        if let Some(PendingCall { request, .. }) = self.pending {
            Locked::enter(request.extensions_mut(), &guard, &self.rules.settings.locks);
        }
        *self.held = Some(self.rules.settings.held(guard));
        ControlFlow::Continue(RequestStage::Readying)
    }

    /// The end of a request without a lock, unless it may go on so.
    fn go_on_or_end(&mut self, rejection: LockRejection) -> StageOutcome<S::Error> {
        if !self.rules.settings.goes_on_without(&rejection) {
            return ControlFlow::Break(End::Rejected(rejection));
        }
        let error = std::error::Error::source(&rejection);
        tracing::warn!(error, "request handled without its lock, as `on_unavailable` of the layer says");
        *self.held = None;
        ControlFlow::Continue(RequestStage::Readying)
    }

    /// The inner service is readied on the very instance that is called.
    fn poll_readying(&mut self, context: &mut Context<'_>) -> Poll<StageOutcome<S::Error>> {
        let over = match self.pending.as_mut().map(|pending| pending.inner.poll_ready(context)) {
            Some(Poll::Pending) => {
                *self.stage = RequestStage::Readying;
                ready!(HeldLock::poll_over(self.held, context));
                true
            }
            Some(Poll::Ready(Err(error))) => return Poll::Ready(ControlFlow::Break(End::Failed(error))),
            Some(Poll::Ready(Ok(()))) | None => {
                HeldLock::has_waited(self.held) && HeldLock::poll_over(self.held, context).is_ready()
            }
        };
        Poll::Ready(if over { self.lost_before_the_call() } else { self.call() })
    }

    fn call(&mut self) -> StageOutcome<S::Error> {
        if let Some(PendingCall { mut inner, request }) = self.pending.take() {
            let handling = HeldLock::enter(self.held, || inner.call(request));
            self.handling.set(Some(handling));
        }
        ControlFlow::Continue(RequestStage::Handling)
    }

    /// The handler did not begin, so this is no loss to it, whatever the layer is to do about one. Trying again helps:
    /// no [`LockRejection::lost`].
    fn lost_before_the_call(&mut self) -> StageOutcome<S::Error> {
        if let Some(PendingCall { request, .. }) = self.pending {
            Locked::leave(request.extensions_mut());
        }
        let error =
            LockError::new(ErrorKind::Unavailable, "the lock was lost before the inner service was ready")
                .with_operation(Operation::Acquire);
        self.go_on_or_end(error.into())
    }

    fn end(&mut self) {
        *self.stage = RequestStage::Done;
        self.handling.set(None);
        *self.held = None;
    }
}

impl<S, B, R> Projected<'_, S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    fn poll_handling(&mut self, context: &mut Context<'_>) -> Poll<Handled<R, S::Error>> {
        let Some(mut handling) = self.handling.as_mut().as_pin_mut() else { return Poll::Pending };
        // A request that has not waited yet was granted its lock just now.
        if HeldLock::has_waited(self.held) && HeldLock::must_stop(self.held) {
            return Poll::Ready(Err(End::Rejected(LockRejection::lost())));
        }
        let outcome = match HeldLock::enter(self.held, || handling.as_mut().poll(context)) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                ready!(HeldLock::poll_stop(self.held, context));
                return Poll::Ready(Err(End::Rejected(LockRejection::lost())));
            }
        };
        let response = outcome.map_err(End::Failed)?;
        if HeldLock::must_stop(self.held) {
            return Poll::Ready(Err(End::Rejected(LockRejection::lost())));
        }
        let held = self.held.take().filter(|_| self.rules.settings.hold == HoldUntil::BodyEnd);
        Poll::Ready(Ok(response.map(|body| LockBody::new(body, held))))
    }
}

impl Rules {
    fn answer<R, E>(&self, end: End<E>) -> Result<Response<LockBody<R>>, E> {
        match end {
            End::Rejected(rejection) => Ok(self.settings.answer(rejection, self.grpc).map(LockBody::answer)),
            End::Failed(error) => Err(error),
        }
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            RequestStage::Rejected(_) => "rejected",
            RequestStage::Asking(_) => "asking",
            RequestStage::Acquiring(_) => "acquiring",
            RequestStage::Readying => "readying",
            RequestStage::Handling => "handling",
            RequestStage::Done => "done",
        };
        f.debug_struct("ResponseFuture").field("stage", &stage).finish_non_exhaustive()
    }
}
