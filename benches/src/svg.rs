//! A picture of the medians: bars on a logarithmic scale, ours beside the others, workload by workload.

use crate::contenders::Contender;
use crate::report::number;
use crate::results::Results;
use crate::statistics::Spread;
use crate::workloads::Workload;
use std::fmt::Write as _;

const LABELS: f64 = 250.0;
const BARS: f64 = 520.0;
const WIDTH: f64 = 880.0;
const BAR: f64 = 16.0;
const GAP: f64 = 34.0;

const OURS: &str = "#1f6feb";
const PEER: &str = "#9aa4b2";
const REFERENCE: &str = "#e3a008";

struct Bar {
    who: Contender,
    value: f64,
}

pub(crate) fn chart(workloads: &[Workload], results: &Results) -> String {
    let (mut body, mut y) = (legend(), 60.0);
    for workload in workloads {
        let Some(quantity) = workload.goals.first().map(|goal| goal.quantity) else { continue };
        let bars = bars(workload, quantity, results);
        if bars.len() > 1 {
            y = group(&mut body, y, &format!("{}: {}, {quantity}", workload.name, workload.about), &bars);
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

fn bars(workload: &Workload, quantity: &str, results: &Results) -> Vec<Bar> {
    let median = |who| Spread::of(&results.rounds(&workload.name, who, quantity)).map(|spread| spread.median);
    let bars = workload.contenders.iter().filter_map(|&who| Some(Bar { who, value: median(who)? }));
    let mut bars: Vec<Bar> = bars.filter(|bar| bar.value > 0.0).collect();
    bars.sort_by(|one, other| other.value.total_cmp(&one.value));
    bars
}

/// Draws one workload below `y`, and says where the next one begins.
fn group(body: &mut String, y: f64, title: &str, bars: &[Bar]) -> f64 {
    let (low, high) = decades(bars);
    let bottom = y + 8.0 + bars.len() as f64 * (BAR + 3.0);
    text(body, 10.0, y, "font-weight=\"bold\"", title);
    for decade in low..=high {
        let x = LABELS + f64::from(decade - low) / f64::from(high - low) * BARS;
        _ = writeln!(
            body,
            "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{bottom}\" stroke=\"#dddddd\"/>",
            y + 6.0
        );
        let attributes = "text-anchor=\"middle\" fill=\"#777777\" font-size=\"10\"";
        text(body, x, bottom + 11.0, attributes, &number(10f64.powi(decade)));
    }
    for (place, bar) in bars.iter().enumerate() {
        let length = (bar.value.log10() - f64::from(low)) / f64::from(high - low) * BARS;
        draw(body, y + 8.0 + place as f64 * (BAR + 3.0), length.max(1.0), bar);
    }
    bottom + GAP
}

/// The powers of ten around all values.
fn decades(bars: &[Bar]) -> (i32, i32) {
    let logs = || bars.iter().map(|bar| bar.value.log10());
    let low = logs().fold(f64::MAX, f64::min).floor() as i32;
    let high = logs().fold(f64::MIN, f64::max).ceil() as i32;
    // The smallest bar has a length, too.
    (low, high.max(low + 1))
}

fn draw(body: &mut String, y: f64, length: f64, bar: &Bar) {
    let colour = colour(bar.who);
    text(body, LABELS - 6.0, y + 12.0, "text-anchor=\"end\"", bar.who.name());
    _ = writeln!(
        body,
        "<rect x=\"{LABELS}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>"
    );
    text(body, LABELS + length + 5.0, y + 12.0, "fill=\"#333333\"", &number(bar.value));
}

fn colour(who: Contender) -> &'static str {
    match (who.is_ours(), who.is_reference()) {
        (true, _) => OURS,
        (_, true) => REFERENCE,
        _ => PEER,
    }
}

fn legend() -> String {
    let mut body = String::new();
    for (place, (colour, label)) in
        [(OURS, "dlock"), (PEER, "other libraries"), (REFERENCE, "reference")].iter().enumerate()
    {
        let x = 10.0 + place as f64 * 140.0;
        _ = writeln!(body, "<rect x=\"{x}\" y=\"12\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
        text(&mut body, x + 18.0, 23.0, "", label);
    }
    text(&mut body, 440.0, 23.0, "fill=\"#777777\"", "logarithmic scale; medians over the rounds of one run");
    body
}

fn text(body: &mut String, x: f64, y: f64, attributes: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    _ = writeln!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{content}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_lie_around_all_values() {
        let bars = |values: &[f64]| {
            values.iter().map(|&value| Bar { who: Contender::Dlock, value }).collect::<Vec<_>>()
        };
        assert_eq!(decades(&bars(&[150.0, 43_000.0])), (2, 5));
        assert_eq!(decades(&bars(&[0.4])), (-1, 0));
        assert_eq!(decades(&bars(&[100.0])), (2, 3));
    }
}
