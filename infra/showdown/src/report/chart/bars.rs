//! Pictures of lying bars, a cell each: its name above, its figure behind.

use super::scale::Scale;
use super::svg::{Anchor, CHAR_WIDTH, Canvas, WIDTH};
use crate::report::cells::Look;
use crate::report::text::short;

/// Height of a cell's row: a line of words, the bar, some air.
const ROW: f64 = 38.0;
const BAR: f64 = 14.0;
/// Where the words of a row end and its bar begins.
const WORDS: f64 = 17.0;
const LEFT: f64 = 10.0;
/// What the axis takes below the bars.
const AXIS: f64 = 40.0;
/// Half the height of the ends of an interval.
const CAP: f64 = 4.0;
/// The axis reaches this many times as far as the longest bar, where an interval is longer.
const BEYOND: f64 = 1.6;

/// A picture of bars.
pub(in crate::report) struct Bars<'a> {
    /// Its own on the page.
    pub(in crate::report) id: &'a str,
    pub(in crate::report) title: &'a str,
    pub(in crate::report) description: &'a str,
    /// What the axis shows, and its unit.
    pub(in crate::report) axis: &'a str,
    /// How a value of the axis is written.
    pub(in crate::report) format: fn(f64) -> String,
    /// The value that bars begin at; zero where there is none.
    pub(in crate::report) reference: Option<f64>,
    /// Whether the axis is logarithmic, as ratios that multiply need it.
    pub(in crate::report) logarithmic: bool,
    /// What the classes of parts mean.
    pub(in crate::report) legend: Vec<(&'a str, &'a str)>,
    pub(in crate::report) rows: Vec<BarRow>,
}

/// A row.
pub(in crate::report) struct BarRow {
    pub(in crate::report) label: String,
    pub(in crate::report) look: Look,
    /// Where the bar begins, where that is not at the reference.
    pub(in crate::report) from: Option<f64>,
    /// The parts of the bar, one behind the other: the class of each, and its length.
    pub(in crate::report) parts: Vec<(&'static str, f64)>,
    /// The 95 % interval of where it ends.
    pub(in crate::report) interval: Option<[f64; 2]>,
    /// Its figure in words.
    pub(in crate::report) text: String,
}

impl BarRow {
    fn start(&self, origin: f64) -> f64 {
        self.from.unwrap_or(origin)
    }

    fn end(&self, origin: f64) -> f64 {
        self.start(origin) + self.parts.iter().map(|(_, length)| length).sum::<f64>()
    }

    /// As much of the label as fits before the figure; the table has all of it.
    fn short_label(&self) -> String {
        let room = (WIDTH - 2.0 * LEFT - 15.0) / CHAR_WIDTH - chars(&self.text) - 1.0;
        if chars(&self.label) <= room {
            return self.label.clone();
        }
        let mut short = String::new();
        for character in self.label.chars() {
            if chars(&short) + 1.0 >= room {
                break;
            }
            short.push(character);
        }
        short.trim_end().to_owned() + "…"
    }
}

impl Bars<'_> {
    /// Draws it.
    pub(in crate::report) fn draw(&self) -> String {
        let legend = if self.legend.is_empty() { 0.0 } else { 24.0 };
        let bottom = self.rows.iter().fold(legend, |height, _| height + ROW) + 4.0;
        let mut canvas = Canvas::new(bottom + AXIS);
        let scale = self.scale();
        self.draw_axis(&mut canvas, &scale, (legend, bottom));
        self.draw_legend(&mut canvas);
        let mut top = legend;
        for row in &self.rows {
            self.draw_row(&mut canvas, &scale, row, top);
            top += ROW;
        }
        canvas.finish(self.id, self.title, self.description)
    }

    fn origin(&self) -> f64 {
        self.reference.unwrap_or(0.0)
    }

    /// Few rounds give intervals of any length, beside which no bar could be seen: the axis is made
    /// for the bars, and has room for intervals within reason.
    fn scale(&self) -> Scale {
        let origin = self.origin();
        let ends = self.rows.iter().flat_map(|row| [row.start(origin), row.end(origin)]);
        let ends: Vec<f64> = ends.chain([origin]).collect();
        let (low, high) =
            ends.iter().fold((origin, origin), |(low, high), end| (low.min(*end), high.max(*end)));
        let least = if self.logarithmic { low / BEYOND } else { low };
        let intervals = self.rows.iter().filter_map(|row| row.interval).flatten();
        let values = intervals.map(|end| end.clamp(least, high * BEYOND)).chain(ends);
        let (from, to) = (LEFT, WIDTH - LEFT);
        if self.logarithmic {
            Scale::logarithmic(values, from, to)
        } else {
            Scale::linear(values, from, to)
        }
    }

