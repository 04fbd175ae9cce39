use dlock_core::{distributed_lock};

#[distributed_lock("order")]
pub struct Order {
    pub id: u64,
}

fn main() {}
