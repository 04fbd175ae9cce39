//! The names of the standard library mean something else where the function stands.
#![allow(dead_code, non_camel_case_types)]

mod user {
    use dlock_core::{LockError, LockManager, distributed_lock};

    pub struct Result;
    pub struct Ok;
    pub struct Err;
    pub struct Option;
    pub struct String;
    pub trait From {}
    pub mod core {}
    pub mod std {}

    #[distributed_lock("k:{id}", locks = locks)]
    pub async fn locked(locks: &LockManager, id: u8) -> ::core::result::Result<u8, LockError> {
        ::core::result::Result::Ok(id)
    }
}

#[tokio::test]
async fn a_function_among_shadowed_names_runs() {
    let locks = dlock_core::LockManager::connect("memory:").await.unwrap();
    assert_eq!(user::locked(&locks, 7).await.unwrap(), 7);
}
