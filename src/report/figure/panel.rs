//! A panel: one quantity of every cell, or of every role of a network, against depth or width.

use super::across::Across;
use super::axis::Axis;
use super::canvas::{Canvas, Stroke, TextStyle};
use super::geometry::{Point, Rect, length};
use super::labels::{self, Label};
use super::overlay::{Limit, TheoryCurve, draw_limits, name_limits};
use super::scales::{label_left, levels, remark, sharp};
use super::series::{Series, runs};
use super::style::{GRAY, LINE, Marker, Ruler};
use plotters::style::Color;

/// Width of a line that lies alone; where others cover it, it is drawn wider beneath them.
pub const THIN: f64 = 3.0;
/// A line gets wider by less than this, whatever covers it; by a quarter of it for the first.
const WIDEST: f64 = 10.0;
/// More cells than this are not compared for covering each other.
const MOST_COMPARED: usize = 64;
/// Said where exponents come to their end, see [`crate::measure::summary::BEYOND`].
const UNMEASURED: &str = "beyond 10^±3e17 nothing is measured";
/// Most height of the lane of zeros, of which each cell has a row.
const LANE: f64 = 120.0;

/// Rows of zeros that are lower than this have no labels of their own.
const LABELLED_ROW: f64 = 4.0;

/// The line at what is resolved draws and leaves out these lengths in turn.
const DOTTED: &[f64] = &[2.0, 4.0];
/// Half the width of an arrow below it, and its height.
const ARROW: f64 = 3.5;
/// Said once in a panel.
const HIDDEN: &str = "hidden by rounding";

/// One quantity of several lines.
pub struct Panel {
    pub title: String,
    pub series: Vec<Series>,
    pub axis: Axis,
    /// The least and the largest value that the scale shows; `None` where there are none.
    pub extent: Option<(f64, f64)>,
    /// The last place of the horizontal axis, whose first is 1.
    pub depth: usize,
    pub across: Across,
    pub theory: Vec<TheoryCurve>,
    pub limits: Vec<Limit>,
    /// Somewhere a value is beyond what is measured, and its curve ends there.
    pub unmeasured: bool,
    /// Lines of different cells at the same layers, which may cover each other.
    pub alike: bool,
    /// Said where there is nothing to draw.
    pub empty: &'static str,
    /// Rows that the lane of zeros has at least, so that panels side by side have one scale.
    pub lane: usize,
}

/// Which sides of a panel have texts of their own.
#[derive(Clone, Copy)]
pub struct Labelled {
    pub left: bool,
    pub below: bool,
}

/// Room about the plots of a figure, and their height.
#[derive(Clone, Copy)]
pub struct Insets {
    /// Left of a plot whose scale is labelled.
    pub left: f64,
    /// Left of a plot that shares the scale of the one before.
    pub inner: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    /// Of a plot.
    pub height: f64,
}

/// Where a panel's units lie on the figure.
pub struct Frame {
    /// The scale, without the lane of zeros.
    pub plot: Rect,
    /// Foot of the lane of zeros, where the layers' axis is; at the foot of the scale when nothing is zero.
    bottom: f64,
    depth: usize,
    pub range: (f64, f64),
    /// Lines that stand side by side in a network of one layer.
    cells: usize,
}

impl Frame {
    /// Two layers on all of a plot.
    #[cfg(test)]
    pub fn whole(plot: Rect, range: (f64, f64)) -> Self {
        Self { plot, bottom: plot.bottom, depth: 2, range, cells: 1 }
    }

    /// Between two layers; in a single layer, where the cells stand side by side, between two cells.
    fn step(&self) -> f64 {
        let room = self.plot.width();
        if self.depth > 1 { room / (self.depth as f64 - 1.0) } else { (room / self.cells as f64).min(56.0) }
    }

    pub fn x(&self, layer: f64, cell: usize) -> f64 {
        if self.depth > 1 {
            return self.plot.left + (layer - 1.0) * self.step();
        }
        self.plot.center().0 + self.step() * (cell as f64 - 0.5 * (self.cells as f64 - 1.0))
    }

    /// A place of the axis, which in a network of one layer is the middle.
    fn middle(&self, at: f64) -> f64 {
        if self.depth > 1 { self.x(at, 0) } else { self.plot.center().0 }
    }

    pub fn y(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        self.plot.bottom - (value - low) / (high - low) * self.plot.height()
    }

    /// Half the width of what stands at one layer alone.
    fn half(&self) -> f64 {
        if self.depth > 1 { (0.35 * self.step()).clamp(1.0, 8.0) } else { 0.4 * self.step() }
    }

