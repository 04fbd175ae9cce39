//! The body of a response: it holds the lock for as long as it lasts.

use crate::held::HeldLock;
use bytes::Bytes;
use dlock_core::{ErrorKind, LockError, Operation};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;
use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

pin_project! {
    /// The body of a [`Lock`](crate::Lock)'s response: the inner service's, or that of the layer's own answer.
    ///
    /// It holds the lock, if it was asked to, until the inner body says that it is at its end, fails or is
    /// dropped. If the lock is lost before, it ends with an error that is a [`LockError`](dlock_core::LockError), or goes on if the layer
    /// was told [`OnLost::Finish`](crate::OnLost::Finish).
    #[derive(Debug)]
    pub struct LockBody<B> {
        #[pin]
        kind: BodyKind<B>,
    }
}

pin_project! {
    /// `Inner` drops the body before the lock: fields go in order.
    #[project = BodyKindProj]
    #[derive(Debug)]
    enum BodyKind<B> {
        Answer { #[pin] body: Full<Bytes> },
        Inner { #[pin] body: B, held: Option<HeldLock> },
        CutOff,
    }
}

impl<B: Body<Data = Bytes>> LockBody<B> {
    /// `body`, holding the lock if there is anything left to send.
    pub(crate) fn new(body: B, held: Option<HeldLock>) -> Self {
        let held = held.filter(|_| !body.is_end_stream());
        Self { kind: BodyKind::Inner { body, held } }
    }
}

impl<B> LockBody<B> {
    pub(crate) fn answer(text: Bytes) -> Self {
        Self { kind: BodyKind::Answer { body: Full::new(text) } }
    }
}

impl<B> Body for LockBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut kind = self.project().kind;
        let polled = match kind.as_mut().project() {
            BodyKindProj::Answer { body } => return body.poll_frame(context).map_err(|never| match never {}),
            BodyKindProj::Inner { body, held } => poll_inner(body, held, context),
            BodyKindProj::CutOff => return Poll::Ready(None),
        };
        if let Poll::Ready(Next::CutOff) = polled {
            kind.set(BodyKind::CutOff);
        }
        polled.map(Next::into_frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyKind::Answer { body } => body.is_end_stream(),
            BodyKind::Inner { body, .. } => body.is_end_stream(),
            BodyKind::CutOff => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            BodyKind::Answer { body } => body.size_hint(),
            BodyKind::Inner { body, .. } => body.size_hint(),
            BodyKind::CutOff => SizeHint::with_exact(0),
        }
    }
}

enum Next {
    Frame(Option<Result<Frame<Bytes>, BoxError>>),
    CutOff,
}

impl Next {
    fn into_frame(self) -> Option<Result<Frame<Bytes>, BoxError>> {
        match self {
            Self::Frame(frame) => frame,
            Self::CutOff => Some(Err(lost().into())),
        }
    }
}

/// The next frame. The lock goes with the last one, even if the server does not ask for the end that follows.
fn poll_inner<B>(mut body: Pin<&mut B>, held: &mut Option<HeldLock>, context: &mut Context<'_>) -> Poll<Next>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if HeldLock::must_stop(held) {
        return Poll::Ready(Next::CutOff);
    }
    let Poll::Ready(frame) = HeldLock::enter(held, || body.as_mut().poll_frame(context)) else {
        HeldLock::watch_from_outside(held);
        ready!(HeldLock::poll_stop(held, context));
        return Poll::Ready(Next::CutOff);
    };
    // A body that blocked may have outlived its lock.
    if !matches!(frame, Some(Err(_))) && HeldLock::must_stop(held) {
        return Poll::Ready(Next::CutOff);
    }
    if !matches!(frame, Some(Ok(_))) || body.is_end_stream() {
        *held = None;
    }
    HeldLock::watch_from_outside(held);
    Poll::Ready(Next::Frame(frame.map(|frame| frame.map_err(Into::into))))
}

fn lost() -> LockError {
    LockError::new(ErrorKind::Lost, "the response is incomplete; its lock was lost while it was sent")
        .with_operation(Operation::Run)
}
