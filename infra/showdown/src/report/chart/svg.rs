//! A picture as SVG text: lines, boxes, markers and words, styled by the page's style sheet.

use std::fmt::{self, Write};

/// Width of every picture, in its own units. Pictures are scaled to the column that they are in,
/// and this is narrow enough for words to stay readable on a telephone.
pub(in crate::report) const WIDTH: f64 = 440.0;
/// About how wide a character of the small print is in a wide font.
pub(in crate::report) const CHAR_WIDTH: f64 = 7.4;

/// Half the size of a marker.
const MARKER: f64 = 4.0;

/// A picture that is being drawn, from the top left corner.
pub(in crate::report) struct Canvas {
    body: String,
    height: f64,
}

/// Where words begin.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) enum Anchor {
    Start,
    Middle,
    End,
}

impl Canvas {
    pub(in crate::report) const fn new(height: f64) -> Self {
        Self { body: String::new(), height }
    }

    /// A straight line.
    pub(in crate::report) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.put(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    /// A box between two corners.
    pub(in crate::report) fn rect(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let (x, y) = (from.0.min(to.0), from.1.min(to.1));
        let (width, height) = ((from.0 - to.0).abs(), (from.1 - to.1).abs());
        let size = format!(r#"width="{width:.1}" height="{height:.1}""#);
        self.put(format_args!(r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" {size}/>"#));
    }

    /// A line through points.
    pub(in crate::report) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut data = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            // Writing to a String cannot fail.
            let _ = write!(data, "{command}{x:.1} {y:.1}");
        }
        self.put(format_args!(r#"<path class="{class}" d="{data}"/>"#));
    }

    /// The marker of this number around a point: circle, square, triangle, diamond, cross, plus.
    pub(in crate::report) fn marker(&mut self, class: &str, number: usize, (x, y): (f64, f64)) {
        let m = MARKER;
        let data = match number {
            0 => {
                self.put(format_args!(
                    r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{m}"/>"#
                ));
                return;
            }
            1 => format!("M{:.1} {:.1}h7v7h-7z", x - 3.5, y - 3.5),
            2 => format!("M{x:.1} {:.1}l4.5 8h-9z", y - 5.0),
            3 => format!("M{x:.1} {:.1}l5 5l-5 5l-5 -5z", y - 5.0),
            4 => format!("M{x:.1} {:.1}l4.5 -8h-9z", y + 5.0),
            5 => format!("M{:.1} {:.1}h3v3h3v3h-3v3h-3v-3h-3v-3h3z", x - 1.5, y - 4.5),
            _ => format!("M{:.1} {:.1}h10v4h-10z", x - 5.0, y - 2.0),
        };
        self.put(format_args!(r#"<path class="{class}" d="{data}"/>"#));
    }

    /// Words, escaped.
    pub(in crate::report) fn text(
        &mut self,
        class: &str,
        anchor: Anchor,
        (x, y): (f64, f64),
        words: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let words = escape(words);
        self.put(format_args!(
            r#"<text class="{class}" text-anchor="{anchor}" x="{x:.1}" y="{y:.1}">{words}</text>"#
        ));
    }

    fn put(&mut self, element: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.body, "{element}");
    }

    /// The whole picture. `id` is its own on the page; `title` and `description` are read aloud.
    pub(in crate::report) fn finish(self, id: &str, title: &str, description: &str) -> String {
        let Self { body, height } = self;
        let (title, description) = (escape(title), escape(description));
        let size = format!(r#"width="{WIDTH}" height="{height:.0}""#);
        let labelled = format!(r#"aria-labelledby="{id}-t {id}-d""#);
        format!(
            r#"<svg role="img" {size} viewBox="0 0 {WIDTH} {height:.0}" {labelled}>
<title id="{id}-t">{title}</title>
<desc id="{id}-d">{description}</desc>
{body}</svg>"#
        )
    }
}

/// Text that is neither markup nor the end of an attribute.
pub(in crate::report) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_become_markup() {
        let mut canvas = Canvas::new(10.0);
        canvas.text("t", Anchor::Start, (0.0, 0.0), "<script>\"&");
        let svg = canvas.finish("x", "a<b", "c&d");
        assert!(svg.contains("&lt;script&gt;&quot;&amp;</text>"), "{svg}");
        assert!(svg.contains("<title id=\"x-t\">a&lt;b</title>"), "{svg}");
        assert!(svg.contains("c&amp;d</desc>"), "{svg}");
    }

    #[test]
    fn boxes_have_no_negative_size() {
        let mut canvas = Canvas::new(10.0);
        canvas.rect("b", (9.0, 8.0), (4.0, 2.0));
        let expect = "x=\"4.0\" y=\"2.0\" width=\"5.0\" height=\"6.0\"";
        assert!(canvas.finish("x", "", "").contains(expect));
    }
}