    /// The ends of a level line at one layer, within the panel.
    pub fn level(&self, x: f64, y: f64) -> [Point; 2] {
        [-1.0, 1.0].map(|side| ((x + side * self.half()).clamp(self.plot.left, self.plot.right), y))
    }
}

impl Panel {
    /// A panel without theory and limits, and without a scale yet.
    pub fn new(title: String, series: Vec<Series>, depth: usize, across: Across) -> Self {
        Self {
            title,
            series,
            axis: Axis { range: (-1.0, 1.0), ticks: Vec::new() },
            extent: None,
            depth,
            across,
            theory: Vec::new(),
            limits: Vec::new(),
            unmeasured: false,
            alike: true,
            empty: "exactly 0 at every layer",
            lane: 0,
        }
    }

    /// Gives it a logarithmic scale that shows its extent.
    pub fn scale(&mut self) {
        self.axis = Axis::decades(self.extent.into_iter().flat_map(|(low, high)| [low, high]));
    }

    /// Gives it a scale of shares and cosines.
    pub fn share_scale(&mut self) {
        let values = self.series.iter().flat_map(|s| s.line.iter().filter_map(|p| p.1));
        self.axis = Axis::shares(values.fold(0.0, f64::min));
    }

    /// Room that it takes right of its plot for the labels of its lines.
    pub fn label_room(&self, ruler: &Ruler) -> f64 {
        labels::room(self.series.iter().map(|s| s.label.as_str()).filter(|l| !l.is_empty()), ruler)
    }

    /// Room that it takes below a plot of this width.
    pub fn axis_room(&self, width: f64, ruler: &Ruler) -> f64 {
        let frame = self.frame(Rect::new((0.0, 0.0), (width, 100.0)));
        self.across.height(&|at| frame.middle(at), ruler)
    }

    /// Lines that are exactly zero somewhere.
    pub fn zero_rows(&self) -> usize {
        self.series.iter().filter(|s| !s.zeros.is_empty()).count()
    }

    /// Height of a row of zeros.
    fn row_step(&self, frame: &Frame) -> f64 {
        (frame.bottom - frame.plot.bottom) / (self.zero_rows().max(self.lane) as f64 + 0.5)
    }

    fn frame(&self, plot: Rect) -> Frame {
        let rows = self.zero_rows().max(self.lane);
        let most = LANE.min(0.4 * plot.height());
        let lane = if rows > 0 { (12.0 * rows as f64 + 10.0).min(most + 10.0) } else { 0.0 };
        Frame {
            plot: Rect { bottom: plot.bottom - lane, ..plot },
            bottom: plot.bottom,
            depth: self.depth,
            range: self.axis.range,
            cells: self.series.iter().filter(|s| !s.marked).count(),
        }
    }

    /// Draws it about a plot, with a title at a point; its scale may be that of the panel before it, and its axis that of the panel below.
    pub fn draw(
        &self,
        canvas: &mut Canvas,
        plot: Rect,
        (title, at, style): (&str, Point, TextStyle),
        labelled: Labelled,
        ruler: &Ruler,
    ) {
        let frame = self.frame(plot);
        canvas.text(title, at, style);
        self.scales(canvas, &frame, labelled, ruler);
        let point = |cell: usize, p: &(f64, Option<f64>)| {
            p.1.map(|value| (p.0, (frame.x(p.0, cell), frame.y(value))))
        };
        // Stretches between gaps, by which names keep out of the way.
        let mut curves: Vec<Vec<Point>> = Vec::new();
        for (cell, series) in self.cells() {
            let points: Vec<(f64, Option<Point>)> =
                series.line.iter().map(|p| (p.0, point(cell, p).map(|p| p.1))).collect();
            curves.extend(runs(&points).into_iter().map(|run| run.into_iter().map(|p| p.1).collect()));
        }
        draw_limits(canvas, &self.limits, &frame);
        self.curves(canvas, &frame);
        // Upon all lines, so that no later cell hides them.
        for (cell, series) in self.cells() {
            if series.marked {
                circles(canvas, series, cell, &frame);
            } else if let Some(marker) = series.marker {
                markers(canvas, series, marker, cell, &frame);
            }
        }
        self.floors(canvas, &frame);
        self.zeros(canvas, &frame);
        name_limits(canvas, &self.limits, &curves, &frame, ruler);
        // Of a line that is zero everywhere, the row of its zeros.
        let rows = self.cells().filter(|(_, series)| !series.zeros.is_empty());
        let row_of: Vec<(usize, usize)> = rows.enumerate().map(|(row, (cell, _))| (cell, row)).collect();
        let zeros = |cell: usize, series: &Series| {
            let (_, row) = row_of.iter().find(|(of, _)| *of == cell)?;
            let step = self.row_step(&frame);
            (step >= LABELLED_ROW).then(|| {
                let last = series.zeros.last().map_or(1.0, |stretch| stretch.1);
                (frame.x(last, cell), row_y(&frame, step, *row))
            })
        };
        let end = |(cell, series): (usize, &Series)| {
            let last = series.line.iter().rev().find_map(|p| point(cell, p)).map(|p| p.1);
            let end = last.or_else(|| zeros(cell, series))?;
            let text = ruler.shown(&series.label);
            (!text.is_empty()).then_some(Label { text, end, color: series.look.color })
        };
        let whole = Rect { bottom: frame.bottom, ..frame.plot };
        labels::draw(canvas, self.cells().filter_map(end).collect(), &curves, whole, ruler);
    }

