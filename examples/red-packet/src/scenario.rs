//! The demonstration from beginning to end.

use crate::backend::Backend;
use crate::cli::RunArguments;
use crate::crowd::Crowd;
use crate::fleet::{Fleet, Plan};
use crate::progress::Progress;
use crate::protocol::Packet;
use crate::report::{Report, Run, grouped, money};
use crate::store::{Balance, Cents, PacketStore};
use anyhow::Context as _;
use std::sync::Arc;

/// What is in a packet.
const TOTAL: Cents = 1_000_000;

/// Runs both runs. Dropping the future kills the servers and removes the SQLite file.
pub(crate) async fn play(arguments: &RunArguments) -> anyhow::Result<Report> {
    let backend = Backend::parse(&arguments.backend)?;
    backend.probe(arguments.ttl).await?;
    let folder = tempfile::Builder::new().prefix("red-packet-").tempdir()?;
    let database = folder.path().join("packets.sqlite");
    let store = PacketStore::create(&database, Packet::COUNT, full(arguments))
        .context("cannot make the SQLite file")?;
    let stage = Stage { arguments, store };
    stage.introduce(&backend);
    let plan = Plan { backend: backend.clone(), database, ttl: arguments.ttl };
    let fleet = Fleet::start(plan, arguments.servers).await?;
    stage.both_runs(fleet, &backend).await
}

/// Half as many shares as grabs, so that the packet runs out in the middle.
fn full(arguments: &RunArguments) -> Balance {
    Balance { cents: TOTAL, shares: i64::from(arguments.grabs / 2).max(1) }
}

/// What both runs need.
struct Stage<'a> {
    arguments: &'a RunArguments,
    store: PacketStore,
}

impl Stage<'_> {
    async fn both_runs(&self, mut fleet: Fleet, backend: &Backend) -> anyhow::Result<Report> {
        let unlocked = self.run(&mut fleet, Packet::Unlocked).await?;
        let locked = self.run(&mut fleet, Packet::Locked).await?;
        fleet.stop().await?;
        let RunArguments { servers, grabs, .. } = *self.arguments;
        Ok(Report { backend: backend.name().to_owned(), servers, grabs, total: TOTAL, unlocked, locked })
    }

    async fn run(&self, fleet: &mut Fleet, packet: Packet) -> anyhow::Result<Run> {
        let progress = Arc::new(self.progress(packet));
        let crowd = Crowd::new(fleet.addresses(), packet, self.arguments.grabs);
        let grabbing = crowd.grab_all(self.arguments.connections, Arc::clone(&progress));
        let (tally, ()) = tokio::try_join!(grabbing, self.disturb(fleet, packet, &progress))?;
        progress.finish();
        Ok(Run { tally, audit: self.store.audit(packet.id())? })
    }

    fn progress(&self, packet: Packet) -> Progress {
        let title = match packet {
            Packet::Unlocked => "without the lock",
            Packet::Locked => "with the lock",
        };
        Progress::new(title.to_owned(), self.arguments.grabs, self.arguments.json)
    }

    /// Kills a server in the middle of the locked run if that is asked for: the one that holds the lock.
    async fn disturb(&self, fleet: &mut Fleet, packet: Packet, progress: &Progress) -> anyhow::Result<()> {
        if !self.arguments.kill || packet != Packet::Locked {
            return Ok(());
        }
        progress.reached(self.arguments.grabs / 2).await;
        let holder = self.store.last_holder(packet.id())?;
        let killed = fleet.kill_and_replace(holder).await?;
        if !self.arguments.json {
            progress.say(&format!(
                "Killed server {killed}, the last to hold the lock, and started another one.\n"
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
