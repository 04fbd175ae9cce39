//! What a measurement comes to, by the server's counters and what the workers say. Pure.

use crate::contenders::Contender;
use crate::crew::Report;
use crate::order::Load;
use crate::results::Sample;
use crate::servers::{Counters, Kind};
use crate::statistics;
use anyhow::{Result, bail};

/// The counters were read at each gate, and when all was done.
pub(crate) fn of(report: &Report, load: &Load, who: Contender) -> Result<Sample> {
    let mut sample = Quantities { who, sample: Sample::new() };
    match (load, report.counters.as_slice()) {
        (Load::Footprint { locks }, [free, held, released]) => {
            sample.footprint(*locks as f64, [free, held, released]);
        }
        // Both report while they are done with what is measured at the server.
        (Load::Held { locks, .. }, [free, held, renewed, _]) => {
            let renewals = renewed.renewals_since(held);
            sample.server([held, renewed], renewals, "");
            sample.kept("server bytes per lock", [free, held], *locks as f64);
            sample.clients(report, renewals, "renewals/s");
        }
        (Load::Waiters { count, span }, [alone, _, queued, waited, _]) => {
            let (count, seconds) = (*count as f64, span.as_secs_f64());
            sample.server([queued, waited], count * seconds, " per waiter and s");
            sample.kept("server bytes per waiter", [alone, queued], count);
            sample.put("subscriptions", waited.subscriptions - alone.subscriptions);
            sample.clients(report, count, "operations/s");
        }
        (Load::Footprint { .. } | Load::Held { .. } | Load::Waiters { .. }, _) | (_, [] | [_]) => {
            bail!("a gate was passed too often, or not at all")
        }
        (_, [.., before, after]) => {
            let operations = per_task(report).iter().sum::<u64>() as f64;
            sample.server([before, after], operations, "");
            sample.clients(report, operations, "operations/s");
        }
    }
    if let Load::Cycles { .. } = load {
        sample.fairness(report);
    }
    let further = report.tallies.iter().flat_map(|tally| tally.further.clone());
    sample.sample.extend(further);
    Ok(sample.sample)
}

fn per_task(report: &Report) -> Vec<u64> {
    report.tallies.iter().flat_map(|tally| tally.per_task.iter().copied()).collect()
}

/// The quantities of one contender's turn.
struct Quantities {
    who: Contender,
    sample: Sample,
}

impl Quantities {
    fn put(&mut self, name: &str, value: f64) {
        self.sample.insert(name.to_owned(), value);
    }

    /// What the server did, divided by `per`; `unit` says what that is, if it is no operation.
    fn server(&mut self, [before, after]: [&Counters; 2], per: f64, unit: &str) {
        let who = self.who;
        let mut put = |name: &str, value: f64| self.put(&format!("{name}{unit}"), value / per);
        if who.server() != Kind::Nowhere {
            put("commands", after.commands_since(before, who));
        }
        if let [Some(before), Some(after)] = [before.flights, after.flights] {
            put("round trips", after - before);
        }
        if who.server() == Kind::Redis {
            put("bytes in", after.bytes_in - before.bytes_in);
            put("bytes out", after.bytes_out - before.bytes_out);
            put("server CPU µs", after.cpu_micros - before.cpu_micros);
            put("script µs", after.script_micros_since(before));
        }
    }

    /// What the workers did, divided by `per`.
    fn clients(&mut self, report: &Report, per: f64, rate: &str) {
        let seconds = report.tallies.first().map_or(0.0, |tally| tally.seconds);
        if seconds > 0.0 {
            let cpu_micros: f64 = report.tallies.iter().map(|tally| tally.cpu_micros).sum();
            self.put(rate, per / seconds);
            self.put("µs", seconds * 1e6 / per);
            self.put("client CPU µs", cpu_micros / per);
        }
    }

    /// How much more the server keeps, for each of `count`.
    fn kept(&mut self, name: &str, [before, after]: [&Counters; 2], count: f64) {
        if self.who.server() != Kind::Nowhere {
            self.put(name, (after.bytes_kept - before.bytes_kept) / count);
        }
    }

    fn footprint(&mut self, locks: f64, [free, held, released]: [&Counters; 3]) {
        self.kept("server bytes per held lock", [free, held], locks);
        self.kept("server bytes per released lock", [free, released], locks);
        for (name, before, after) in [("acquire", free, held), ("release", held, released)] {
            self.put(&format!("commands to {name}"), after.commands_since(before, self.who) / locks);
            if self.who.server() == Kind::Redis {
                self.put(&format!("{name} script µs"), after.script_micros_since(before) / locks);
                self.put(&format!("{name} server CPU µs"), (after.cpu_micros - before.cpu_micros) / locks);
            }
        }
    }

    fn fairness(&mut self, report: &Report) {
        let waits = report.tallies.iter().map(|tally| tally.longest_wait_ms);
        self.put("longest wait ms", waits.fold(0.0, f64::max));
        self.put("Jain", statistics::jain(&per_task(report)).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Tally;
    use std::time::Duration;

    fn report(kept: &[f64]) -> Report {
        let counters = kept.iter().map(|&bytes_kept| {
            let mut counters = Counters::default();
            counters.bytes_kept = bytes_kept;
            counters
        });
        let tally = Tally { per_task: vec![10], seconds: 2.0, cpu_micros: 30.0, ..Tally::default() };
        Report { counters: counters.collect(), tallies: vec![tally] }
    }

    fn value(sample: &Sample, name: &str) -> Option<f64> {
        sample.get(name).copied()
    }

    #[test]
    fn what_the_server_keeps_is_for_each_lock_and_waiter() {
        let load = Load::Footprint { locks: 10 };
        let sample = of(&report(&[100.0, 400.0, 150.0]), &load, Contender::DlockInLine).unwrap();
        assert_eq!(value(&sample, "server bytes per held lock"), Some(30.0));
        assert_eq!(value(&sample, "server bytes per released lock"), Some(5.0));

        let load = Load::Waiters { count: 10, span: Duration::from_secs(2) };
        let kept = report(&[100.0, 100.0, 300.0, 300.0, 0.0]);
        let sample = of(&kept, &load, Contender::DlockInLine).unwrap();
        assert_eq!(value(&sample, "server bytes per waiter"), Some(20.0));
    }

    #[test]
    fn work_is_told_per_operation_and_waiting_per_second() {
        let cycles = Load::Crowded { held: 1, span: Duration::ZERO };
        let sample = of(&report(&[0.0, 0.0]), &cycles, Contender::DlockInLine).unwrap();
        assert_eq!(value(&sample, "operations/s"), Some(5.0));
        assert_eq!((value(&sample, "µs"), value(&sample, "client CPU µs")), (Some(200_000.0), Some(3.0)));

        let load = Load::Waiters { count: 10, span: Duration::from_secs(2) };
        let sample = of(&report(&[0.0; 5]), &load, Contender::DlockInLine).unwrap();
        assert!(sample.contains_key("commands per waiter and s") && !sample.contains_key("commands"));
    }

    #[test]
    fn a_gate_too_many_or_too_few_is_an_error() {
        let load = Load::Footprint { locks: 10 };
        for kept in [[0.0; 2].as_slice(), &[0.0; 4]] {
            assert!(of(&report(kept), &load, Contender::Dlock).is_err());
        }
    }
}
