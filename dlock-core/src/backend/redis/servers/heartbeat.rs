//! Whether a connection that hears hand-offs still leads to the server.
//!
//! A connection that only listens does not notice when a balancer, a firewall or a dead machine has cut it off. The
//! system's own probes take half a minute, and a server that stands still answers them. So dlock pings.

use super::timed::TimedConnection;
use crate::backend::redis::failure::breaks_connection;
use crate::backend::redis::notifications::{Broken, Pushes};
use crate::keeper::Keeper;
use crate::time::sleep;
use redis::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// The pings of one connection. They end when it is dropped.
pub(super) struct Heartbeat(#[expect(dead_code, reason = "dropped, it ends the task")] AbortOnDropHandle<()>);

/// A waiter whose hand-off is lost asks within a second anyway, so this costs few commands rather than little time.
const EVERY: Duration = Duration::from_secs(5);

impl Heartbeat {
    /// Pings until one is not answered within the limit of a request. Then the connection is given up, and its waiters ask
    /// by themselves over a new one.
    pub(super) fn start(
        keeper: &Keeper,
        connection: &TimedConnection,
        broken: &Broken,
        pushes: &Arc<Pushes>,
    ) -> Self {
        let (mut connection, broken, pushes) = (connection.clone(), Arc::clone(broken), Arc::clone(pushes));
        let beating = async move {
            while !broken.load(Ordering::Acquire) && answers(&mut connection).await {
                sleep(EVERY).await;
            }
            broken.store(true, Ordering::Release);
            pushes.wake_all();
        };
        Self(AbortOnDropHandle::new(keeper.spawn(beating)))
    }
}

/// A refusal is an answer, too.
async fn answers(connection: &mut TimedConnection) -> bool {
    let pinged = connection.query::<Value>(&redis::cmd("PING")).await;
    pinged.err().is_none_or(|cause| !breaks_connection(&cause))
}
