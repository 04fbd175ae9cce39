//! Clients that call the running service, and what they are answered.

use crate::protocol::{ARTICLE, COUNT, CountReply, CountRequest, TAKE, TakeReply, TakeRequest};
use anyhow::{Context as _, ensure};
use dlock_core::LockManager;
use http::uri::PathAndQuery;
use std::net::SocketAddr;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

const CLIENTS: u32 = 8;
const CALLS: u32 = 5;
const ARTICLES: [&str; 2] = ["cup", "plate"];

/// Calls the methods, and prints what came of it.
pub(crate) async fn ask(address: SocketAddr, locks: &LockManager) -> anyhow::Result<()> {
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    take_at_once(&channel).await?;
    count_one_at_a_time(&channel, locks).await?;
    refuse_without_an_article(&channel).await
}

/// Each article's calls one after the other, and both articles' at the same time: nothing is lost.
async fn take_at_once(channel: &Channel) -> anyhow::Result<()> {
    let mut clients = JoinSet::new();
    for (_, article) in (0..CLIENTS).zip(ARTICLES.into_iter().cycle()) {
        clients.spawn(take_again_and_again(channel.clone(), article));
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    let CountReply { taken } = count(channel).await?.into_inner();
    ensure!(taken == CLIENTS * CALLS, "{} were taken, but the service says {taken}", CLIENTS * CALLS);
    println!(
        "{CLIENTS} clients took {CALLS} pieces each, one by one and all at once: {taken} in all, none lost"
    );
    Ok(())
}

async fn take_again_and_again(channel: Channel, article: &'static str) -> anyhow::Result<()> {
    let mut last = 0;
    for _ in 0..CALLS {
        let TakeReply { taken, token } = take(&channel, Some(article)).await?.into_inner();
        ensure!(token > last, "the token {token} of the {taken}. {article} comes after {last}");
        last = token;
    }
    Ok(())
}

/// A lock that another job has is told in gRPC's own way, with the time to try again.
async fn count_one_at_a_time(channel: &Channel, locks: &LockManager) -> anyhow::Result<()> {
    let guard = locks.lock("count").await?; // as a job elsewhere might
    let refusal = count(channel).await.err().context("two counted at once")?;
    ensure!(refusal.code() == Code::Aborted, "{refusal}");
    let after = refusal.metadata().get("retry-after").context("it does not say when to try again")?;
    println!(
        "a count while the lock is held: {:?}, \"{}\", retry-after {}",
        refusal.code(),
        refusal.message(),
        after.to_str()?
    );
    guard.release().await?;
    println!("and once that is done: {} pieces", count(channel).await?.into_inner().taken);
    Ok(())
}

async fn refuse_without_an_article(channel: &Channel) -> anyhow::Result<()> {
    let refusal = take(channel, None).await.err().context("something was taken of no article")?;
    ensure!(refusal.code() == Code::InvalidArgument, "{refusal}");
    println!("a call about no article: {:?}, \"{}\"", refusal.code(), refusal.message());
    Ok(())
}

async fn take(channel: &Channel, article: Option<&'static str>) -> Result<Response<TakeReply>, Status> {
    let mut request = Request::new(TakeRequest { pieces: 1 });
    if let Some(article) = article {
        request.metadata_mut().insert(ARTICLE, article.parse().map_err(|_| Status::internal("no header"))?);
    }
    call(channel, TAKE, request).await
}

async fn count(channel: &Channel) -> Result<Response<CountReply>, Status> {
    call(channel, COUNT, Request::new(CountRequest {})).await
}

async fn call<Q, A>(
    channel: &Channel,
    method: &'static str,
    request: Request<Q>,
) -> Result<Response<A>, Status>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let mut client = Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    client.unary(request, PathAndQuery::from_static(method), ProstCodec::default()).await
}