    fn draw_axis(&self, canvas: &mut Canvas, scale: &Scale, (top, bottom): (f64, f64)) {
        let mut taken: Vec<(f64, f64)> = Vec::new();
        // What bars begin at is told before any other value.
        for tick in self.reference.into_iter().chain(scale.ticks()) {
            let x = scale.at(tick);
            canvas.line("grid", (x, top), (x, bottom));
            let words = short(&(self.format)(tick));
            let half = CHAR_WIDTH * chars(&words) / 2.0;
            let x = x.clamp(half, WIDTH - half);
            let (left, right) = (x - half - CHAR_WIDTH / 2.0, x + half + CHAR_WIDTH / 2.0);
            // Labels of close ticks would lie on each other.
            if taken.iter().all(|(from, to)| right <= *from || left >= *to) {
                canvas.text("tick", Anchor::Middle, (x, bottom + 15.0), &words);
                taken.push((left, right));
            }
        }
        canvas.text("axis", Anchor::Middle, (WIDTH / 2.0, bottom + 33.0), self.axis);
    }

    fn draw_legend(&self, canvas: &mut Canvas) {
        let mut x = LEFT;
        for (class, words) in &self.legend {
            canvas.rect(class, (x, 4.0), (x + 14.0, 15.0));
            if let Some(hatch) = hatch_of(class) {
                canvas.rect(hatch, (x, 4.0), (x + 14.0, 15.0));
            }
            canvas.text("label", Anchor::Start, (x + 19.0, 14.0), words);
            x += 19.0 + CHAR_WIDTH * chars(words) + 16.0;
        }
    }

    fn draw_row(&self, canvas: &mut Canvas, scale: &Scale, row: &BarRow, top: f64) {
        let origin = self.origin();
        let class = &row.look.class;
        canvas.marker(&format!("{class} marker"), row.look.marker, (LEFT + 5.0, top + 9.0));
        let label = row.short_label();
        canvas.text("label", Anchor::Start, (LEFT + 15.0, top + 13.0), &label);
        canvas.text("value", Anchor::End, (WIDTH - LEFT, top + 13.0), &row.text);
        let (mut from, y) = (row.start(origin), top + WORDS);
        for (part, length) in &row.parts {
            let to = from + length;
            let (start, end) = ((scale.at(from), y), (scale.at(to), y + BAR));
            canvas.rect(&format!("{class} mark {part}"), start, end);
            if let Some(hatch) = hatch_of(part) {
                canvas.rect(hatch, start, end);
            }
            from = to;
        }
        // Beside the bars only: it would strike through the words between them.
        if let Some(reference) = self.reference {
            let x = scale.at(reference);
            canvas.line("reference", (x, y - 2.0), (x, y + BAR + 2.0));
        }
        if let Some(interval) = row.interval {
            draw_interval(canvas, scale, interval, y + BAR / 2.0);
        }
    }
}

/// A thin line with a bar at either end, or an arrow where it reaches further than the axis.
fn draw_interval(canvas: &mut Canvas, scale: &Scale, interval: [f64; 2], y: f64) {
    let (left, right) = (LEFT, WIDTH - LEFT);
    let [low, high] = interval.map(|end| if scale.holds(end) { scale.at(end) } else { left });
    let (from, to) = (low.clamp(left, right), high.clamp(left, right));
    canvas.line("interval", (from, y), (to, y));
    for (end, shown, inwards) in [(low, from, CAP), (high, to, -CAP)] {
        let is_cut = (end - shown).abs() > 0.05;
        for side in [-CAP, CAP] {
            let barb = if is_cut { shown + inwards } else { shown };
            canvas.line("interval", (shown, y), (barb, y + side));
        }
    }
}

/// What lies over a part, so that not only its colour tells it from the others: the last word of
/// its class says it.
fn hatch_of(class: &str) -> Option<&str> {
    class.rsplit(' ').next().filter(|word| word.starts_with("hatch-"))
}

/// The number of characters, as lengths are.
pub(in crate::report) fn chars(words: &str) -> f64 {
    words.chars().fold(0.0, |count, _| count + 1.0)
}
