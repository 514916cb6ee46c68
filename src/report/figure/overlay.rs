//! What is laid over the measurement: theory, and where number formats end.

use super::canvas::{Canvas, Stroke, TextStyle};
use super::geometry::Point;
use super::panel::Frame;
use super::scales::sharp;
use super::series::{runs, thinned};
use super::style::{GRAY, INK, Style};
use crate::result::{Cell, FormatRange, Report, Theory};
use crate::theory::formats::FORMATS;
use plotters::style::{Color, RGBColor};

/// More cells than this have no room for the edges of their bands.
const MOST_BANDS: usize = 6;
/// Theory's line draws and leaves out these lengths in turn.
const DASHED: &[f64] = &[6.0, 5.0];
/// Labels of formats that are nearer than this share one, in pixels.
const NEAR: f64 = 15.0;
/// Nearly where a line of the scale is; and a label's room.
const FAINT: RGBColor = RGBColor(176, 176, 186);

/// Theory of one cell: its median, and the edges of the band of trials.
pub struct TheoryCurve {
    look: Style,
    pub line: Vec<(f64, Option<f64>)>,
    edges: [Vec<(f64, Option<f64>)>; 2],
}

/// A quantity of theory: the mean, the band, and the median where that is not the band's middle.
pub type Pick = fn(&Theory) -> (Option<f64>, Option<[Option<f64>; 2]>, Option<f64>);

/// The overlay of every cell.
pub fn expected(report: &Report, looks: &[Style], pick: Pick) -> Vec<TheoryCurve> {
    let bands = report.cells.len() <= MOST_BANDS;
    let one = |(cell, look): (&Cell, &Style)| {
        let at = |value: &dyn Fn(&Theory) -> Option<f64>| -> Vec<(f64, Option<f64>)> {
            thinned(&cell.layers).map(|l| (l.layer as f64, l.theory.as_ref().and_then(value))).collect()
        };
        let edge = |side: usize| match bands {
            true => at(&move |t| pick(t).1.and_then(|band| band[side])),
            false => Vec::new(),
        };
        // The median is what is measured.
        let line = at(&|t| match pick(t) {
            (_, _, Some(median)) => Some(median),
            (_, Some([low, high]), None) => Some(f64::midpoint(low?, high?)),
            (mean, None, None) => mean,
        });
        TheoryCurve { look: *look, line, edges: [edge(0), edge(1)] }
    };
    report.cells.iter().zip(looks).map(one).collect()
}

impl TheoryCurve {
    /// The edges of the band, beneath what is measured.
    pub fn draw_band(&self, canvas: &mut Canvas, cell: usize, frame: &Frame) {
        for points in self.edges.iter().flat_map(|edge| frame.points(edge, cell)) {
            canvas.line(&points, Stroke::new(self.look.color.mix(0.7), 1.0));
        }
    }

    /// The median, upon what is measured.
    pub fn draw_line(&self, canvas: &mut Canvas, cell: usize, frame: &Frame) {
        for points in frame.points(&self.line, cell) {
            canvas.line(&points, Stroke::new(INK, 1.0).dashed(DASHED));
        }
    }
}

impl Frame {
    /// A curve's stretches on the figure; a layer that stands alone is a level line.
    fn points(&self, curve: &[(f64, Option<f64>)], cell: usize) -> Vec<Vec<Point>> {
        let place = |(layer, value): &(f64, f64)| (self.x(*layer, cell), self.y(*value));
        let stretch = |run: &Vec<(f64, f64)>| match run.as_slice() {
            [single] => self.level(place(single).0, place(single).1).to_vec(),
            _ => run.iter().map(place).collect(),
        };
        runs(curve).iter().map(stretch).collect()
    }
}

/// A level that a format's normal range ends at, in the panel's unit.
pub struct Limit {
    value: f64,
    name: String,
}

/// The ends of formats that some cell leaves: of the root mean square, and of the mean square where `squares` are kept too.
pub fn limits(report: &Report, leaves: fn(&FormatRange) -> (bool, bool)) -> Vec<Limit> {
    let mut limits = Vec::new();
    for format in &FORMATS {
        let range = |cell: &Cell| {
            cell.formats.iter().find(|r| r.format == format.name).map_or((false, false), leaves)
        };
        let (root, square) =
            report.cells.iter().map(range).fold((false, false), |a, b| (a.0 | b.0, a.1 | b.1));
        let (low, high) = format.decades();
        for end in [low, high] {
            if root {
                limits.push(Limit { value: 2.0 * end, name: format.name.to_string() });
            }
            if square {
                limits.push(Limit { value: end, name: format!("{}²", format.name) });
            }
        }
    }
    limits.sort_by(|a, b| a.value.total_cmp(&b.value));
    limits
}

/// A label takes this room.
const LABEL: (f64, f64) = (130.0, 16.0);

/// Thin lines with their names, those that nearly coincide under one; a name stands at the end where `curves` leave it more room.
pub fn draw_limits(canvas: &mut Canvas, limits: &[Limit], curves: &[Point], frame: &Frame) {
    let visible = limits.iter().filter(|l| l.value > frame.range.0 && l.value < frame.range.1);
    let (left, right) = (frame.plot.left, frame.plot.right);
    let mut groups: Vec<(f64, Vec<&str>)> = Vec::new();
    for limit in visible {
        let y = sharp(frame.y(limit.value));
        canvas.line(&[(left, y), (right, y)], Stroke::new(FAINT, 1.0));
        match groups.last_mut() {
            Some((at, names)) if (*at - y).abs() < NEAR => {
                names.push(&limit.name);
                // Above all of their lines.
                *at = at.min(y);
            }
            _ => groups.push((y, vec![&limit.name])),
        }
    }
    for (y, names) in groups {
        let text = if names.len() > 5 { "number formats".into() } else { names.join(", ") };
        let covered = |from: f64| {
            let inside =
                |p: &&Point| (from..=from + LABEL.0).contains(&p.0) && (y - LABEL.1..=y + 2.0).contains(&p.1);
            curves.iter().filter(inside).count()
        };
        let name = TextStyle::new(10.0, GRAY).above();
        match covered(right - LABEL.0) > covered(left) {
            true => canvas.text(&text, (left + 4.0, y - 3.0), name),
            false => canvas.text(&text, (right - 2.0, y - 3.0), name.ending()),
        }
    }
}
