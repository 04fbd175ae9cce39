//! The service.

use crate::body::{BoxError, LockBody};
use crate::future::ResponseFuture;
use crate::read_first::{AsItComes, ReadFirst, ReadFirstFuture};
use crate::settings::LayerSettings;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// The service that [`LockLayer`](crate::LockLayer) makes: it locks, then calls the inner service.
///
/// It is always ready. The inner service is made ready only once the lock is held. So requests that wait for a lock do
/// not use up the inner service's capacity.
pub struct Lock<S, M = AsItComes> {
    inner: S,
    settings: Arc<LayerSettings>,
    mode: PhantomData<fn() -> M>,
}

impl<S, M> Lock<S, M> {
    pub(crate) fn new(inner: S, settings: Arc<LayerSettings>) -> Self {
        Self { inner, settings, mode: PhantomData }
    }
}

impl<S: Clone, M> Clone for Lock<S, M> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.settings))
    }
}

impl<S: fmt::Debug, M> fmt::Debug for Lock<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("inner", &self.inner).field("settings", &self.settings).finish()
    }
}

impl<S, B, R> Service<Request<B>> for Lock<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<LockBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    /// Ready: a lock belongs to a request, and here is none yet.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<S, B> {
        // A plain clone will do: `self.inner` was not readied, so there is no readiness to hand over.
        ResponseFuture::begin(self.inner.clone(), request, Arc::clone(&self.settings))
    }
}

impl<S, B, R> Service<Request<B>> for Lock<S, ReadFirst>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes> + From<Bytes>,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<LockBody<R>>;
    type Error = S::Error;
    type Future = ReadFirstFuture<S, B>;

    /// Ready, for the same reason.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ReadFirstFuture<S, B> {
        ReadFirstFuture::begin(self.inner.clone(), request, Arc::clone(&self.settings))
    }
}
