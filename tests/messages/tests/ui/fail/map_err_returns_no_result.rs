use dlock_core::distributed_lock;

#[distributed_lock("nightly", map_err = |_| 7)]
async fn nightly() -> u8 {
    7
}

fn main() {}
