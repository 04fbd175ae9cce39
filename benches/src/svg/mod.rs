//! Pictures of the medians: growth as curves, everything else as ratios.

mod canvas;
mod curves;
mod ratios;
mod scale;

use crate::contenders::Contender;
use crate::report::{more_is_better, number};
use crate::results::Results;
use crate::statistics::{self, Spread};
use crate::workloads::{Bound, Curve, Goal, Judged, QUANTITY, Workload};
use curves::{Line, Panel};
use ratios::{Group, Mark, Rank, Row};

/// Curves where nothing else was measured, and ratios without the curves where something was.
pub(crate) fn picture(workloads: &[Workload], results: &Results) -> String {
    match workloads.iter().all(|workload| workload.point.is_some()) {
        true => curves::draw(&panels(workloads, results), results.about()),
        false => ratios::draw(&groups(workloads, results), results.about()),
    }
}

fn panels(workloads: &[Workload], results: &Results) -> Vec<Panel> {
    let mut curves: Vec<&'static Curve> =
        workloads.iter().filter_map(|workload| Some(workload.point?.0)).collect();
    curves.dedup();
    curves.into_iter().map(|curve| panel(curve, workloads, results)).collect()
}

fn panel(curve: &'static Curve, workloads: &[Workload], results: &Results) -> Panel {
    let mut lines: Vec<Line> = Vec::new();
    for workload in workloads {
        let Some((_, at)) = workload.point.filter(|(of, _)| *of == curve) else { continue };
        for &who in &workload.contenders {
            let Some(cost) = median(results, workload, who, QUANTITY) else { continue };
            let (name, class) = drawn_as(who);
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push((at, cost)),
                None => lines.push(Line { name, class, points: vec![(at, cost)] }),
            }
        }
    }
    let Curve { title, across, up } = *curve;
    Panel { title, across, up, lines }
}

fn median(results: &Results, workload: &Workload, who: Contender, quantity: &str) -> Option<f64> {
    Spread::of(&results.rounds(&workload.name, who, quantity)).map(|spread| spread.median)
}

/// The name of a line, and its class.
fn drawn_as(who: Contender) -> (&'static str, &'static str) {
    match who {
        Contender::DlockInLine => ("Redis", "redis"),
        Contender::DlockZooKeeperInLine => ("ZooKeeper", "zookeeper"),
        Contender::Dlock => ("Redis, hand-over", "redis dashed"),
        Contender::DlockZooKeeper => ("ZooKeeper, hand-over", "zookeeper dashed"),
        other => (other.name(), "reference"),
    }
}

/// Of each ratio that must be something.
fn groups(workloads: &[Workload], results: &Results) -> Vec<Group> {
    let goals = workloads.iter().flat_map(|workload| workload.goals.iter().map(move |goal| (workload, goal)));
    goals
        .filter_map(|(workload, goal)| group(workload, goal, results))
        .filter(|group| !group.rows.is_empty())
        .collect()
}

fn group(workload: &Workload, goal: &Goal, results: &Results) -> Option<Group> {
    let Goal { against: Some(against), judged: Judged::Ratio, must: Some(_), quantity, .. } = *goal else {
        return None;
    };
    let once = median(results, workload, against, quantity)?;
    let others = workload.contenders.iter().filter(|who| **who != against);
    let mut rows: Vec<Row> = others.filter_map(|&who| row(workload, goal, who, against, results)).collect();
    rows.sort_by(|one, other| other.ratio.median.total_cmp(&one.ratio.median));
    Some(Group {
        title: format!("{}: {quantity}", workload.name),
        about: workload.about.to_owned(),
        once: format!("1× = {}, {}", against.name(), number(once)),
        rows,
    })
}

fn row(
    workload: &Workload,
    goal: &Goal,
    who: Contender,
    against: Contender,
    results: &Results,
) -> Option<Row> {
    let of = |who| results.rounds(&workload.name, who, goal.quantity);
    let more = more_is_better(goal.quantity);
    let [over, under] = if more { [who, against] } else { [against, who] };
    let ratio = Spread::of(&statistics::ratios(&of(over), &of(under)))?;
    let marks = if who == goal.ours { marks(goal, more) } else { Vec::new() };
    Some(Row { name: who.name(), rank: rank(who), ratio, marks })
}

fn marks(goal: &Goal, more: bool) -> Vec<(Mark, f64)> {
    let value = |bound: Option<Bound>| bound.map(Bound::value);
    let all =
        [(Mark::Must, value(goal.must)), (Mark::Aim, value(goal.aim)), (Mark::Prototype, goal.prototype)];
    let known = all.into_iter().filter_map(|(mark, value)| Some((mark, value?)));
    known.map(|(mark, value)| (mark, if more { value } else { 1.0 / value })).collect()
}

