//! A gRPC service of tonic, its locks in two ways: as a layer of the service, and by hand in a method.
//!
//! `cargo run -p grpc-service` serves, asks itself, prints what happened and ends.
//! `-- --backend redis://127.0.0.1:6379` (or `zookeeper://…`) puts the locks where several processes share them.

mod clients;
mod protocol;
mod server;
mod stock;

use anyhow::Context as _;
use clap::Parser;
use dlock_core::LockManager;
use server::StockServer;
use stock::Stock;
use tonic::transport::server::{Server, TcpIncoming};

#[derive(Debug, Parser)]
struct Arguments {
    /// Where the locks are: memory:, redis://HOST:PORT or zookeeper://HOST:PORT/ROOT.
    #[arg(long, default_value = "memory:", value_name = "URL")]
    backend: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let locks = LockManager::connect(&Arguments::parse().backend).await?;
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).context("cannot listen")?;
    let address = incoming.local_addr()?;
    let service = StockServer::locked(Stock::default(), &locks);
    tokio::select! {
        served = Server::builder().add_service(service).serve_with_incoming(incoming) => served?,
        asked = clients::ask(address, &locks) => asked?,
    }
    locks.shutdown().await?;
    Ok(())
}
