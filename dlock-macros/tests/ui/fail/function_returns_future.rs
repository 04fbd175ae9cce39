use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order")]
fn ship() -> impl Future<Output = Result<(), LockError>> {
    async move { Ok(()) }
}

fn main() {}
