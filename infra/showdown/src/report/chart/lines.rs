//! Pictures of lines over an axis of numbers: a legend, dashes and markers beside colours.

use super::bars::chars;
use super::scale::Scale;
use super::svg::{Anchor, CHAR_WIDTH, Canvas, WIDTH};
use crate::report::cells::Look;
use crate::report::text::short;

const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
/// Room above the plot for the name of the upright axis.
const TOP: f64 = 28.0;
const BOTTOM: f64 = 260.0;
/// Height of a line of the legend, and where the first is below the plot.
const LEGEND: f64 = 19.0;
const LEGEND_TOP: f64 = 52.0;
/// Length of the sample of a line in the legend.
const SAMPLE: f64 = 34.0;
/// Kinds of dashes in the style sheet.
const DASHES: usize = 6;
const CAP: f64 = 4.0;
/// The upright axis reaches this many times beyond the points, where an interval does.
const BEYOND: f64 = 3.0;
/// About how wide a character of a tick's label is, which is smaller than other words.
const TICK_WIDTH: f64 = 6.8;
/// Least distance of labels of ticks of the upright axis.
const TICK_DISTANCE: f64 = 15.0;

/// An axis.
pub(in crate::report) struct AxisOf {
    /// What it shows, and its unit.
    pub(in crate::report) name: String,
    pub(in crate::report) logarithmic: bool,
    /// Exactly these ticks, each with its words; round numbers where there are none.
    pub(in crate::report) ticks: Vec<(f64, String)>,
    /// How a value is written.
    pub(in crate::report) format: fn(f64) -> String,
}

/// A picture of lines.
pub(in crate::report) struct Lines<'a> {
    /// Its own on the page.
    pub(in crate::report) id: &'a str,
    pub(in crate::report) title: &'a str,
    pub(in crate::report) description: &'a str,
    pub(in crate::report) x: AxisOf,
    pub(in crate::report) y: AxisOf,
    /// Stretches of the x axis that are marked, and whether what is in them was dropped.
    pub(in crate::report) bands: Vec<(f64, f64)>,
    pub(in crate::report) lines: Vec<Line>,
}

/// A line.
#[derive(Clone)]
pub(in crate::report) struct Line {
    /// Its name in the legend; none for one that belongs to the line before.
    pub(in crate::report) label: Option<String>,
    pub(in crate::report) look: Look,
    /// Another class, such as `thin`.
    pub(in crate::report) class: &'static str,
    /// Whether its points are marked.
    pub(in crate::report) markers: bool,
    pub(in crate::report) points: Vec<Point>,
}

/// A point of a line.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct Point {
    pub(in crate::report) x: f64,
    pub(in crate::report) y: f64,
    /// The interval that the point lies in.
    pub(in crate::report) interval: Option<[f64; 2]>,
    /// Whether it counts; one that was dropped is hollow.
    pub(in crate::report) counts: bool,
}

