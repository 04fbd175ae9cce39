//! How cost grows: a panel for each thing that there is more and more of. Pure.

use super::canvas::{Canvas, Point, apart};
use super::scale::{LogScale, has_place, label};

pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) across: &'static str,
    pub(super) up: &'static str,
    pub(super) lines: Vec<Line>,
}

pub(super) struct Line {
    pub(super) name: &'static str,
    /// How it is drawn: the same in all panels.
    pub(super) class: &'static str,
    /// From left to right.
    pub(super) points: Vec<Point>,
}

const WIDTH: f64 = 900.0;
const MARGIN: f64 = 16.0;
/// Of each panel: left of the plot for the numbers, right of it for the last values.
const LEFT: f64 = 54.0;
const RIGHT: f64 = 48.0;
const TOP: f64 = 126.0;
const BOTTOM: f64 = 306.0;
const HEIGHT: f64 = 384.0;
/// The height of a line of small text.
const SMALL: f64 = 13.0;

const TITLE: &str = "How cost grows";

pub(super) fn draw(panels: &[Panel], note: &str) -> String {
    let mut canvas = Canvas::new(WIDTH);
    canvas.text((MARGIN, 30.0), "title", TITLE);
    canvas.text((WIDTH - MARGIN, 30.0), "small quiet end", "both axes logarithmic; lower is better");
    legend(&mut canvas, panels);
    let width = (WIDTH - 2.0 * MARGIN) / panels.len().max(1) as f64;
    for (place, panel) in panels.iter().enumerate() {
        draw_panel(&mut canvas, MARGIN + place as f64 * width, width, panel);
    }
    canvas.text((MARGIN, HEIGHT - 14.0), "small quiet", note);
    canvas.picture(TITLE, HEIGHT)
}

/// Every kind of line once.
fn legend(canvas: &mut Canvas, panels: &[Panel]) {
    let mut names: Vec<&str> = Vec::new();
    let mut x = MARGIN + 3.0;
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        if names.contains(&line.name) {
            continue;
        }
        names.push(line.name);
        canvas.curve(&[(x, 54.0), (x + 28.0, 54.0)], line.class);
        canvas.text((x + 36.0, 58.0), "", line.name);
        x += 62.0 + 7.0 * line.name.chars().count() as f64;
    }
}

fn draw_panel(canvas: &mut Canvas, x: f64, width: f64, panel: &Panel) {
    let (left, right) = (x + LEFT, x + width - RIGHT);
    let points = || panel.lines.iter().flat_map(|line| &line.points);
    let across = LogScale::over(points().map(|(at, _)| *at), left, right);
    let up = LogScale::over(points().map(|(_, cost)| *cost), BOTTOM, TOP).of_decades();
    canvas.text((x, TOP - 36.0), "head", panel.title);
    canvas.text((x, TOP - 18.0), "small quiet", panel.up);
    canvas.text((f64::midpoint(left, right), BOTTOM + 36.0), "small quiet middle", panel.across);
    rules(canvas, &up, left, right);
    columns(canvas, &across, points().map(|(at, _)| *at));
    lines(canvas, &across, &up, &panel.lines);
}

/// Numbers at the side.
fn rules(canvas: &mut Canvas, up: &LogScale, left: f64, right: f64) {
    for tick in up.ticks(1.5 * SMALL) {
        let y = up.place(tick);
        canvas.line((left, y), (right, y), "grid");
        canvas.text((left - 8.0, y + 4.0), "small quiet end", &label(tick));
    }
    canvas.line((left, BOTTOM), (right, BOTTOM), "axis");
}

/// Numbers below: what was measured, and nothing in between.
fn columns(canvas: &mut Canvas, across: &LogScale, values: impl Iterator<Item = f64>) {
    let mut values: Vec<f64> = values.filter(|value| has_place(*value)).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    for value in values {
        let x = across.place(value);
        canvas.line((x, BOTTOM), (x, BOTTOM + 4.0), "axis");
        canvas.text((x, BOTTOM + 18.0), "small quiet middle", &label(value));
    }
}

