//! The demonstration from beginning to end.

use crate::backend::Backend;
use crate::cli::RunArguments;
use crate::crowd::Crowd;
use crate::fleet::{Fleet, Plan};
use crate::progress::Progress;
use crate::protocol::Packet;
use crate::report::{Report, Run, grouped, money};
use crate::split;
use crate::store::{Balance, Cents, PacketStore};
use anyhow::Context as _;
use std::path::Path;
use std::sync::Arc;

/// What is in a packet.
const TOTAL: Cents = 1_000_000;

/// Runs all runs. Dropping the future kills the servers and removes the SQLite file.
pub(crate) async fn play(arguments: &RunArguments) -> anyhow::Result<Report> {
    let backend = Backend::parse(&arguments.backend)?;
    backend.probe(arguments.ttl).await?;
    let folder = tempfile::Builder::new().prefix("red-packet-").tempdir()?;
    let database = folder.path().join("packets.sqlite");
    let store = packets(&database, arguments).context("cannot make the SQLite file")?;
    let stage = Stage { arguments, store };
    stage.introduce(&backend);
    let plan = Plan { backend: backend.clone(), database, ttl: arguments.ttl };
    let fleet = Fleet::start(plan, arguments.servers).await?;
    stage.all_runs(fleet, &backend).await
}

/// Half as many shares as grabs, so that the packet runs out in the middle.
fn full(arguments: &RunArguments) -> Balance {
    Balance { cents: TOTAL, shares: i64::from(arguments.grabs / 2).max(1) }
}

/// The file with a packet for each run.
fn packets(database: &Path, arguments: &RunArguments) -> rusqlite::Result<PacketStore> {
    let mut store = PacketStore::create(database)?;
    for packet in [Packet::Unlocked, Packet::Locked, Packet::Striped] {
        let count = if packet == Packet::Striped { arguments.stripes } else { 1 };
        store.add(packet.id(), &split::stripes(full(arguments), count))?;
    }
    Ok(store)
}

/// What all runs need.
struct Stage<'a> {
    arguments: &'a RunArguments,
    store: PacketStore,
}

impl Stage<'_> {
    async fn all_runs(&self, mut fleet: Fleet, backend: &Backend) -> anyhow::Result<Report> {
        let unlocked = self.run(&mut fleet, Packet::Unlocked).await?;
        let locked = self.run(&mut fleet, Packet::Locked).await?;
        let striped = self.run(&mut fleet, Packet::Striped).await?;
        fleet.stop().await?;
        let RunArguments { servers, grabs, stripes, .. } = *self.arguments;
        let (backend, full) = (backend.name().to_owned(), full(self.arguments));
        Ok(Report { backend, servers, grabs, stripes, full, unlocked, locked, striped })
    }

    async fn run(&self, fleet: &mut Fleet, packet: Packet) -> anyhow::Result<Run> {
        let title = self.title(packet);
        let progress = Arc::new(Progress::new(title.clone(), self.arguments.grabs, self.arguments.json));
        let crowd = Crowd::new(fleet.addresses(), packet, self.arguments.grabs);
        let grabbing = crowd.grab_all(self.arguments.connections, Arc::clone(&progress));
        let (tally, ()) = tokio::try_join!(grabbing, self.disturb(fleet, packet, &progress))?;
        progress.finish();
        Ok(Run { title, at_once: self.at_once(packet), tally, audit: self.store.audit(packet.id())? })
    }

    fn title(&self, packet: Packet) -> String {
        match (packet, self.arguments.stripes) {
            (Packet::Unlocked, _) => "no lock".to_owned(),
            (Packet::Locked, _) => "one lock".to_owned(),
            (Packet::Striped, 1) => "1 stripe".to_owned(),
            (Packet::Striped, stripes) => format!("{} stripes", grouped(stripes)),
        }
    }

    /// How many grabs can be at work at the same time.
    fn at_once(&self, packet: Packet) -> u16 {
        let RunArguments { connections, stripes, .. } = *self.arguments;
        match packet {
            Packet::Unlocked => connections,
            Packet::Locked => 1,
            Packet::Striped => stripes.min(connections),
        }
    }

    /// Kills a server in the middle of a run with locks if that is asked for: the last one to have got a lock.
    async fn disturb(&self, fleet: &mut Fleet, packet: Packet, progress: &Progress) -> anyhow::Result<()> {
        if !self.arguments.kill || packet == Packet::Unlocked {
            return Ok(());
        }
        progress.reached(self.arguments.grabs / 2).await;
        let holder = self.store.last_holder(packet.id())?;
        let killed = fleet.kill_and_replace(holder).await?;
        if !self.arguments.json {
            progress.say(&format!(
                "With {}: killed server {killed}, the last to get a lock, and started a new one.\n",
                self.title(packet)
            ));
        }
        Ok(())
    }

    fn introduce(&self, backend: &Backend) {
        let RunArguments { servers, grabs, connections, .. } = self.arguments;
        let kind = if matches!(backend, Backend::Memory(_)) { "in this process" } else { "processes" };
        self.say(&format!(
            "A packet of {} in {} shares; {} grabs over {connections} connections.\n\
             {servers} servers ({kind}), locks in {}.\n",
            money(TOTAL),
            grouped(full(self.arguments).shares),
            grouped(grabs),
            backend.name(),
        ));
    }

    fn say(&self, text: &str) {
        if !self.arguments.json {
            println!("{text}");
        }
    }
}