impl Lines<'_> {
    /// Draws it.
    pub(in crate::report) fn draw(&self) -> String {
        let places = self.legend_places();
        let last = places.last().map_or(0.0, |(_, y)| *y);
        let mut canvas = Canvas::new(BOTTOM + LEGEND_TOP + last + 12.0);
        let x = self.x.scale(self.points().map(|point| point.x), (LEFT, WIDTH - RIGHT));
        let y = self.upright_scale();
        for (from, to) in &self.bands {
            canvas.rect("band", (x.at(*from), TOP), (x.at(*to), BOTTOM));
        }
        self.draw_axes(&mut canvas, &x, &y);
        for line in &self.lines {
            draw_line(&mut canvas, line, &x, &y);
        }
        self.draw_legend(&mut canvas, &places);
        canvas.finish(self.id, self.title, self.description)
    }

    /// Made for the points: of intervals that are far longer than all of them, only a part is seen.
    fn upright_scale(&self) -> Scale {
        let points: Vec<f64> = self.points().map(|point| point.y).collect();
        let high = points.iter().copied().fold(0.0, f64::max);
        let low = points.iter().copied().fold(high, f64::min);
        let intervals = self.points().filter_map(|point| point.interval).flatten();
        let within: Vec<f64> =
            intervals.map(|end| end.clamp(low / BEYOND, high * BEYOND)).collect();
        self.y.scale(points.into_iter().chain(within), (BOTTOM, TOP))
    }

    fn points(&self) -> impl Iterator<Item = &Point> {
        self.lines.iter().flat_map(|line| &line.points)
    }

    fn draw_axes(&self, canvas: &mut Canvas, x: &Scale, y: &Scale) {
        let mut last = f64::NEG_INFINITY;
        for (tick, words) in self.x.ticks(x) {
            let place = x.at(tick);
            // An axis may end before the last of the ticks that it was given.
            if place > WIDTH - RIGHT + 0.5 {
                continue;
            }
            canvas.line("grid", (place, TOP), (place, BOTTOM));
            let half = TICK_WIDTH * chars(&words) / 2.0;
            let centre = place.min(WIDTH - half);
            if centre - half > last {
                canvas.text("tick", Anchor::Middle, (centre, BOTTOM + 16.0), &words);
                last = centre + half + CHAR_WIDTH / 2.0;
            }
        }
        let mut last = f64::INFINITY;
        for (tick, words) in self.y.ticks(y) {
            let place = y.at(tick);
            canvas.line("grid", (LEFT, place), (WIDTH - RIGHT, place));
            if place + TICK_DISTANCE <= last {
                canvas.text("tick", Anchor::End, (LEFT - 6.0, place + 4.0), &words);
                last = place;
            }
        }
        canvas.line("frame", (LEFT, BOTTOM), (WIDTH - RIGHT, BOTTOM));
        let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
        canvas.text("axis", Anchor::Middle, (middle, BOTTOM + 34.0), &self.x.name);
        canvas.text("axis", Anchor::Start, (4.0, 16.0), &self.y.name);
    }

    fn named(&self) -> impl Iterator<Item = (&Line, &str)> {
        self.lines.iter().filter_map(|line| Some((line, line.label.as_deref()?)))
    }

    /// Where each entry of the legend is: as many in a row as fit.
    fn legend_places(&self) -> Vec<(f64, f64)> {
        let (mut x, mut y) = (0.0, 0.0);
        let mut places = Vec::new();
        for (_, label) in self.named() {
            let width = SAMPLE + 6.0 + CHAR_WIDTH * chars(label) + 18.0;
            if x > 0.0 && x + width > WIDTH {
                (x, y) = (0.0, y + LEGEND);
            }
            places.push((x, y));
            x += width;
        }
        places
    }

    fn draw_legend(&self, canvas: &mut Canvas, places: &[(f64, f64)]) {
        for ((line, label), (x, y)) in self.named().zip(places) {
            let (x, y) = (x + 4.0, y + BOTTOM + LEGEND_TOP);
            let Look { class, marker, dash } = &line.look;
            let classes = format!("{class} line dash-{}", dash % DASHES);
            canvas.path(&classes, &[(x, y), (x + SAMPLE, y)]);
            if line.markers {
                canvas.marker(&format!("{class} marker"), *marker, (x + SAMPLE / 2.0, y));
            }
            canvas.text("label", Anchor::Start, (x + SAMPLE + 6.0, y + 4.0), label);
        }
    }
}

impl AxisOf {
    fn scale(&self, values: impl Iterator<Item = f64>, (from, to): (f64, f64)) -> Scale {
        let values: Vec<f64> = values.collect();
        let all = values.iter().copied();
        if self.logarithmic {
            return Scale::logarithmic(all, from, to);
        }
        // Ticks of their own name every value: the axis need not reach down to zero.
        if self.ticks.is_empty() {
            Scale::linear(all, from, to)
        } else {
            Scale::narrow(all, from, to)
        }
    }

    fn ticks(&self, scale: &Scale) -> Vec<(f64, String)> {
        if !self.ticks.is_empty() {
            return self.ticks.clone();
        }
        scale.ticks().into_iter().map(|tick| (tick, short(&(self.format)(tick)))).collect()
    }
}

fn draw_line(canvas: &mut Canvas, line: &Line, x: &Scale, y: &Scale) {
    let Look { class, marker, dash } = &line.look;
    let can_be_drawn = |point: &&Point| x.holds(point.x) && y.holds(point.y);
    let drawn: Vec<&Point> = line.points.iter().filter(can_be_drawn).collect();
    let places: Vec<(f64, f64)> =
        drawn.iter().map(|point| (x.at(point.x), y.at(point.y))).collect();
    let classes = format!("{class} mark line {} dash-{}", line.class, dash % DASHES);
    canvas.path(&classes, &places);
    for (point, (px, py)) in drawn.iter().zip(&places) {
        if let Some([low, high]) = point.interval {
            let place = |end: f64| if y.holds(end) { y.at(end) } else { f64::INFINITY };
            let [low, high] = [place(low), place(high)].map(|end| (end, end.clamp(TOP, BOTTOM)));
            canvas.line(&format!("{class} whisker"), (*px, low.1), (*px, high.1));
            // One that goes on beyond the picture has no end.
            for (end, shown) in [low, high].into_iter().filter(|(end, shown)| end == shown) {
                canvas.line(&format!("{class} whisker"), (px - CAP, end), (px + CAP, shown));
            }
        }
        if line.markers {
            let hollow = if point.counts { "" } else { " hollow" };
            canvas.marker(&format!("{class} mark marker{hollow}"), *marker, (*px, *py));
        }
    }
}
