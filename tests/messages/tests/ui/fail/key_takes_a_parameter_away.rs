use dlock_core::{LockError, LockKey, distributed_lock};

#[distributed_lock(key = key)]
async fn visit(key: LockKey) -> Result<LockKey, LockError> {
    Ok(key)
}

fn main() {}