    /// Every series with the place of its cell.
    fn cells(&self) -> impl Iterator<Item = (usize, &Series)> {
        let mut cell = 0;
        self.series.iter().map(move |series| {
            cell += usize::from(!series.marked);
            (cell - 1, series)
        })
    }

    fn scales(&self, canvas: &mut Canvas, frame: &Frame, labelled: Labelled, ruler: &Ruler) {
        let plot = frame.plot;
        let place = |at: f64| frame.middle(at);
        if labelled.left {
            levels(
                canvas,
                plot,
                self.axis.ticks.iter().map(|(value, label)| (frame.y(*value), label.as_str())),
            );
        } else {
            let line = |y: f64| [(plot.left, sharp(y)), (plot.right, sharp(y))];
            let lines: Vec<[Point; 2]> =
                self.axis.ticks.iter().map(|(value, _)| line(frame.y(*value))).collect();
            canvas.lines(lines.iter().map(<[_; 2]>::as_slice), Stroke::new(LINE, 1.0));
        }
        self.across.edges(canvas, plot, &place);
        if plot.bottom < frame.bottom {
            let foot = sharp(plot.bottom);
            canvas.line(&[(plot.left, foot), (plot.right, foot)], Stroke::new(GRAY, 1.0));
            if labelled.left {
                label_left(canvas, "exactly 0", (plot.left, f64::midpoint(plot.bottom, frame.bottom)));
            }
        }
        match (self.axis.ticks.is_empty(), self.unmeasured) {
            (true, true) => remark(canvas, plot, UNMEASURED),
            (true, false) => remark(canvas, plot, self.empty),
            (false, true) => {
                canvas.text(
                    UNMEASURED,
                    (plot.right, plot.top - 2.0),
                    TextStyle::new(10.0, GRAY).above().ending(),
                );
            }
            (false, false) => {}
        }
        let whole = Rect { bottom: frame.bottom, ..plot };
        match labelled.below {
            true => self.across.draw(canvas, whole, &place, ruler),
            false => self.across.draw_marks(canvas, whole, &place, ruler),
        }
    }

    fn curves(&self, canvas: &mut Canvas, frame: &Frame) {
        for (cell, series) in self.cells() {
            band(canvas, series, cell, frame);
        }
        // The scale holds all that is measured, but not all of theory.
        let within = frame.plot.grown(1.0);
        canvas.clipped(within, |canvas| {
            self.theory.iter().enumerate().for_each(|(cell, theory)| theory.draw_band(canvas, cell, frame));
        });
        let covers = self.covers(frame);
        for ((cell, series), covered) in self.cells().zip(covers) {
            let width = |layer: usize| {
                let upon = covered.get(layer).map_or(0.0, |n| *n as f64);
                series.weight + WIDEST * (1.0 - 0.75f64.powf(upon))
            };
            line(canvas, series, cell, &width, frame);
        }
        canvas.clipped(within, |canvas| {
            self.theory.iter().enumerate().for_each(|(cell, theory)| theory.draw_line(canvas, cell, frame));
        });
    }

