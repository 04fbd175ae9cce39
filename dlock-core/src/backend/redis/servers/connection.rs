//! The keeper's connection to one server, which reconnects by itself, and those of callers' runtimes beside it.

use super::live::{LiveConnection, Opening, Source, connect};
use super::per_runtime::{Route, RuntimeConnections};
use super::request::{CallError, Copies, Request};
use super::timed::timed_out;
use crate::backend::redis::failure::{breaks_connection, met_dead_connection};
use crate::backend::single_attempt::{Make, SingleAttempt};
use crate::error::LockError;
use crate::keeper::Keeper;
use crate::time::{Backoff, KeeperTimer, before};
use futures_util::future::{Either, select};
use redis::{FromRedisValue, RedisResult};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Carries requests. One that finds the connection dead has the next one made.
pub(crate) struct Connection {
    source: Arc<Source>,
    opening: Opening,
    attempts: Arc<SingleAttempt<LiveConnection>>,
    /// `None` if all requests go over the keeper's connection.
    of_runtimes: Option<Arc<RuntimeConnections>>,
}

impl Connection {
    pub(crate) fn new(source: Source, opening: Opening) -> Self {
        let source = Arc::new(source);
        let (to, how, patience) = (Arc::clone(&source), opening.clone(), source.patience());
        let make: Make<LiveConnection> =
            Box::new(move |number| Box::pin(connect_or_warn(Arc::clone(&to), how.clone(), number)));
        let pauses = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
        Self { source, opening, attempts: SingleAttempt::new(make, patience, pauses), of_runtimes: None }
    }

    /// The same with connections of callers' runtimes, `most` at a time.
    pub(crate) fn with_runtimes(mut self, keeper: &'static Keeper, most: usize) -> Self {
        let of_runtimes = || RuntimeConnections::new(keeper, &self.source, &self.opening, most);
        self.of_runtimes = (most > 0).then(of_runtimes);
        self
    }

    /// Where a request of the caller goes.
    pub(super) fn route(&self) -> Route {
        let of_runtimes = self.of_runtimes.as_ref();
        of_runtimes.map_or(Route::Keeper, |of_runtimes| of_runtimes.route(|| self.attempts.live()))
    }

    /// Sends one request. A request that met a dead connection is sent once more, over a new one. From a runtime's own
    /// connection it goes to the keeper's. This is allowed, since every request may be carried out twice for one owner
    /// (I5).
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        route: &Route,
        request: Request<'_>,
        copies: &Copies,
    ) -> Result<T, CallError> {
        let mut live = match route {
            Route::Keeper => self.get().await.map_err(CallError::Connect)?,
            Route::Own(own) => own.live().clone(),
        };
        if live.has_idled() {
            return Box::pin(self.call_idle(live, request, copies, route)).await;
        }
        let outcome = live.call(request).await;
        self.repeat_if_dead(outcome, request, copies, route).await
    }

    async fn repeat_if_dead<T: FromRedisValue>(
        &self,
        outcome: RedisResult<T>,
        request: Request<'_>,
        copies: &Copies,
        before: &Route,
    ) -> Result<T, CallError> {
        match outcome {
            Err(cause) if met_dead_connection(&cause) => {
                Box::pin(self.call_again(request, copies, before)).await
            }
            outcome => outcome.map_err(CallError::Redis),
        }
    }

    /// The keeper's connection may have died with the runtime's: that one copy more tells.
    async fn call_again<T: FromRedisValue>(
        &self,
        request: Request<'_>,
        copies: &Copies,
        before: &Route,
    ) -> Result<T, CallError> {
        copies.add();
        let again = match (self.call_once(request).await, before) {
            (Err(CallError::Redis(cause)), Route::Own(_)) if met_dead_connection(&cause) => {
                self.call_once(request).await
            }
            (outcome, _) => outcome,
        };
        again.map_err(CallError::of_second_copy)
    }

    /// A request over a connection that may lead nowhere by now. Half of the limit is for an answer; then a copy goes over a
    /// new connection, within the other half, and whichever answers first counts.
    async fn call_idle<T: FromRedisValue>(
        &self,
        mut live: LiveConnection,
        request: Request<'_>,
        copies: &Copies,
        route: &Route,
    ) -> Result<T, CallError> {
        let (keeper, half) = (Keeper::here().map_err(CallError::Connect)?, live.limit() / 2);
        let suspect = live.clone();
        let mut first = pin!(live.call(request));
        if let Some(outcome) = before(KeeperTimer::new(keeper, half), first.as_mut()).await {
            return self.repeat_if_dead(outcome, request, copies, route).await;
        }
        suspect.give_up();
        let second = before(KeeperTimer::new(keeper, half), self.call_again(request, copies, route));
        let second = async { second.await.unwrap_or_else(|| Err(CallError::Redis(timed_out()))) };
        first_answer(async { first.await.map_err(CallError::Redis) }, second).await
    }

    async fn call_once<T: FromRedisValue>(&self, request: Request<'_>) -> Result<T, CallError> {
        let mut live = self.get().await.map_err(CallError::Connect)?;
        live.call(request).await.map_err(CallError::Redis)
    }

    /// Makes sure that there is a connection.
    pub(crate) async fn ensure(&self) -> Result<(), LockError> {
        self.get().await.map(drop)
    }

    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    async fn get(&self) -> Result<LiveConnection, LockError> {
        match self.attempts.live() {
            Some(live) => Ok(live),
            None => Box::pin(self.attempts.get()).await,
        }
    }
}

