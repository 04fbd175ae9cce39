//! Each contender beside a yardstick: how many times better it is, on one axis for all. Pure.

use super::canvas::Canvas;
use super::scale::{LogScale, has_place, label};
use crate::statistics::Spread;

/// What was measured of one workload.
pub(super) struct Group {
    pub(super) title: String,
    pub(super) about: String,
    /// What is once.
    pub(super) once: String,
    pub(super) rows: Vec<Row>,
}

pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) rank: Rank,
    /// How many times better than the yardstick.
    pub(super) ratio: Spread,
    pub(super) marks: Vec<(Mark, f64)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    Ours,
    Peer,
    Yardstick,
}

/// What a ratio was set out to be, or can be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Must,
    Aim,
    Prototype,
}

const WIDTH: f64 = 900.0;
const MARGIN: f64 = 16.0;
/// Where the names of the rows end, and the axis begins and ends.
const NAMES: f64 = 434.0;
const LEFT: f64 = 446.0;
const RIGHT: f64 = 826.0;
const TOP: f64 = 96.0;
const ROW: f64 = 17.0;
/// Leaves the marks to be seen, which the bar is drawn over.
const BAR: f64 = 9.0;
/// A group has three lines of words beside it.
const WORDS: f64 = 48.0;
const GAP: f64 = 14.0;

const TITLE: &str = "dlock beside raw commands and other lock libraries";

pub(super) fn draw(groups: &[Group], note: &str) -> String {
    let mut canvas = Canvas::new(WIDTH);
    canvas.text((MARGIN, 30.0), "title", TITLE);
    canvas.text(
        (WIDTH - MARGIN, 30.0),
        "small quiet end",
        "logarithmic; right of 1× is better: more /s, fewer µs",
    );
    legend(&mut canvas);
    let bottom = TOP + groups.iter().map(|group| group.height() + GAP).sum::<f64>();
    let axis = axis(groups);
    draw_axis(&mut canvas, &axis, bottom - GAP / 2.0);
    let mut y = TOP;
    for group in groups {
        draw_group(&mut canvas, &axis, y, group);
        y += group.height() + GAP;
    }
    canvas.text((MARGIN, bottom + 22.0), "small quiet", note);
    canvas.picture(TITLE, bottom + 36.0)
}

impl Group {
    fn height(&self) -> f64 {
        (self.rows.len() as f64 * ROW).max(WORDS)
    }
}

impl Rank {
    fn class(self) -> &'static str {
        match self {
            Self::Ours => "bar ours",
            Self::Peer => "bar peer",
            Self::Yardstick => "bar yardstick",
        }
    }
}

impl Mark {
    fn class(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Aim => "aim",
            Self::Prototype => "prototype",
        }
    }
}

/// Around everything that is drawn, and once.
fn axis(groups: &[Group]) -> LogScale {
    let rows = groups.iter().flat_map(|group| &group.rows);
    let values = rows.flat_map(|row| {
        let Spread { median, least, most } = row.ratio;
        [median, least, most].into_iter().chain(row.marks.iter().map(|(_, value)| *value))
    });
    LogScale::over(values.chain([1.0]), LEFT, RIGHT).of_decades()
}

fn legend(canvas: &mut Canvas) {
    let mut x = MARGIN;
    for (rank, name, width) in [
        (Rank::Ours, "dlock", 72.0),
        (Rank::Peer, "other libraries", 122.0),
        (Rank::Yardstick, "no lock library", 126.0),
    ] {
        canvas.rectangle((x, 46.0), (12.0, 12.0), rank.class());
        canvas.text((x + 18.0, 57.0), "", name);
        x += width;
    }
    for (mark, name, width) in [
        (Mark::Must, "must", 54.0),
        (Mark::Aim, "aim", 46.0),
        (Mark::Prototype, "a prototype that does nothing else", 0.0),
    ] {
        canvas.line((x + 2.0, 45.0), (x + 2.0, 59.0), mark.class());
        canvas.text((x + 10.0, 57.0), "", name);
        x += width;
    }
}

fn draw_axis(canvas: &mut Canvas, axis: &LogScale, bottom: f64) {
    for tick in axis.ticks(34.0) {
        let x = axis.place(tick);
        canvas.line((x, TOP - 8.0), (x, bottom), "grid");
        canvas.text((x, TOP - 14.0), "small quiet middle", &format!("{}×", label(tick)));
    }
    let once = axis.place(1.0);
    canvas.line((once, TOP - 8.0), (once, bottom), "base");
}

fn draw_group(canvas: &mut Canvas, axis: &LogScale, y: f64, group: &Group) {
    canvas.text((MARGIN, y + 12.0), "head", &group.title);
    canvas.text((MARGIN, y + 28.0), "small quiet", &group.about);
    canvas.text((MARGIN, y + 43.0), "small quiet", &group.once);
    for (place, row) in group.rows.iter().enumerate() {
        draw_row(canvas, axis, y + place as f64 * ROW, row);
    }
}

