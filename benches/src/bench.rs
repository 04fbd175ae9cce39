//! Gives each contender its turn, round after round.

use crate::arguments::Arguments;
use crate::contenders::Contender;
use crate::crew;
use crate::intervals::{self, History};
use crate::machine;
use crate::order::{Load, Order};
use crate::quantities;
use crate::results::{Results, Sample};
use crate::servers::{Counters, Servers};
use crate::statistics;
use crate::workloads::Workload;
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};

pub(crate) fn run(workloads: &[Workload], arguments: &Arguments) -> Result<Results> {
    let (mut servers, mut results, mut turns) = (Servers::default(), Results::default(), 0);
    for workload in workloads {
        for round in 0..workload.rounds.unwrap_or(arguments.rounds()) {
            for &who in &order_of(&workload.contenders, round) {
                turns += 1;
                let sample = measure(&mut servers, workload, who, turns)
                    .with_context(|| format!("{} of {} failed", who.name(), workload.name))?;
                println!("{} round {}: {}", workload.name, round + 1, line(who, &sample));
                results.add(&workload.name, round, who, sample);
            }
        }
    }
    results.set_about(about(&servers, arguments));
    Ok(results)
}

fn about(servers: &Servers, arguments: &Arguments) -> String {
    let rounds = match arguments.rounds() {
        1 => "one round".to_owned(),
        rounds => format!("medians of {rounds} rounds"),
    };
    [vec![machine::description()], servers.versions(), vec![rounds]].concat().join("; ")
}

/// Forth, then back: what drifts meanwhile does not favour one.
fn order_of(contenders: &[Contender], round: usize) -> Vec<Contender> {
    let mut contenders = contenders.to_vec();
    if round % 2 == 1 {
        contenders.reverse();
    }
    contenders
}

fn line(who: Contender, sample: &Sample) -> String {
    let quantities: Vec<_> = sample.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
    format!("{}: {}", who.name(), quantities.join(", "))
}

fn measure(servers: &mut Servers, workload: &Workload, who: Contender, turn: usize) -> Result<Sample> {
    let server = servers.get(who.server(), workload.pinned);
    server.clear();
    let link = workload.distance.and_then(|each_way| server.link(each_way));
    let server = link.as_ref().map_or(server, |link| server.behind(link));
    let directory = tempfile::tempdir()?;
    let orders: Vec<Order> = (0..workload.processes)
        .map(|process| Order {
            contender: who,
            load: with_stamps(&workload.load, &stamps_of(directory.path(), process), workload.processes),
            address: server.address(),
            prefix: format!("bench-{turn}"),
        })
        .collect();
    let ready = |before: &[Counters], now: &Counters| is_ready(&workload.load, who, before, now);
    let report = crew::measure(&orders, server, workload.pinned, ready)?;
    let mut sample = quantities::of(&report, &workload.load, who)?;
    if workload.processes > 1 {
        add_hand_offs(&mut sample, directory.path(), workload.processes)?;
    }
    Ok(sample)
}

fn stamps_of(directory: &Path, process: usize) -> PathBuf {
    directory.join(format!("stamps-{process}"))
}

/// Only where there are several processes are stamps needed: within one they see each other.
fn with_stamps(load: &Load, path: &Path, processes: usize) -> Load {
    match load.clone() {
        Load::Cycles { tasks, keys, span, .. } if processes > 1 => {
            Load::Cycles { tasks, keys, span, stamps: Some(path.to_owned()) }
        }
        load => load,
    }
}

/// Whether those that are to wait do so at the server. They begin after the second gate.
fn is_ready(load: &Load, who: Contender, before: &[Counters], now: &Counters) -> bool {
    match (load, before) {
        (Load::Waiters { count, .. }, [_, connected]) => {
            now.places_since(connected) >= who.places(*count) as f64
        }
        _ => true,
    }
}

/// A benchmark of a lock that two have at once is worth nothing.
fn add_hand_offs(sample: &mut Sample, directory: &Path, processes: usize) -> Result<()> {
    let stamps = (0..processes).map(|process| intervals::read(&stamps_of(directory, process)));
    let history = History::of(stamps.collect::<Result<Vec<_>>>()?);
    let overlaps = history.overlaps();
    ensure!(overlaps == 0, "two processes had the lock at once, {overlaps} times");
    let mut hand_offs = history.hand_offs_to_another_process();
    sample.insert("hand-offs to others".to_owned(), hand_offs.len() as f64);
    for (name, share) in [("hand-off p50 µs", 0.5), ("hand-off p99 µs", 0.99)] {
        let nanos = statistics::percentile(&mut hand_offs, share);
        sample.extend(nanos.map(|nanos| (name.to_owned(), nanos as f64 / 1e3)));
    }
    Ok(())
}