/// What comes of two copies of one request: what the server says to the first that it answers.
async fn first_answer<T>(
    one: impl Future<Output = Result<T, CallError>>,
    other: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    let is_answer = |outcome: &Result<T, CallError>| match outcome {
        Ok(_) => true,
        Err(CallError::Redis(cause)) => !breaks_connection(cause),
        Err(CallError::Connect(_) | CallError::Failed(_)) => false,
    };
    match select(pin!(one), pin!(other)).await {
        Either::Left((outcome, other)) => {
            if is_answer(&outcome) {
                outcome
            } else {
                other.await
            }
        }
        Either::Right((outcome, one)) => {
            if is_answer(&outcome) {
                outcome
            } else {
                one.await
            }
        }
    }
}

async fn connect_or_warn(
    source: Arc<Source>,
    opening: Opening,
    number: u64,
) -> Result<LiveConnection, LockError> {
    let connected = connect(&source, &opening).await;
    match &connected {
        Ok(_) if number > 1 => tracing::info!(backend = "redis", server = source.name(), "reconnected"),
        Ok(_) => {}
        Err(error) => {
            let (server, error) = (error.server(), error.without_server());
            tracing::warn!(backend = "redis", server, %error, "connecting failed");
        }
    }
    connected
}

#[cfg(test)]
mod tests {
    use super::super::connector::Connector;
    use super::*;
    use crate::backend::redis::access::ServerAccess;
    use redis::{IntoConnectionInfo as _, Value, cmd};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    /// By the number of the connection and of the pings so far, over whatever connection.
    type AnswersPing = fn(usize, usize) -> bool;

    /// A server that answers all but pings at once, and pings when they are to be answered.
    async fn serve(listener: TcpListener, answers_ping: AnswersPing) {
        let pings = Arc::<AtomicUsize>::default();
        for number in 1.. {
            let Ok((client, _)) = listener.accept().await else { return };
            tokio::spawn(answer(client, number, Arc::clone(&pings), answers_ping));
        }
    }

    async fn answer(
        mut client: TcpStream,
        number: usize,
        pings: Arc<AtomicUsize>,
        answers_ping: AnswersPing,
    ) {
        let mut buffer = [0; 4_096];
        while let Ok(length @ 1..) = client.read(&mut buffer).await {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            pings.fetch_add(text.matches("PING").count(), Ordering::SeqCst);
            while text.contains("PING") && !answers_ping(number, pings.load(Ordering::SeqCst)) {
                tokio::task::yield_now().await;
            }
            let _ = client.write_all("+OK\r\n".repeat(text.matches('*').count()).as_bytes()).await;
        }
    }

    /// What a ping over a connection that idled for this long comes to, and whether it was sent twice.
    async fn ping(idle: Duration, answers_ping: AnswersPing) -> (Result<Value, CallError>, bool) {
        let keeper = Keeper::start().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let _serving = tokio_util::task::AbortOnDropHandle::new(keeper.spawn(serve(listener, answers_ping)));
        let connector =
            Connector::new(url.into_connection_info().unwrap(), &ServerAccess::default()).unwrap();
        let connection = Connection::new(Source::Fixed(Box::new(connector)), Opening::COMMANDS);
        connection.ensure().await.unwrap();
        connection.attempts.live().unwrap().idle_for(idle);
        let copies = Copies::default();
        let outcome = connection.call(&Route::Keeper, (&cmd("PING")).into(), &copies).await;
        (outcome, copies.are_many())
    }

    const LONG: Duration = Duration::from_secs(61);

    #[tokio::test]
    async fn a_request_that_an_idle_connection_swallows_is_sent_once_more_over_a_new_one() {
        let (outcome, repeated) = ping(LONG, |connection, _| connection > 1).await;
        assert!(outcome.is_ok() && repeated);
    }

    #[tokio::test]
    async fn a_request_over_a_connection_in_use_is_not_sent_twice() {
        let (outcome, repeated) = ping(Duration::ZERO, |connection, _| connection > 1).await;
        assert!(matches!(outcome, Err(CallError::Redis(cause)) if cause.is_timeout()));
        assert!(!repeated);
    }

    #[tokio::test]
    async fn an_idle_connection_that_leads_to_the_server_still_is_not_left() {
        let (outcome, repeated) = ping(LONG, |_, _| true).await;
        assert!(outcome.is_ok() && !repeated);
    }

    #[tokio::test]
    async fn a_slow_answer_to_the_first_copy_counts() {
        let (outcome, repeated) = ping(LONG, |connection, pings| connection == 1 && pings == 2).await;
        assert!(outcome.is_ok() && repeated);
    }

    #[tokio::test]
    async fn copies_that_are_both_swallowed_are_in_doubt() {
        let (outcome, repeated) = ping(LONG, |_, _| false).await;
        assert!(matches!(outcome, Err(CallError::Redis(cause)) if cause.is_timeout()));
        assert!(repeated);
    }
}
