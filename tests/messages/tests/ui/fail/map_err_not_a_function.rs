use dlock_core::distributed_lock;

#[derive(Debug)]
struct JobError;

#[distributed_lock("nightly", map_err = JobError)]
async fn nightly() -> Result<u8, JobError> {
    Ok(7)
}

fn main() {}
