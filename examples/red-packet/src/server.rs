//! One HTTP server that pays out grabs. The only difference between its two routes is the lock.

use crate::backend::Backend;
use crate::protocol::{Answer, GrabPath, LOCKED_ROUTE, UNLOCKED_ROUTE};
use crate::split;
use crate::store::{Balance, Fence, Grab, Read, Written};
use crate::store_thread::StoreThread;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use dlock_core::LockManager;
use dlock_tower::{Key, LockLayer, Locked};
use http::StatusCode;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;

/// What a server needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where the locks are.
    pub(crate) backend: Backend,
    /// The SQLite file with the packets.
    pub(crate) database: PathBuf,
    /// The length of a lease.
    pub(crate) ttl: Duration,
    /// Which server this is.
    pub(crate) number: u32,
}

/// Answers grabs until `end` comes; then lets the requests under way finish and gives its locks back.
pub(crate) async fn serve(
    listener: TcpListener,
    settings: Settings,
    end: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let locks = settings.backend.manager().await?;
    let till = Till { store: StoreThread::open(&settings.database)?, number: settings.number };
    axum::serve(listener, router(till, &locks, settings.ttl)).with_graceful_shutdown(end).await?;
    locks.shutdown().await;
    Ok(())
}

fn router(till: Till, locks: &LockManager, ttl: Duration) -> Router {
    let one_at_a_time = LockLayer::new(locks.clone(), Key::new("red-packet").path_param("packet"))
        .ttl(ttl)
        .wait(LONGEST_WAIT);
    Router::new()
        .route(UNLOCKED_ROUTE, post(grab_unlocked))
        .route(LOCKED_ROUTE, post(grab_locked).route_layer(one_at_a_time))
        .with_state(till)
}

/// How long a grab waits for its turn before it is told to come again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

async fn grab_unlocked(
    State(till): State<Till>,
    Path(path): Path<GrabPath>,
) -> Result<Json<Answer>, Refusal> {
    till.pay(path.into(), None).await
}

async fn grab_locked(
    State(till): State<Till>,
    locked: Locked,
    Path(path): Path<GrabPath>,
) -> Result<Json<Answer>, Refusal> {
    let token = i64::try_from(locked.token().as_u64()).unwrap_or(i64::MAX);
    till.pay(path.into(), Some(Fence { token, server: till.number })).await
}

/// Pays out of the packets.
#[derive(Debug, Clone)]
struct Till {
    store: StoreThread,
    number: u32,
}

impl Till {
    /// Read, think, write.
    async fn pay(&self, grab: Grab, fence: Option<Fence>) -> Result<Json<Answer>, Refusal> {
        match self.store.call(move |store| store.read(grab, fence)).await? {
            Read::Left(left) => self.pay_from(left, grab, fence).await,
            Read::Paid(cents) => Ok(Json(Answer::Paid { cents })),
            Read::Stale => Err(Refusal::Stale),
        }
    }

    async fn pay_from(
        &self,
        left: Balance,
        grab: Grab,
        fence: Option<Fence>,
    ) -> Result<Json<Answer>, Refusal> {
        think().await;
        let Some(cents) = split::share(left, fastrand::f64()) else { return Ok(Json(Answer::Empty)) };
        match self.store.call(move |store| store.write(grab, cents, left.less(cents), fence)).await? {
            Written::Recorded => Ok(Json(Answer::Paid { cents })),
            Written::PaidBefore(cents) => Ok(Json(Answer::Paid { cents })),
            Written::Stale => Err(Refusal::Stale),
        }
    }
}

/// Where a real application would ask another service or compute something.
async fn think() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Why a grab is not answered. It may be repeated.
enum Refusal {
    /// The lock was lost to another holder meanwhile.
    Stale,
    /// The store failed.
    Store(anyhow::Error),
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::Store(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Stale => (StatusCode::CONFLICT, "another holder came after this one").into_response(),
            Self::Store(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}")).into_response(),
        }
    }
}