    /// At every layer of every series: how many of the later ones lie upon it.
    fn covers(&self, frame: &Frame) -> Vec<Vec<usize>> {
        if frame.cells > MOST_COMPARED || !self.alike {
            return vec![Vec::new(); self.series.len()];
        }
        let covers = |(place, s): (usize, &Series)| {
            let later = || self.series[place + 1..].iter().filter(|other| other.marked == s.marked);
            let upon = |layer: usize, y: f64| {
                let near = |value: f64| (frame.y(value) - y).abs() < 2.5;
                later().filter(|other| other.line.get(layer).and_then(|p| p.1).is_some_and(near)).count()
            };
            let count = |(layer, point): (usize, &(f64, Option<f64>))| {
                point.1.map_or(0, |value| upon(layer, frame.y(value)))
            };
            s.line.iter().enumerate().map(count).collect()
        };
        self.series.iter().enumerate().map(covers).collect()
    }

    /// Where rounding hides a value: a dotted line at what is resolved, and arrows down to where the value is.
    fn floors(&self, canvas: &mut Canvas, frame: &Frame) {
        let mut named = false;
        for (cell, series) in self.cells() {
            for run in runs(&series.floor) {
                let place = |p: &(f64, f64)| (frame.x(p.0, cell), frame.y(p.1));
                let points: Vec<Point> = match run.as_slice() {
                    [single] => frame.level(place(single).0, place(single).1).to_vec(),
                    _ => run.iter().map(place).collect(),
                };
                let stroke = Stroke::new(series.look.color, 1.5);
                canvas.line(&points, stroke.dashed(DOTTED));
                let arrows: Vec<[Point; 3]> = run
                    .iter()
                    .step_by(run.len().div_ceil(10))
                    .map(place)
                    .map(|(x, y)| [(x - ARROW, y + 2.0), (x, y + 2.0 + ARROW), (x + ARROW, y + 2.0)])
                    .collect();
                canvas.lines(arrows.iter().map(<[_; 3]>::as_slice), stroke);
                if !named {
                    let (left, right) = (points[0], points[points.len() - 1]);
                    let name = TextStyle::new(10.0, GRAY).above();
                    match left.0 < frame.plot.center().0 {
                        true => canvas.text(HIDDEN, (left.0, left.1 - 4.0), name),
                        false => canvas.text(HIDDEN, (right.0, right.1 - 4.0), name.ending()),
                    }
                    named = true;
                }
            }
        }
    }

    /// A row for each cell that has zeros, below the scale: crosses at the ends of each stretch of layers.
    fn zeros(&self, canvas: &mut Canvas, frame: &Frame) {
        let rows = self.cells().filter(|(_, s)| !s.zeros.is_empty());
        let step = self.row_step(frame);
        let arm = (0.35 * step).clamp(1.0, 4.0);
        for (row, (cell, series)) in rows.enumerate() {
            let y = row_y(frame, step, row);
            let mut crosses = Vec::new();
            for stretch in &series.zeros {
                let ends = [stretch.0, stretch.1].map(|layer| (frame.x(layer, cell), y));
                let line = if self.depth > 1 { ends } else { frame.level(ends[0].0, y) };
                if line[1].0 > line[0].0 {
                    canvas.line(&line, series.look.stroke(series.weight.min(2.0)));
                }
                let bar = |(x, y): Point, side: f64| [(x - arm, y - side * arm), (x + arm, y + side * arm)];
                crosses.extend(ends.iter().flat_map(|end| [bar(*end, -1.0), bar(*end, 1.0)]));
            }
            let lines = crosses.iter().map(<[_; 2]>::as_slice);
            canvas.lines(lines, Stroke::new(series.look.color, 2.0));
        }
    }
}

/// The middle of a row of zeros.
fn row_y(frame: &Frame, step: f64, row: usize) -> f64 {
    frame.plot.bottom + (row as f64 + 0.75) * step
}

/// Down to the foot of the scale where the lower quantile is zero; a bar where a layer stands alone.
fn band(canvas: &mut Canvas, series: &Series, cell: usize, frame: &Frame) {
    let low = |low: Option<f64>| low.map_or(frame.plot.bottom, |low| frame.y(low));
    for run in runs(&series.band) {
        let upper = run.iter().map(|(layer, ends)| (frame.x(*layer, cell), frame.y(ends.1)));
        let lower = run.iter().rev().map(|(layer, ends)| (frame.x(*layer, cell), low(ends.0)));
        let mut outline: Vec<Point> = upper.chain(lower).collect();
        if let [up, down] = outline[..] {
            let (up, down) = (frame.level(up.0, up.1), frame.level(down.0, down.1));
            outline = vec![up[0], up[1], down[1], down[0]];
        }
        canvas.area(&outline, &series.look.color.mix(0.16));
    }
}

