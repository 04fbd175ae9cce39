//! What the operating system says of this process, and where it may run.

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::num::NonZero;

/// Runs `start` where only the first of our processors may be used: the processes it starts stay there. Whether that
/// could be had.
pub(crate) fn pinned<T>(start: impl FnOnce() -> T) -> (T, bool) {
    let Ok(before) = sched_getaffinity(None) else { return (start(), false) };
    let is_pinned = first_of(&before).is_some_and(|one| sched_setaffinity(None, &one).is_ok());
    let started = start();
    let restored = sched_setaffinity(None, &before).is_ok();
    (started, is_pinned && restored)
}

fn first_of(processors: &CpuSet) -> Option<CpuSet> {
    let first = (0..CpuSet::MAX_CPU).find(|&processor| processors.is_set(processor))?;
    let mut one = CpuSet::new();
    one.set(first);
    Some(one)
}

/// What it is, in a few words.
pub(crate) fn description() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processor = model_of(&read("/proc/cpuinfo")).unwrap_or("a processor without a name").to_owned();
    let count = std::thread::available_parallelism().map_or(1, NonZero::get);
    let release = read("/proc/sys/kernel/osrelease");
    format!("{count} × {processor}, Linux {}", release.split('-').next().unwrap_or_default().trim())
}

fn model_of(processors: &str) -> Option<&str> {
    let names = processors.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    names.map(|(_, name)| name.trim()).next()
}

/// Microseconds of processor time that this process has used.
pub(crate) fn cpu_micros() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 * 1e6 + used.tv_nsec as f64 / 1e3
}

/// Bytes of memory of this process that are in use.
pub(crate) fn resident_bytes() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")).context("no VmRSS in /proc")?;
    Ok(kilobytes.trim().parse::<f64>()? * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_has_the_name_that_the_system_gives_it() {
        assert_eq!(model_of("processor\t: 0\nmodel name\t: A 9 B\nmodel name\t: C\n"), Some("A 9 B"));
        assert_eq!(model_of("processor\t: 0\n"), None);
    }
}
