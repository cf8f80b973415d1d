//! Pictures as SVG, without knowing what is in them: scales, bars, lines.

mod bars;
mod lines;
mod scale;
mod svg;

pub(super) use bars::{BarRow, Bars};
pub(super) use lines::{AxisOf, Line, Lines, Point};
pub(super) use svg::escape;
