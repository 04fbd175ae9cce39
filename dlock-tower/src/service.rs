//! The service.

use crate::body::LockBody;
use crate::future::{Pending, ResponseFuture};
use crate::layer::LockLayer;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::task::{Context, Poll};
use tower_service::Service;

/// The service that [`LockLayer`] makes: it locks, then calls the inner service.
///
/// It is always ready. The inner service is readied once the lock is there, so that requests which wait for a
/// lock take none of the inner service's room from requests which do not.
#[derive(Debug, Clone)]
pub struct Lock<S> {
    inner: S,
    layer: LockLayer,
}

impl<S> Lock<S> {
    pub(crate) fn new(inner: S, layer: LockLayer) -> Self {
        Self { inner, layer }
    }
}

impl<S, B, R> Service<Request<B>> for Lock<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<LockBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    /// Ready: a lock belongs to a request, and here is none yet.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<S, B> {
        let (parts, body) = request.into_parts();
        let stage = self.layer.begin(&parts);
        // A plain clone will do: `self.inner` was not readied, so there is no readiness to hand over.
        let pending = Pending { inner: self.inner.clone(), request: Request::from_parts(parts, body) };
        ResponseFuture::new(stage, pending, self.layer.clone())
    }
}
