#![allow(missing_docs)]
use dlock_core::{LockError, LockManager, distributed_lock};
use std::mem::size_of_val;
type R = Result<u64, LockError>;
async fn io() {
    tokio::task::yield_now().await
}
async fn base(x: [u8; 4096]) -> R {
    io().await;
    Ok(x[0] as u64)
}
#[distributed_lock("k", locks = m)]
async fn wrap(m: LockManager, x: [u8; 4096]) -> R {
    io().await;
    Ok(x[0] as u64)
}
#[distributed_lock("k")]
async fn wrap_i(x: [u8; 4096]) -> R {
    io().await;
    Ok(x[0] as u64)
}
async fn base_l() -> R {
    let x = [1u8; 4096];
    io().await;
    Ok(x[0] as u64)
}
#[distributed_lock("k")]
async fn wrap_l() -> R {
    let x = [1u8; 4096];
    io().await;
    Ok(x[0] as u64)
}
async fn base_e() -> R {
    Ok(1)
}
#[distributed_lock("k")]
async fn wrap_e() -> R {
    Ok(1)
}
async fn base_r(x: &[u8; 4096]) -> R {
    io().await;
    Ok(x[0] as u64)
}
#[distributed_lock("k")]
async fn wrap_r(x: &[u8; 4096]) -> R {
    io().await;
    Ok(x[0] as u64)
}
async fn raw(m: LockManager) -> R {
    let g = m.lock("k").acquire().await?;
    g.release().await?;
    Ok(1)
}
async fn rawrun(m: LockManager) -> R {
    let g = m.lock("k").acquire().await?;
    g.run(io()).await?;
    Ok(1)
}
#[tokio::test]
async fn sizes() {
    let m = LockManager::builder(dlock_core::EmbeddedBackend::new()).build().unwrap();
    let a = [0u8; 4096];
    println!(
        "arg base {} wrap {} wrap_i {}",
        size_of_val(&base(a)),
        size_of_val(&wrap(m.clone(), a)),
        size_of_val(&wrap_i(a))
    );
    println!("local base {} wrap {}", size_of_val(&base_l()), size_of_val(&wrap_l()));
    println!("empty base {} wrap {}", size_of_val(&base_e()), size_of_val(&wrap_e()));
    println!("ref base {} wrap {}", size_of_val(&base_r(&a)), size_of_val(&wrap_r(&a)));
    println!(
        "acquire {} raw {} rawrun {}",
        size_of_val(&m.lock("k").acquire()),
        size_of_val(&raw(m.clone())),
        size_of_val(&rawrun(m.clone()))
    );
    println!("guard {} ", size_of::<dlock_core::LockGuard>());
}
