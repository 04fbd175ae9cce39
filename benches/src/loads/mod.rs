//! What a worker does, one file for each load.

mod batches;
mod counted;
mod crowd;
mod crowded;
mod cycles;
mod footprint;
mod held;
mod waiters;

use crate::contenders::{Contender, Cycle, Locks};
use crate::gate;
use crate::order::{Load, Order, Tally};
use anyhow::{Result, bail};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Carries an order out.
pub(crate) fn work(order: &Order) -> Result<()> {
    match order.load {
        Load::Counted { cycles } => counted::work(order, cycles),
        Load::Waiters { count, span } => {
            runtime(order.contender)?.block_on(waiters::work(order, count, span))
        }
        _ => visit(order, &runtime(order.contender)?),
    }
}

fn visit(order: &Order, runtime: &Runtime) -> Result<()> {
    runtime.block_on(order.contender.visit(&order.address, lease(&order.load), Visitor(order)))
}

/// Two threads for all, as many as the machines have that one can be sure of.
fn runtime(contender: Contender) -> std::io::Result<Runtime> {
    let mut builder = match contender.runs_on_one_thread() {
        true => Builder::new_current_thread(),
        false => Builder::new_multi_thread(),
    };
    builder.worker_threads(2).enable_all().build()
}

fn lease(load: &Load) -> Option<Duration> {
    match load {
        Load::Held { lease, .. } => Some(*lease),
        // Nothing is renewed meanwhile.
        Load::Footprint { .. } => Some(Duration::from_secs(3_600)),
        _ => None,
    }
}

/// Does with a contender what the order says.
pub(crate) struct Visitor<'a>(&'a Order);

impl Visitor<'_> {
    /// Whether the locks are to be held for longer than their lease.
    pub(crate) fn holds(&self) -> bool {
        matches!(self.0.load, Load::Held { .. })
    }

    pub(crate) async fn drive<L: Locks>(self, locks: L) -> Result<()> {
        let (order, locks) = (self.0, Arc::new(locks));
        match &order.load {
            Load::Cycles { tasks, keys, span, stamps } => {
                let plan =
                    cycles::Plan { tasks: *tasks, keys: *keys, span: *span, stamps: stamps.as_deref() };
                cycles::work(&locks, &order.prefix, plan).await
            }
            Load::Crowded { held, span } => crowded::work(&locks, &order.prefix, *held, *span).await,
            Load::Counted { cycles } => counted::cycle(&*locks, &order.prefix, *cycles).await,
            Load::Held { locks: count, span, .. } => held::work(&locks, &order.prefix, *count, *span).await,
            Load::Footprint { locks: count } => footprint::work(&locks, &order.prefix, *count).await,
            Load::Batches { span } => {
                batches::work(batches::OneKey { locks, key: order.prefix.clone() }, *span).await
            }
            Load::Waiters { .. } => bail!("waiters connect by themselves"),
        }
    }

    pub(crate) async fn repeat<C: Cycle>(self, cycle: C) -> Result<()> {
        match &self.0.load {
            Load::Batches { span } => batches::work(cycle, *span).await,
            other => bail!("there is nothing to lock by hand for {other:?}"),
        }
    }
}

/// A tally of one task.
fn tally(count: u64, seconds: f64, cpu_micros: f64) -> Tally {
    Tally { per_task: vec![count], seconds, cpu_micros, ..Tally::default() }
}

fn key(prefix: &str, number: usize) -> String {
    format!("{prefix}:{number}")
}

/// Runs something while the machine's clock and this process's one are read.
async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<(T, f64, f64)> {
    let (start, cpu) = (crate::clock::now(), crate::machine::cpu_micros());
    let done = work.await?;
    let seconds = crate::clock::seconds(crate::clock::now() - start);
    Ok((done, seconds, crate::machine::cpu_micros() - cpu))
}

/// Reports while everything is still connected.
fn report(tally: Tally) -> Result<()> {
    gate::report(tally)
}
