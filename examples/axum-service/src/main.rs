//! One axum service over SQLite, its locks in three ways: as layers of routes, as an annotation, and by hand.
//!
//! `cargo run -p axum-service` serves on 127.0.0.1:3000 with locks in this process.
//! `--backend redis://127.0.0.1:6379` (or `zookeeper://…`) puts them where several such processes share them; then
//! `--database shop.db` names the file that they share, too. With `--check` it asks itself and exits.

mod check;
mod orders;
mod payments;
mod refusal;
mod reports;
mod routes;
mod shop;

use anyhow::Context as _;
use clap::Parser;
use dlock_core::{EmbeddedBackend, LockError, LockManager};
use routes::App;
use shop::Shop;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;

#[derive(Debug, Parser)]
struct Arguments {
    /// Where the locks are, if not in this process: redis://HOST:PORT or zookeeper://HOST:PORT/ROOT.
    #[arg(long, value_name = "URL")]
    backend: Option<String>,
    /// The SQLite file; without one the shop is forgotten at the end.
    #[arg(long, value_name = "PATH")]
    database: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Ask the service what it should answer, and exit.
    #[arg(long)]
    check: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let locks = locks(arguments.backend.as_deref()).await?;
    // For annotations that name no manager.
    let _installed = LockManager::install_scoped(locks.clone());

    let listener = TcpListener::bind(arguments.listen).await.context("cannot listen")?;
    let address = listener.local_addr()?;
    let shop = Shop::open(arguments.database.as_deref()).context("cannot open the database")?;
    let app = routes::router(App::new(locks.clone(), shop));
    let closing = locks.clone();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move {
        asked_to_end().await;
        // Requests that wait for a lock are answered now, and those that have one finish.
        closing.close();
    });
    if arguments.check {
        tokio::select! {
            served = serving => served?,
            checked = check::all(address) => checked?,
        }
    } else {
        print_what_to_try(address);
        serving.await?;
    }
    locks.shutdown().await?;
    Ok(())
}

/// The manager: by its builder, over a backend in this process, or by the URL of a server.
async fn locks(backend: Option<&str>) -> Result<LockManager, LockError> {
    match backend {
        Some(url) => LockManager::connect(url).await,
        None => LockManager::builder(EmbeddedBackend::new())
            .ttl(Duration::from_secs(10))
            .wait(Duration::from_secs(5))
            .build(),
    }
}

/// Waits for Ctrl-C or for SIGTERM, which service managers send.
async fn asked_to_end() {
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => {}
        Some(()) = terminated() => {}
        else => std::future::pending().await,
    }
}

#[cfg(unix)]
async fn terminated() -> Option<()> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::terminate()).ok()?.recv().await
}

#[cfg(not(unix))]
async fn terminated() -> Option<()> {
    None
}

fn print_what_to_try(address: SocketAddr) {
    println!("Listening on http://{address}. Try, twice at the same time or not:");
    println!("  curl -i -X PUT  http://{address}/orders/42/address -d 'Elm Street 1'   # a layer, by path");
    println!("  curl -i -X POST http://{address}/payments -H 'idempotency-key: a1' \\");
    println!(
        "       --json '{{\"order\": 42, \"cents\": 1000}}'                           # a layer, by header"
    );
    println!("  curl -iN        http://{address}/reports/orders                        # held to the end");
    println!("  curl -i -X POST http://{address}/orders/42/ship                        # the annotation");
    println!("  curl -i -X POST http://{address}/nightly                               # by hand");
    println!("  curl -i         http://{address}/orders/42");
}
