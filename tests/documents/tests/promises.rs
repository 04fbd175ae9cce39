//! The tables of what backends promise, beside what the backends say.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

use dlock_core::backend::{redis, zookeeper};
use dlock_core::{
    Backend, EmbeddedBackend, Guarantees, RedisBackend, RedisBackendBuilder, RedlockBackend, ZooKeeperBackend,
};
use std::time::Duration;

const README: &str = include_str!("../../../README.md");
const PROMISES: &str = include_str!("../../../docs/promises.md");

/// No server is asked: the first lock would connect.
fn at_redis(set: impl FnOnce(RedisBackendBuilder) -> RedisBackendBuilder) -> RedisBackendBuilder {
    set(RedisBackend::builder().url("redis://127.0.0.1:1/").lazy())
}

async fn of_redis(recipe: redis::Recipe, quarantine: Duration) -> Guarantees {
    let builder = at_redis(|builder| builder.recipe(recipe));
    let builder = if quarantine.is_zero() { builder } else { builder.quarantine(quarantine) };
    builder.build().await.unwrap().guarantees()
}

async fn of_zookeeper(recipe: zookeeper::Recipe) -> Guarantees {
    let builder = ZooKeeperBackend::builder().hosts("127.0.0.1:1").recipe(recipe).lazy();
    builder.build().await.unwrap().guarantees()
}

async fn of_majority() -> Guarantees {
    let servers = ["redis://127.0.0.1:1/", "redis://127.0.0.1:2/", "redis://127.0.0.1:3/"];
    RedlockBackend::builder().servers(servers).lazy().build().await.unwrap().guarantees()
}

/// By the names of the columns in docs/promises.md.
async fn all() -> Vec<(&'static str, Guarantees)> {
    let (none, minute) = (Duration::ZERO, Duration::from_secs(60));
    vec![
        ("embedded", EmbeddedBackend::new().guarantees()),
        ("Redis, Fair", of_redis(redis::Recipe::Fair, none).await),
        ("Fair, quarantine", of_redis(redis::Recipe::Fair, minute).await),
        ("Barging", of_redis(redis::Recipe::Barging, none).await),
        ("Plain", of_redis(redis::Recipe::Plain, none).await),
        ("Timestamp", of_redis(redis::Recipe::Timestamp, none).await),
        ("majority", of_majority().await),
        ("ZooKeeper", of_zookeeper(zookeeper::Recipe::Sequential).await),
        ("ZooKeeper, Simple", of_zookeeper(zookeeper::Recipe::Simple).await),
    ]
}

/// The rows of the table whose first cell of all is `first`, that row included.
fn table<'a>(document: &'a str, first: &str) -> Vec<Vec<&'a str>> {
    let start = format!("| {first} |");
    let lines = document.lines().skip_while(|line| !line.starts_with(&start));
    let lines = lines.take_while(|line| line.starts_with('|')).filter(|line| !line.starts_with("|---"));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[tokio::test]
async fn the_table_of_values_is_what_the_backends_say() {
    let all = all().await;
    let mut expected = vec![vec!["`Guarantees::…`"]];
    expected[0].extend(all.iter().map(|(name, _)| *name));
    let names: Vec<_> = Guarantees::all().iter_names().map(|(name, _)| format!("`{name}`")).collect();
    for (name, guarantee) in names.iter().zip(Guarantees::all().iter()) {
        let says = |of: &Guarantees| if of.contains(guarantee) { "yes" } else { "no" };
        let cells = std::iter::once(name.as_str()).chain(all.iter().map(|(_, of)| says(of)));
        expected.push(cells.collect());
    }
    assert_eq!(table(PROMISES, "`Guarantees::…`"), expected);
}

/// Which backend a row of the README is about.
fn of_row(all: &[(&'static str, Guarantees)], row: &str) -> Guarantees {
    let column = match row {
        "embedded" => "embedded",
        "Redis with `quarantine`" => "Fair, quarantine",
        "ZooKeeper" => "ZooKeeper",
        majority if majority.contains("majority") => "majority",
        redis if redis.starts_with("Redis") => "Redis, Fair",
        unknown => panic!("no backend is known for the row {unknown}"),
    };
    all.iter().find(|(name, _)| *name == column).unwrap().1
}

#[tokio::test]
async fn the_table_of_the_readme_says_what_the_backends_say() {
    let all = all().await;
    let rows = table(README, "backend");
    assert!(rows.len() > 5, "{rows:?}");
    for row in &rows[1..] {
        let (of, says) = (of_row(&all, row[0]), row[1]);
        let always = says.starts_with("always");
        let restarts = always || says.contains("across restarts");
        assert_eq!(of.contains(Guarantees::ACROSS_RESTARTS), restarts, "{row:?}");
        assert_eq!(of.contains(Guarantees::ACROSS_FAILOVERS), always, "{row:?}");
        assert_eq!(of.contains(Guarantees::ACROSS_PROCESSES), !says.contains("in its process"), "{row:?}");
    }
}