fn draw_row(canvas: &mut Canvas, axis: &LogScale, y: f64, row: &Row) {
    let Spread { median, least, most } = row.ratio;
    if ![median, least, most].into_iter().all(has_place) {
        return;
    }
    for (mark, value) in row.marks.iter().filter(|(_, value)| has_place(*value)) {
        let x = axis.place(*value);
        canvas.line((x, y), (x, y + ROW), mark.class());
    }
    let (middle, [once, end]) = (y + ROW / 2.0, [1.0, median].map(|value| axis.place(value)));
    let size = ((end - once).abs(), BAR);
    canvas.rectangle((once.min(end), middle - BAR / 2.0), size, row.rank.class());
    let [from, to] = [least, most].map(|value| (axis.place(value), middle));
    canvas.line(from, to, "spread");
    canvas.text((NAMES, middle + 4.0), "small end", row.name);
    canvas.text((WIDTH - MARGIN, middle + 4.0), "small end", &format!("{}×", label(median)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, rank: Rank, ratio: f64, marks: &[(Mark, f64)]) -> Row {
        let ratio = Spread { median: ratio, least: ratio, most: ratio };
        Row { name, rank, ratio, marks: marks.to_vec() }
    }

    fn group(rows: Vec<Row>) -> Group {
        let text = |text: &str| text.to_owned();
        Group { title: text("w1 & more"), about: text("<1 task>"), once: text("1× = raw"), rows }
    }

    #[test]
    fn bars_go_from_once_to_what_was_measured() {
        let rows = vec![row("better", Rank::Ours, 10.0, &[]), row("worse", Rank::Peer, 0.1, &[])];
        let picture = draw(&[group(rows)], "");
        // From 0.1 at 446 to 10 at 826: once is in the middle, at 636.
        assert!(picture.contains("class=\"bar ours\" x=\"636.0\" y=\"100.0\" width=\"190.0\""), "{picture}");
        assert!(picture.contains("class=\"bar peer\" x=\"446.0\" y=\"117.0\" width=\"190.0\""), "{picture}");
        assert!(picture.contains("class=\"base\" x1=\"636.0\""));
        assert!(picture.contains(">10×<") && picture.contains(">0.1×<"));
    }

    #[test]
    fn goals_and_prototypes_are_marked_on_the_axis() {
        let marks = [(Mark::Must, 1.0), (Mark::Aim, 10.0), (Mark::Prototype, 100.0)];
        let picture = draw(&[group(vec![row("ours", Rank::Ours, 1.0, &marks)])], "");
        for (class, x) in [("must", 446.0), ("aim", 636.0), ("prototype", 826.0)] {
            assert!(
                picture.contains(&format!("class=\"{class}\" x1=\"{x:.1}\" y1=\"96.0\"")),
                "{class}: {picture}"
            );
        }
    }

    #[test]
    fn the_spread_is_drawn_over_the_bar() {
        let ratio = Spread { median: 2.0, least: 1.0, most: 10.0 };
        let picture = draw(&[group(vec![Row { name: "", rank: Rank::Ours, ratio, marks: vec![] }])], "");
        assert!(picture.contains("class=\"spread\" x1=\"446.0\" y1=\"104.5\" x2=\"826.0\""), "{picture}");
    }

    #[test]
    fn groups_stand_below_each_other_and_within_the_picture() {
        let groups =
            [3, 7, 1].map(|count| group((0..count).map(|_| row("x", Rank::Peer, 2.0, &[])).collect()));
        let picture = draw(&groups, "");
        // 96, and below it three rows, seven rows and three lines of words, with gaps; then the note.
        for y in [96.0 + 12.0, 96.0 + 51.0 + 14.0 + 12.0, 96.0 + 51.0 + 119.0 + 28.0 + 12.0] {
            assert!(picture.contains(&format!("y=\"{y:.1}\">w1 &amp; more<")), "{y}: {picture}");
        }
        assert!(picture.contains("viewBox=\"0 0 900 392\""), "{picture}");
    }

    #[test]
    fn there_is_a_picture_of_nothing_and_of_odd_numbers() {
        let odd = [0.0, -1.0, f64::NAN, f64::INFINITY]
            .map(|ratio| row("odd", Rank::Ours, ratio, &[(Mark::Aim, ratio)]));
        for groups in [vec![], vec![group(vec![])], vec![group(odd.into())]] {
            let picture = draw(&groups, "<note>");
            assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
            assert!(picture.contains(">&lt;note&gt;<"));
        }
    }
}