/// Each with its last value at its end.
fn lines(canvas: &mut Canvas, across: &LogScale, up: &LogScale, lines: &[Line]) {
    let mut ends = Vec::new();
    for line in lines {
        let costs = line.points.iter().filter(|(at, cost)| has_place(*at) && has_place(*cost));
        let costs: Vec<&Point> = costs.collect();
        let points: Vec<Point> =
            costs.iter().map(|(at, cost)| (across.place(*at), up.place(*cost))).collect();
        canvas.curve(&points, line.class);
        if let (Some((x, y)), Some((_, cost))) = (points.last(), costs.last()) {
            ends.push((*x, *y, line.class, label(*cost)));
        }
    }
    let heights: Vec<f64> = ends.iter().map(|(_, y, ..)| *y).collect();
    for ((x, _, class, value), y) in ends.iter().zip(apart(&heights, SMALL, BOTTOM)) {
        canvas.text((x + 8.0, y + 4.0), &format!("small {class}"), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(lines: Vec<Line>) -> Panel {
        Panel { title: "Waiters", across: "waiters & more", up: "µs < ms", lines }
    }

    fn line(points: &[Point]) -> Line {
        Line { name: "Redis", class: "redis", points: points.to_vec() }
    }

    #[test]
    fn what_was_measured_is_drawn_where_it_belongs() {
        let picture = draw(&[panel(vec![line(&[(1.0, 10.0), (100.0, 100.0), (10_000.0, 1_000.0)])])], "");
        // One panel: from 70 to 836 across, from 306 up to 126.
        assert!(picture.contains("points=\"70.0,306.0 453.0,216.0 836.0,126.0\""), "{picture}");
        for label in [">10,000<", ">100<", ">1,000<", ">10<"] {
            assert!(picture.contains(label), "{label} in {picture}");
        }
    }

    #[test]
    fn panels_stand_side_by_side_and_share_a_legend() {
        let of = |points: &[Point]| panel(vec![line(points)]);
        let picture = draw(&[of(&[(1.0, 1.0)]), of(&[(1.0, 1.0)])], "two processors");
        assert_eq!(picture.matches(">Redis<").count(), 1);
        assert!(picture.contains("x=\"16.0\" y=\"90.0\">Waiters<"));
        assert!(picture.contains("x=\"450.0\" y=\"90.0\">Waiters<"));
        assert!(picture.contains(">two processors<"));
    }

    #[test]
    fn words_are_escaped() {
        let picture = draw(&[panel(Vec::new())], "a <b> & c");
        for text in ["waiters &amp; more", "µs &lt; ms", "a &lt;b&gt; &amp; c"] {
            assert!(picture.contains(text), "{text}");
        }
    }

    #[test]
    fn there_is_a_picture_of_no_points_one_point_and_odd_ones() {
        let odd = [(0.0, 1.0), (1.0, 0.0), (2.0, f64::NAN), (3.0, f64::INFINITY)];
        for panels in [
            vec![],
            vec![panel(Vec::new())],
            vec![panel(vec![line(&[])])],
            vec![panel(vec![line(&[(7.0, 42.0)])])],
            vec![panel(vec![line(&odd)])],
        ] {
            let picture = draw(&panels, "");
            assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
        }
    }

    #[test]
    fn last_values_of_lines_that_meet_stand_below_each_other() {
        let picture = draw(&[panel(vec![line(&[(1.0, 42.0)]), line(&[(1.0, 43.0)])])], "");
        let height = |label: &str| {
            let (before, _) = picture.split_once(label).unwrap();
            let (_, y) = before.rsplit_once("y=\"").unwrap();
            y.trim_end_matches('"').parse::<f64>().unwrap()
        };
        assert!(height(">42<") - height(">43<") >= SMALL - 0.1);
    }
}
