//! What a program requires of its backend.
#![allow(clippy::unwrap_used, reason = "tests")]

use dlock_core::{EmbeddedBackend, ErrorKind, Guarantees, LockManager};

#[test]
fn a_manager_is_refused_what_its_backend_does_not_promise_and_nothing_else() {
    let promised = LockManager::builder(EmbeddedBackend::new()).build().unwrap().guarantees();
    for guarantee in Guarantees::all().iter() {
        let built = LockManager::builder(EmbeddedBackend::new()).require(guarantee).build();
        match promised.contains(guarantee) {
            true => assert_eq!(built.unwrap().guarantees(), promised),
            false => {
                let refused = built.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Unsupported);
                assert_eq!((refused.missing_guarantees(), refused.backend()), (guarantee, Some("embedded")));
                let text = refused.to_string();
                assert!(text.contains(&guarantee.to_string()) && text.contains("use "), "{text}");
            }
        }
    }
}

#[test]
fn all_that_is_missing_is_named() {
    let builder = LockManager::builder(EmbeddedBackend::new()).require(Guarantees::TOKEN_BLOCKS);
    let needs = Guarantees::ACROSS_PROCESSES | Guarantees::QUEUE;
    let refused = builder.require(needs).build().unwrap_err();
    let missing = Guarantees::ACROSS_PROCESSES | Guarantees::TOKEN_BLOCKS;
    assert_eq!(refused.missing_guarantees(), missing, "{refused}");
}

/// A namespace, lifted tokens and a hand-over take nothing away and add nothing.
#[test]
fn what_stands_around_a_backend_promises_the_same() {
    let bare = LockManager::builder(EmbeddedBackend::new()).build().unwrap();
    let wrapped = LockManager::builder(EmbeddedBackend::new()).namespace("shop:").token_floor(7).build();
    assert_eq!(wrapped.unwrap().guarantees(), bare.guarantees());
}

#[tokio::test]
async fn a_url_requires_by_name() {
    assert!(LockManager::connect("memory:?require=queue,across_restarts").await.is_ok());
    let refused = LockManager::connect("memory:?require=queue,across_processes").await.unwrap_err();
    assert_eq!(refused.missing_guarantees(), Guarantees::ACROSS_PROCESSES);
    let unknown = LockManager::connect("memory:?require=quorum").await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::InvalidOption);
}
