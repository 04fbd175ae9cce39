use dlock_core::distributed_lock;

#[distributed_lock("nightly")]
async fn nightly() {}

fn main() {}
