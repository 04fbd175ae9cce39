//! When each holder wanted, had and gave up the lock, of all processes: whether two had it at once, and how long it
//! was on its way from one to the next.

use anyhow::{Result, bail, ensure};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

/// One acquisition, in nanoseconds of the machine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) wanted: u64,
    pub(crate) had: u64,
    pub(crate) gave: u64,
}

const BYTES: usize = 24;

pub(crate) fn write(path: &Path, stamps: impl Iterator<Item = Stamp>) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for Stamp { wanted, had, gave } in stamps {
        for moment in [wanted, had, gave] {
            file.write_all(&moment.to_le_bytes())?;
        }
    }
    Ok(file.flush()?)
}

pub(crate) fn read(path: &Path) -> Result<Vec<Stamp>> {
    let bytes = std::fs::read(path)?;
    ensure!(bytes.len() % BYTES == 0, "{} ends in the middle of a stamp", path.display());
    bytes.chunks_exact(BYTES).map(stamp).collect()
}

fn stamp(bytes: &[u8]) -> Result<Stamp> {
    let mut moments = bytes.chunks_exact(8).map(|bytes| <[u8; 8]>::try_from(bytes).map(u64::from_le_bytes));
    match (moments.next(), moments.next(), moments.next()) {
        (Some(wanted), Some(had), Some(gave)) => Ok(Stamp { wanted: wanted?, had: had?, gave: gave? }),
        _ => bail!("a stamp is of three moments"),
    }
}

/// What happened to one lock, in order.
#[derive(Debug, Default)]
pub(crate) struct History(Vec<(usize, Stamp)>);

impl History {
    /// Of the stamps of each process.
    pub(crate) fn of(processes: impl IntoIterator<Item = Vec<Stamp>>) -> Self {
        let numbered = processes.into_iter().enumerate();
        let mut all: Vec<_> = numbered
            .flat_map(|(process, stamps)| stamps.into_iter().map(move |stamp| (process, stamp)))
            .collect();
        all.sort_unstable_by_key(|(_, stamp)| stamp.had);
        Self(all)
    }

    /// How often a holder had the lock before the previous one had given it up.
    pub(crate) fn overlaps(&self) -> usize {
        self.pairs().filter(|((_, before), (_, after))| after.had < before.gave).count()
    }

    /// How long the lock was on its way from one process to another that already waited for it.
    pub(crate) fn hand_offs_to_another_process(&self) -> Vec<u64> {
        let waited = |((from, before), (to, after)): &(&(usize, Stamp), &(usize, Stamp))| {
            from != to && after.wanted < before.gave
        };
        self.pairs()
            .filter(waited)
            .map(|((_, before), (_, after))| after.had.saturating_sub(before.gave))
            .collect()
    }

    fn pairs(&self) -> impl Iterator<Item = (&(usize, Stamp), &(usize, Stamp))> {
        self.0.iter().zip(self.0.iter().skip(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wanted: u64, had: u64, gave: u64) -> Stamp {
        Stamp { wanted, had, gave }
    }

    #[test]
    fn two_holders_at_once_are_seen_across_processes() {
        assert_eq!(History::of([vec![at(0, 1, 5), at(6, 9, 12)], vec![at(0, 6, 8)]]).overlaps(), 0);
        assert_eq!(History::of([vec![at(0, 1, 5), at(6, 7, 12)], vec![at(0, 6, 8)]]).overlaps(), 1);
    }

    #[test]
    fn a_hand_off_is_to_a_waiter_of_another_process() {
        let history = History::of([vec![at(0, 1, 5), at(6, 9, 12)], vec![at(0, 8, 8), at(10, 20, 21)]]);
        // To the second holder 3, who waited; to the third, who asked for it while it was held, 1 from 8 to 9; and
        // 8 to the last.
        assert_eq!(history.hand_offs_to_another_process(), [3, 1, 8]);
        assert!(History::of([vec![at(0, 1, 5), at(2, 6, 7)]]).hand_offs_to_another_process().is_empty());
        assert!(
            History::of([vec![at(0, 1, 5)], vec![at(6, 7, 8)]]).hand_offs_to_another_process().is_empty()
        );
    }

    #[test]
    fn stamps_are_read_as_they_were_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stamps = vec![at(1, 2, 3), at(u64::MAX, 0, 7)];
        write(file.path(), stamps.iter().copied()).unwrap();
        assert_eq!(read(file.path()).unwrap(), stamps);
    }
}