fn rank(who: Contender) -> Rank {
    match (who.is_ours(), who.is_reference()) {
        (true, _) => Rank::Ours,
        (_, true) => Rank::Yardstick,
        _ => Rank::Peer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Command;
    use crate::results::Sample;
    use crate::workloads;
    use clap::Parser as _;

    /// A picture of all that the command line names, in which each contender needed or did as much as `value` says.
    fn picture_of(name: &str, value: impl Fn(&Workload, Contender) -> f64) -> String {
        let Command { arguments, .. } = Command::parse_from(["dlock-bench", name]);
        let workloads = workloads::choose(&arguments).unwrap();
        let mut results = Results::default();
        results.set_about(
            "2 × A Processor Of Some Length, Linux 6.1.0; Redis 7.0.15; ZooKeeper 3.8.0".to_owned(),
        );
        for workload in &workloads {
            for &who in &workload.contenders {
                let quantities = workload.goals.iter().map(|goal| goal.quantity.to_owned());
                let sample: Sample = quantities.map(|quantity| (quantity, value(workload, who))).collect();
                results.add(&workload.name, 0, who, sample);
            }
        }
        picture(&workloads, &results)
    }

    /// Where a text is, if its letters are as wide as those of a wide font.
    struct Place {
        left: f64,
        right: f64,
        bottom: f64,
        text: String,
    }

    const LETTER: f64 = 0.6;
    const HEIGHT: f64 = 9.0;

    fn places(picture: &str) -> Vec<Place> {
        picture.lines().filter(|line| line.starts_with("<text")).map(place_of).collect()
    }

    fn place_of(line: &str) -> Place {
        let attribute =
            |name: &str| line.split_once(&format!(" {name}=\"")).unwrap().1.split_once('"').unwrap().0;
        let text = line.split_once('>').unwrap().1.split_once('<').unwrap().0;
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let [x, bottom] = ["x", "y"].map(|name| attribute(name).parse::<f64>().unwrap());
        let class = attribute("class");
        let size = if class.contains("title") {
            16.0
        } else if class.contains("small") {
            11.0
        } else {
            12.0
        };
        let width = text.chars().count() as f64 * size * LETTER;
        let left = if class.contains("end") {
            x - width
        } else if class.contains("middle") {
            x - width / 2.0
        } else {
            x
        };
        Place { left, right: left + width, bottom, text }
    }

    fn check_texts(picture: &str) {
        let places = places(picture);
        assert!(places.len() > 20);
        for (place, one) in places.iter().enumerate() {
            assert!(one.left >= 8.0 && one.right <= 892.0, "{} leaves the picture", one.text);
            for other in places.iter().skip(place + 1) {
                let beside = one.right <= other.left || other.right <= one.left;
                assert!(
                    beside || (one.bottom - other.bottom).abs() >= HEIGHT,
                    "{} is over {}",
                    one.text,
                    other.text
                );
            }
        }
    }

    #[test]
    fn texts_of_growth_do_not_overlap() {
        check_texts(&picture_of("growth", |workload, who| {
            let (_, at) = workload.point.unwrap();
            if who == Contender::Dlock { at } else { 1_000.0 + at }
        }));
    }

    #[test]
    fn texts_of_ratios_do_not_overlap() {
        check_texts(&picture_of("all", |_, who| if who.is_ours() { 1_234.5 } else { 12_345.6 }));
    }

    #[test]
    fn a_run_of_growth_alone_is_drawn_as_curves() {
        let picture = picture_of("growth/waiters", |workload, who| {
            let (_, at) = workload.point.unwrap();
            if who == Contender::DlockInLine { 10.0 } else { at }
        });
        assert!(picture.contains(">Waiters for one key<") && !picture.contains(">Locks held<"));
        // Flat, across the whole plot, on the axis below 10.
        assert!(
            picture.contains(
                "class=\"line redis\" points=\"70.0,261.0 261.5,261.0 453.0,261.0 644.5,261.0 836.0,261.0\""
            ),
            "{picture}"
        );
    }

    #[test]
    fn less_is_drawn_as_better_where_less_is_better() {
        let held = picture_of("held", |_, who| if who.is_ours() { 1.0 } else { 10.0 });
        assert!(held.contains(">held: client CPU µs<") && held.contains(">10×<"), "{held}");
        let w3 = picture_of("redis-w3", |_, who| if who.is_ours() { 100.0 } else { 10.0 });
        assert!(w3.contains(">redis-w3: operations/s<") && w3.contains(">10×<"), "{w3}");
    }
}
