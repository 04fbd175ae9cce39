//! Shapes and words of a picture, in colours for a light and a dark page. Pure.

use std::fmt::Write as _;

/// A picture under way. Classes say what a shape is; `STYLE` says what that looks like.
pub(super) struct Canvas {
    width: f64,
    body: String,
}

pub(super) type Point = (f64, f64);

/// The card has its own ground, so that it can be read on whatever page it stands.
const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}\
.title{font-size:16px;font-weight:600}.head{font-weight:600}.small{font-size:11px}\
.quiet{fill:#59636e}.end{text-anchor:end}.middle{text-anchor:middle}\
.card{fill:#fff;stroke:#d1d9e0}.grid{stroke:#e6eaef}.axis{stroke:#8c959f}.base{stroke:#59636e;stroke-width:1.5}\
.line{fill:none;stroke-width:2;stroke-linejoin:round}.dashed{stroke-dasharray:5 4}.spread{stroke:#1f2328}\
.redis{stroke:#0969da}.zookeeper{stroke:#bc4c00}.reference{stroke:#818b98}\
text.redis{stroke:none;fill:#0969da}text.zookeeper{stroke:none;fill:#bc4c00}text.reference{stroke:none;fill:#59636e}\
.dot{stroke-width:2;fill:#fff}\
.bar.ours{fill:#0969da}.bar.peer{fill:#afb8c1}.bar.yardstick{fill:#d4a72c}\
.must{stroke:#1a7f37;stroke-width:2.5}.aim{stroke:#1a7f37;stroke-width:2.5;stroke-dasharray:2 2}\
.prototype{stroke:#cf222e;stroke-width:2.5}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.quiet{fill:#9198a1}\
.card{fill:#0d1117;stroke:#3d444d}.grid{stroke:#21262d}.axis{stroke:#656c76}.base{stroke:#9198a1}\
.spread{stroke:#f0f6fc}.redis{stroke:#58a6ff}.zookeeper{stroke:#f0883e}.reference{stroke:#9198a1}.dot{fill:#0d1117}\
text.redis{fill:#58a6ff}text.zookeeper{fill:#f0883e}text.reference{fill:#9198a1}\
.bar.ours{fill:#388bfd}.bar.peer{fill:#4d5661}.bar.yardstick{fill:#9e6a03}\
.must,.aim{stroke:#3fb950}.prototype{stroke:#f85149}}";

impl Canvas {
    pub(super) fn new(width: f64) -> Self {
        Self { width, body: String::new() }
    }

    pub(super) fn text(&mut self, (x, y): Point, class: &str, content: &str) {
        let content = escaped(content);
        _ = writeln!(self.body, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{content}</text>");
    }

    pub(super) fn line(&mut self, (x1, y1): Point, (x2, y2): Point, class: &str) {
        _ = writeln!(
            self.body,
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }

    pub(super) fn rectangle(&mut self, (x, y): Point, (width, height): Point, class: &str) {
        _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        );
    }

    /// Through all the points, with a dot at each.
    pub(super) fn curve(&mut self, points: &[Point], class: &str) {
        let places: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        _ = writeln!(self.body, "<polyline class=\"line {class}\" points=\"{}\"/>", places.join(" "));
        for (x, y) in points {
            let class = class.split(' ').next().unwrap_or_default();
            _ = writeln!(self.body, "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
        }
    }

    /// The whole picture. `title` is for those who hear it, too.
    pub(super) fn picture(self, title: &str, height: f64) -> String {
        let Self { width, body } = self;
        let (inner_width, inner_height) = (width - 1.0, height - 1.0);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{inner_width:.0}\" height=\"{inner_height:.0}\" rx=\"6\"/>\n\
             {body}</svg>\n",
            escaped(title)
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Moves places apart that are closer than `gap`, as little as a walk from the least to the greatest can, and none
/// beyond `most` while there is room for all.
pub(super) fn apart(places: &[f64], gap: f64, most: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    let at = |place: &usize| places.get(*place).copied().unwrap_or_default();
    order.sort_by(|one, other| at(one).total_cmp(&at(other)));
    let mut moved: Vec<(usize, f64)> = order.iter().map(|place| (*place, at(place))).collect();
    push(moved.iter_mut().map(|(_, at)| at), |at, before| at.max(before + gap));
    if let Some((_, last)) = moved.last_mut() {
        *last = last.min(most);
    }
    push(moved.iter_mut().rev().map(|(_, at)| at), |at, after| at.min(after - gap));
    moved.sort_by_key(|(place, _)| *place);
    moved.into_iter().map(|(_, at)| at).collect()
}

/// Has each one make room for the one before.
fn push<'a>(places: impl Iterator<Item = &'a mut f64>, room: impl Fn(f64, f64) -> f64) {
    let mut before = None;
    for at in places {
        *at = before.map_or(*at, |before| room(*at, before));
        before = Some(*at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_break_the_picture() {
        let mut canvas = Canvas::new(100.0);
        canvas.text((1.0, 2.0), "small", "<b> & co");
        let picture = canvas.picture("a < b", 50.0);
        assert!(
            picture.contains(">&lt;b&gt; &amp; co</text>") && picture.contains("<title>a &lt; b</title>")
        );
    }

    #[test]
    fn a_curve_goes_through_its_points() {
        let mut canvas = Canvas::new(100.0);
        canvas.curve(&[(10.0, 20.0), (30.0, 40.25)], "redis dashed");
        assert!(canvas.body.contains("class=\"line redis dashed\" points=\"10.0,20.0 30.0,40.2\""));
        assert!(canvas.body.contains("<circle class=\"dot redis\" cx=\"10.0\" cy=\"20.0\""));
    }

    #[test]
    fn labels_do_not_overlap_and_keep_their_order() {
        assert_eq!(apart(&[50.0, 10.0, 12.0], 10.0, 100.0), [50.0, 10.0, 20.0]);
        assert_eq!(apart(&[95.0, 99.0], 10.0, 100.0), [90.0, 100.0], "the last one does not leave");
        assert_eq!(apart(&[1.0, 30.0], 10.0, 100.0), [1.0, 30.0], "who has room stays");
        assert!(apart(&[], 10.0, 100.0).is_empty());
    }
}
