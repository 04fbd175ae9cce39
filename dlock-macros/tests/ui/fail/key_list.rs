use dlock_core::{LockError, distributed_lock};

#[distributed_lock(["order:{a}", "order:{b}"])]
async fn ship(_a: u64, _b: u64) -> Result<(), LockError> {
    Ok(())
}

fn main() {}
