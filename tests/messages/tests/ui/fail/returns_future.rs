use dlock_core::{LockError, distributed_lock};

#[distributed_lock("nightly")]
fn nightly() -> impl Future<Output = Result<(), LockError>> {
    async move { Ok(()) }
}

fn main() {}
