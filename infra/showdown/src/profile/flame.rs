//! A flame graph: stacks as nested boxes, as wide as they have samples.
//!
//! Drawn here, in a hundred lines of SVG without scripts, because the crate that draws such graphs
//! is under a licence that this project does not take.

use super::folded::{Frame, Stacks};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Sizes in pixels.
const WIDTH: f64 = 1200.0;
const ROW: f64 = 17.0;
const MARGIN: f64 = 10.0;
const HEADING: f64 = 40.0;
/// Width of a letter of the font that is asked for, about.
const LETTER: f64 = 6.7;
/// Boxes that are narrower cannot be seen, and are not drawn; the boxes that they lie on are.
const NARROWEST: f64 = 0.2;

/// Fills that those who see few colours can tell apart, with black letters on them.
const KERNEL_FILL: &str = "#9ecae9";
const USER_FILL: &str = "#f5b971";

/// A function and what it called.
#[derive(Default)]
struct Node {
    samples: u64,
    calls: BTreeMap<Frame, Self>,
}

impl Node {
    fn of(stacks: &Stacks) -> Self {
        let mut root = Self::default();
        for (frames, count) in &stacks.counts {
            root.samples += count;
            let mut node = &mut root;
            for frame in frames {
                node = node.calls.entry(frame.clone()).or_default();
                node.samples += count;
            }
        }
        root
    }

    /// Rows that it takes, itself included.
    fn rows(&self) -> usize {
        1 + self.calls.values().map(Self::rows).max().unwrap_or(0)
    }
}

/// Where boxes are drawn.
struct Canvas {
    text: String,
    /// Of the lowest row, in pixels from the top.
    bottom: f64,
    samples: u64,
}

/// Draws the graph, the threads at the bottom and what they called above.
pub(crate) fn svg(stacks: &Stacks, title: &str, rate_hz: u32) -> String {
    let root = Node::of(stacks);
    let height = HEADING + to_f64(root.rows() as u64) * ROW + MARGIN;
    let title = escaped(title);
    let samples = root.samples;
    let event = escaped(&stacks.event);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"monospace\" font-size=\"11\">\n\
         <title>{title}</title>\n\
         <desc>Flame graph: boxes are functions, as wide as they have samples; what a function \
         called lies above it.</desc>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{MARGIN}\" y=\"16\" font-size=\"14\">{title}</text>\n\
         <text x=\"{MARGIN}\" y=\"32\">{samples} samples of {event} at {rate_hz} Hz; kernel blue, \
         user orange; point at a box for its name and share</text>\n"
    );
    text.reserve(1 << 16);
    let mut canvas = Canvas { text, bottom: height - MARGIN - ROW, samples };
    let all = Frame { name: "all".to_owned(), is_kernel: false };
    canvas.draw(&all, &root, MARGIN, 0.0);
    canvas.text + "</svg>\n"
}

impl Canvas {
    fn draw(&mut self, frame: &Frame, node: &Node, left: f64, row: f64) {
        let width = self.width(node.samples);
        if width < NARROWEST {
            return;
        }
        self.draw_box(frame, node.samples, (left, width), row);
        let mut left = left;
        for (called, node) in &node.calls {
            self.draw(called, node, left, row + 1.0);
            left += self.width(node.samples);
        }
    }

    fn draw_box(&mut self, frame: &Frame, samples: u64, (left, width): (f64, f64), row: f64) {
        let top = self.bottom - row * ROW;
        let share = to_f64(samples) / to_f64(self.samples) * 100.0;
        let fill = if frame.is_kernel { KERNEL_FILL } else { USER_FILL };
        let height = ROW - 1.0;
        // Writing to a String cannot fail.
        let _ = writeln!(
            self.text,
            "<g><title>{}: {share:.1} %, {samples} of {} samples</title><rect x=\"{left:.1}\" \
             y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{fill}\"/>{}</g>",
            escaped(&frame.name),
            self.samples,
            label(&frame.name, left, top, width)
        );
    }

    fn width(&self, samples: u64) -> f64 {
        (WIDTH - 2.0 * MARGIN) * to_f64(samples) / to_f64(self.samples.max(1))
    }
}

/// As much of the name as fits in its box; nothing where that would not be read as a name.
fn label(name: &str, left: f64, top: f64, width: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a picture is some hundred letters wide"
    )]
    let letters = ((width - 4.0).max(0.0) / LETTER) as usize;
    if letters < 3 {
        return String::new();
    }
    let shown: String = match name.chars().count() {
        count if count <= letters => name.to_owned(),
        _ => name.chars().take(letters - 1).chain(['…']).collect(),
    };
    format!("<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", left + 2.0, top + 12.0, escaped(&shown))
}

/// Text as XML takes it. Control characters are not allowed there at all.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[expect(clippy::cast_precision_loss, reason = "samples of seconds stay below 2^53")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stacks() -> Stacks {
        Stacks::parse(
            "t cpu-clock:\n ffffffff80000000 send\n 10 main\n\nt cpu-clock:\n 20 <x>::f\n 10 \
             main\n\nt cpu-clock:\n 20 <x>::f\n 10 main\n\nt cpu-clock:\n 10 main\n\n",
        )
    }

    #[test]
    fn boxes_are_as_wide_as_their_share_and_nested() {
        let svg = svg(&stacks(), "epoll & co", 499);
        let has = |part: &str| assert!(svg.contains(part), "{part} is not in {svg}");
        has("<title>epoll &amp; co</title>");
        has("4 samples of cpu-clock at 499 Hz");
        has("<title>main: 100.0 %, 4 of 4 samples</title><rect x=\"10.0\"");
        // Half of 1,180 pixels, above main, first by its name.
        has("<title>&lt;x&gt;::f: 50.0 %, 2 of 4 samples</title><rect x=\"10.0\"");
        has("y=\"40.0\" width=\"590.0\" height=\"16\"");
        has("<title>send: 25.0 %, 1 of 4 samples</title><rect x=\"600.0\"");
        has(&format!("y=\"40.0\" width=\"295.0\" height=\"16\" fill=\"{KERNEL_FILL}\""));
        assert_eq!(svg.matches("<g>").count(), svg.matches("</g>").count());
        assert!(!svg.contains("<script"));
    }

    #[test]
    fn names_are_cut_to_their_boxes() {
        assert_eq!(label("abcdef", 0.0, 0.0, 10.0), "");
        let cut = label("abcdefghij", 0.0, 0.0, 4.0 + 5.0 * LETTER + 0.1);
        assert!(cut.ends_with(">abcd…</text>"), "{cut}");
        assert!(label("abc", 0.0, 0.0, 100.0).ends_with(">abc</text>"));
        assert_eq!(escaped("a\u{1b}<\"&>"), "a &lt;&quot;&amp;&gt;");
    }
}
