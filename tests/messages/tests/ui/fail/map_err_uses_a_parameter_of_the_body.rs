use dlock_core::distributed_lock;

#[distributed_lock("place", map_err = |error| format!("{place}: {error}"))]
async fn visit(place: String) -> Result<String, String> {
    Ok(place)
}

fn main() {}