/// `width` is that of the line at a layer, counted from 0 among those drawn.
fn line(canvas: &mut Canvas, series: &Series, cell: usize, width: &dyn Fn(usize) -> f64, frame: &Frame) {
    let first = |run: &[(f64, f64)]| series.line.iter().position(|p| p.0 == run[0].0).unwrap_or(0);
    for run in runs(&series.line) {
        let points: Vec<Point> = run.iter().map(|p| (frame.x(p.0, cell), frame.y(p.1))).collect();
        match points.as_slice() {
            [_] if series.marked || series.marker.is_some() => {}
            [(x, y)] if frame.depth == 1 => {
                canvas.line(&frame.level(*x, *y), series.look.stroke(series.weight))
            }
            [single] => canvas.disc(*single, 1.0 + series.weight, &series.look.color),
            _ => {
                let first = first(&run);
                let widths: Vec<f64> = (0..points.len() - 1)
                    .map(|place| width(first + place).min(width(first + place + 1)))
                    .collect();
                // The whole of it, so that it has no gaps at bends, and upon that the stretches that are wider.
                let least = widths.iter().copied().fold(f64::INFINITY, f64::min);
                canvas.line(&points, series.look.stroke(least));
                let (mut from, mut so_far) = (0, 0.0);
                for stretch in widths.chunk_by(f64::eq) {
                    let part = &points[from..=from + stretch.len()];
                    if stretch[0] > least {
                        canvas.line(part, series.look.stroke(stretch[0]).after(so_far));
                    }
                    (from, so_far) = (from + stretch.len(), so_far + length(part));
                }
            }
        }
    }
}

/// About ten circles along a marked line, fewer where those of different cells would else stand at one layer.
fn circles(canvas: &mut Canvas, series: &Series, cell: usize, frame: &Frame) {
    for run in runs(&series.line) {
        // Fewer in a small panel.
        let small = frame.plot.width() < 150.0;
        let most = if small { (10 / frame.cells.max(1)).clamp(2, 5) } else { 10 };
        let step = run.len().div_ceil(most).max(frame.cells.min(run.len() / 3)).max(1);
        let first = if run.len() > 1 { cell * step / frame.cells } else { 0 };
        for (layer, value) in run.iter().skip(first).step_by(step) {
            let at = (frame.x(*layer, cell), frame.y(*value));
            let (radius, width) = if small { (2.8, 1.4) } else { (4.0, 2.0) };
            canvas.ring(at, radius, Stroke::new(series.look.color, width));
        }
    }
}

/// About eight marks along a line, and one on every point that stands alone; those of different lines begin at different layers.
fn markers(canvas: &mut Canvas, series: &Series, marker: Marker, cell: usize, frame: &Frame) {
    for run in runs(&series.line) {
        let step = run.len().div_ceil(8).max(1);
        let first = if step > 1 { cell % step } else { 0 };
        for (layer, value) in run.iter().skip(first).step_by(step) {
            marker.draw(canvas, (frame.x(*layer, cell), frame.y(*value)), series.look.color);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::series::tests::{panel, report};
    use super::super::{FigureOptions, PanelName, styled_svg};
    use super::*;
    use crate::report::outline::tests::transformer;

    #[test]
    fn a_line_that_is_zero_everywhere_is_labelled_at_its_row() {
        let mut report = report(&[Some(0.0)], &[None]);
        let mut layers = transformer(3);
        for layer in layers.iter_mut().filter(|layer| layer.role.as_deref() == Some("key")) {
            layer.gradient.log10_variance.median = None;
        }
        report.cells[0].layers = layers;
        let options = FigureOptions { panels: vec![PanelName::Gradient], ..FigureOptions::default() };
        let svg = styled_svg(&report, &options);
        assert!(svg.contains(">exactly 0</text>") && svg.contains(">key</text>"));
    }

    #[test]
    fn a_cell_under_another_is_drawn_wider_where_it_is_covered() {
        let mut report = report(&[Some(0.0), Some(1.0), Some(2.0)], &[None; 3]);
        let mut above = report.cells[0].clone();
        above.layers[0].activation.log10_variance.median = Some(-3.0);
        report.cells.push(above);
        report.spec.init.push("lecun-normal".into());
        let panel = panel(&report);
        let frame = Frame {
            plot: Rect::new((0.0, 0.0), (100.0, 100.0)),
            bottom: 100.0,
            depth: 3,
            range: (-3.0, 3.0),
            cells: 2,
        };
        assert_eq!(panel.covers(&frame), [vec![0, 1, 1], vec![0, 0, 0]]);
    }
}
