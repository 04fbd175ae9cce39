//! Locks once at the URL it is given, and prints how many cipher suites the process's crypto provider has, or `none`.
//! With a second argument it installs a provider of three suites first.
#![allow(clippy::unwrap_used, reason = "a test's program that cannot go on must fail")]

use dlock_core::LockManager;
use rustls::crypto::{CryptoProvider, ring};
use std::env;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = env::args().skip(1);
    let url = arguments.next().unwrap();
    if arguments.next().is_some() {
        let mut provider = ring::default_provider();
        provider.cipher_suites.truncate(3);
        provider.install_default().unwrap();
    }
    let locks = LockManager::connect(&url).await.unwrap();
    locks.lock("order:42").await.unwrap().release().await.unwrap();
    let suites = CryptoProvider::get_default().map(|provider| provider.cipher_suites.len());
    println!("{}", suites.map_or("none".to_owned(), |suites| suites.to_string()));
}
