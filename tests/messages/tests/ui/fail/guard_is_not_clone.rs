async fn two(guard: dlock_core::LockGuard) -> (dlock_core::LockGuard, dlock_core::LockGuard) {
    (guard.clone(), guard)
}

fn main() {}
