//! One HTTP server that pays out grabs. The only difference between its routes is the lock: none, a layer with one
//! lock for the packet, or a lock by hand for a stripe of it.

use crate::backend::Backend;
use crate::protocol::{Answer, Answered, GrabPath, LOCKED_ROUTE, STRIPED_ROUTE, UNLOCKED_ROUTE};
use crate::split;
use crate::store::{Balance, Fence, Grab, Read, Seen, Written};
use crate::store_thread::StoreThread;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use dlock_core::{FencingToken, LockError, LockManager, Moment};
use dlock_tower::{Key, LockLayer, LockRejection, Locked};
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
    let store = StoreThread::open(&settings.database)?;
    let till = Till { store, locks: locks.clone(), ttl: settings.ttl, number: settings.number };
    let closing = locks.clone();
    let ending = async move {
        end.await;
        // Requests that wait for a lock are answered now, and those that have one finish.
        closing.close();
    };
    axum::serve(listener, router(till)).with_graceful_shutdown(ending).await?;
    locks.shutdown().await?;
    Ok(())
}

fn router(till: Till) -> Router {
    let one_at_a_time =
        LockLayer::new(till.locks.clone(), Key::new("red-packet").path_param("packet").parsed_as::<i64>())
            .ttl(till.ttl)
            .wait(LONGEST_WAIT);
    Router::new()
        .route(UNLOCKED_ROUTE, post(grab_unlocked))
        .route(LOCKED_ROUTE, post(grab_locked).route_layer(one_at_a_time))
        .route(STRIPED_ROUTE, post(grab_striped))
        .with_state(till)
}

/// How long a grab waits for its turn before it is told to come again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The only stripe of a packet that is not cut.
const WHOLE: i64 = 0;

async fn grab_unlocked(
    State(till): State<Till>,
    Path(path): Path<GrabPath>,
) -> Result<Json<Answered>, Refusal> {
    till.pay(path.into(), WHOLE, None).await.map(Json)
}

async fn grab_locked(
    State(till): State<Till>,
    locked: Locked,
    Path(path): Path<GrabPath>,
) -> Result<Json<Answered>, Refusal> {
    till.pay(path.into(), WHOLE, Some(till.fence(locked.token()))).await.map(Json)
}

/// Takes from one stripe under its lock; if other grabs emptied it meanwhile, from the next. The packet is empty
/// only when every stripe is.
async fn grab_striped(
    State(till): State<Till>,
    Path(path): Path<GrabPath>,
) -> Result<Json<Answered>, Refusal> {
    let grab = Grab::from(path);
    let mut work = Duration::ZERO;
    loop {
        let answered = match till.store.call(move |store| store.look(grab)).await? {
            Seen::Money { stripe } => till.pay_under_lock(grab, stripe).await?,
            Seen::Paid(cents) => Answered { answer: Answer::Paid { cents }, work: Duration::ZERO },
            Seen::Nothing => return Ok(Json(Answered { answer: Answer::Empty, work })),
        };
        work += answered.work;
        if answered.answer != Answer::Empty {
            return Ok(Json(Answered { work, ..answered }));
        }
    }
}

/// Pays out of the packets.
#[derive(Debug, Clone)]
struct Till {
    store: StoreThread,
    locks: LockManager,
    ttl: Duration,
    number: u32,
}

impl Till {
    async fn pay_under_lock(&self, grab: Grab, stripe: i64) -> Result<Answered, Refusal> {
        let key = format!("red-packet:{}:{stripe}", grab.packet);
        let lock = self.locks.lock(key).ttl(self.ttl).wait(LONGEST_WAIT).await?;
        let answered = lock.run(self.pay(grab, stripe, Some(self.fence(lock.token())))).await??;
        lock.release().await?;
        Ok(answered)
    }

    fn fence(&self, token: FencingToken) -> Fence {
        Fence { token: i64::try_from(token.as_u64()).unwrap_or(i64::MAX), server: self.number }
    }

    /// Read, think, write.
    async fn pay(&self, grab: Grab, stripe: i64, fence: Option<Fence>) -> Result<Answered, Refusal> {
        let start = Moment::now();
        let answer = match self.store.call(move |store| store.read(grab, stripe, fence)).await? {
            Read::Left(left) => self.pay_from(left, grab, stripe, fence).await?,
            Read::Paid(cents) => Answer::Paid { cents },
            Read::Stale => return Err(Refusal::Stale),
        };
        Ok(Answered { answer, work: Moment::now().since(start) })
    }

    async fn pay_from(
        &self,
        left: Balance,
        grab: Grab,
        stripe: i64,
        fence: Option<Fence>,
    ) -> Result<Answer, Refusal> {
        think().await;
        let Some(cents) = split::share(left, fastrand::f64()) else { return Ok(Answer::Empty) };
        let after = left.less(cents);
        match self.store.call(move |store| store.write(grab, stripe, cents, after, fence)).await? {
            Written::Recorded => Ok(Answer::Paid { cents }),
            Written::PaidBefore(cents) => Ok(Answer::Paid { cents }),
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
    /// The lock was not acquired, or lost.
    Lock(LockRejection),
    /// A holder with a greater token was here before.
    Stale,
    /// The store failed.
    Store(anyhow::Error),
}

impl From<LockError> for Refusal {
    fn from(error: LockError) -> Self {
        Self::Lock(error.into())
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::Store(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Lock(rejection) => rejection.into_response(),
            Self::Stale => (StatusCode::CONFLICT, "another holder came after this one").into_response(),
            Self::Store(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}")).into_response(),
        }
    }
}
