use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order")]
struct Order {
    _owner: Option<LockError>,
}

fn main() {}
