//! The methods, and where each has its lock.

use crate::protocol::{ARTICLE, COUNT, CountReply, CountRequest, SERVICE, TAKE, TakeReply, TakeRequest};
use crate::stock::{Stale, Stock};
use dlock_core::LockManager;
use dlock_tower::{Key, Lock, LockLayer, LockRejection, Locked};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::{Layer as _, Service, service_fn};

/// Answers the calls of the service `shop.Stock`.
#[derive(Debug, Clone)]
pub(crate) struct StockServer {
    stock: Stock,
    locks: LockManager,
}

impl StockServer {
    /// The service under a layer: calls about one article are answered one after the other. A call that names none
    /// is not locked by it.
    pub(crate) fn locked(stock: Stock, locks: &LockManager) -> Lock<Self> {
        let one_taker = LockLayer::new(locks.clone(), Key::new("article").optional_header(ARTICLE))
            .wait(Duration::from_secs(5));
        one_taker.layer(Self { stock, locks: locks.clone() })
    }

    /// Reads, thinks and writes, as if it were alone: the layer has the lock.
    async fn take(self, request: Request<TakeRequest>) -> Result<Response<TakeReply>, Status> {
        let token = request.extensions().get::<Locked>().ok_or_else(no_article)?.token();
        let article = request.metadata().get(ARTICLE).and_then(|article| article.to_str().ok());
        let article = article.ok_or_else(no_article)?.to_owned();
        let before = self.stock.read(&article, token)?;
        think().await;
        let taken = before + request.into_inner().pieces;
        self.stock.write(&article, taken, token)?;
        Ok(Response::new(TakeReply { taken, token: token.as_u64() }))
    }

    /// By hand: a call that comes during a count is refused in the words of the layer.
    async fn count(self, _: Request<CountRequest>) -> Result<Response<CountReply>, Status> {
        let counting = self.locks.lock("count").wait(Duration::ZERO).await.map_err(LockRejection::from)?;
        let taken = counting.run(async { self.stock.all_taken() }).await.map_err(LockRejection::from)?;
        counting.release().await.map_err(LockRejection::from)?;
        Ok(Response::new(CountReply { taken }))
    }
}

impl NamedService for StockServer {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<Body>> for StockServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            Ok(match call.uri().path() {
                TAKE => {
                    let take = service_fn(|request| service.clone().take(request));
                    Grpc::new(ProstCodec::default()).unary(take, call).await
                }
                COUNT => {
                    let count = service_fn(|request| service.clone().count(request));
                    Grpc::new(ProstCodec::default()).unary(count, call).await
                }
                other => Status::unimplemented(format!("there is no method {other}")).into_http(),
            })
        })
    }
}

impl From<Stale> for Status {
    fn from(Stale: Stale) -> Self {
        Self::aborted("a newer holder of the lock was faster")
    }
}

fn no_article() -> Status {
    Status::invalid_argument(format!("the header {ARTICLE} has to name the article"))
}

/// Where a real service would call a second service.
async fn think() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}
