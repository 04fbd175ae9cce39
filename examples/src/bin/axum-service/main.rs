//! One axum service, its locks in three ways: as a layer of a route, as an annotation, and by hand.
//!
//! `cargo run -p dlock-examples --bin axum-service` serves on 127.0.0.1:3000 with locks in this process.
//! `DLOCK_URL=redis://127.0.0.1:6379` (or `zookeeper://…`) puts them where several such processes share them,
//! `LISTEN=127.0.0.1:0` names another address. With `--check` it asks itself and exits.

mod check;
mod orders;
mod routes;

use anyhow::Context as _;
use dlock_core::{EmbeddedBackend, LockError, LockManager};
use orders::Orders;
use routes::App;
use std::env;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let locks = locks().await?;
    // For annotations that name no manager.
    LockManager::install(locks.clone());

    let listener = TcpListener::bind(setting("LISTEN", "127.0.0.1:3000")).await.context("cannot listen")?;
    let address = listener.local_addr()?;
    let app = routes::router(App { locks: locks.clone(), orders: Orders::default() });
    let serving = axum::serve(listener, app).with_graceful_shutdown(interrupted());
    if env::args().any(|argument| argument == "--check") {
        tokio::select! {
            served = serving => served?,
            checked = check::all(address) => checked?,
        }
    } else {
        print_what_to_try(address);
        serving.await?;
    }
    locks.shutdown().await;
    Ok(())
}

/// The manager by its builder, over a backend in this process; or by the URL of another one.
async fn locks() -> Result<LockManager, LockError> {
    match env::var("DLOCK_URL") {
        Ok(url) => LockManager::connect(&url).await,
        Err(_) => LockManager::builder(EmbeddedBackend::new())
            .ttl(Duration::from_secs(10))
            .wait(Duration::from_secs(5))
            .build(),
    }
}

fn setting(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn print_what_to_try(address: SocketAddr) {
    println!("Listening on http://{address}. Try, twice at the same time or not:");
    println!("  curl -i -X PUT  http://{address}/orders/42/address -d 'Elm Street 1'   # the layer");
    println!("  curl -i -X POST http://{address}/orders/42/ship                        # the annotation");
    println!("  curl -i -X POST http://{address}/nightly                               # by hand");
    println!("  curl -i         http://{address}/orders/42");
}
