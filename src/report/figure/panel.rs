//! A panel: one quantity of every cell against depth.

use super::axis::{Axis, layer_ticks};
use super::overlay::{Expected, Limit, draw_limits, expected, limits};
use super::style::{FAMILY, GREY, INK, LINE, Look};
use super::{Area, Drawn, pixel, put, stroke};
use crate::activation::Activation;
use crate::result::{Layer, Quantiles, Report};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::RangeInclusive;

/// More layers than this are thinned: a line cannot show more.
const MAX_POINTS: usize = 1000;
/// Width of a line that lies alone; where others cover it, it is drawn wider beneath them.
const THIN: f64 = 3.0;
/// A line gets wider by less than this, whatever covers it; by a quarter of it for the first.
const WIDEST: f64 = 10.0;
/// More cells than this are not compared for covering each other.
const MOST_COMPARED: usize = 64;
/// Most height of the lane of zeros, of which each cell has a row.
const LANE: i32 = 120;

/// Lower and upper quantile; the lower is `None` where it is zero.
type Ends = (Option<f64>, f64);

/// One value a layer, or a gap.
struct Series {
    look: Look,
    /// (layer, value); `None` where there is none to draw.
    line: Vec<(f64, Option<f64>)>,
    /// (layer, its ends), `None` where both quantiles are zero.
    band: Vec<(f64, Option<Ends>)>,
    /// Small circles along a thin line: a second quantity of the same cell.
    marked: bool,
    /// Layers where the median is exactly zero, in stretches.
    zeros: Vec<RangeInclusive<usize>>,
    /// Layers within residual branches, which not every signal passes: not joined by the line.
    dots: Vec<(f64, f64)>,
}

/// One quantity of every cell.
pub struct Panel {
    title: String,
    series: Vec<Series>,
    axis: Axis,
    depth: usize,
    /// Of the horizontal axis: places, from 1 to the depth, and their labels.
    ticks: Vec<(f64, String)>,
    across: &'static str,
    theory: Vec<Expected>,
    limits: Vec<Limit>,
}

/// The four panels.
pub const KINDS: [fn(&Report, &[Look]) -> Panel; 4] = [
    |report, looks| {
        let title = "a · Activation variance, Var(H)";
        let theory = expected(report, looks, |t| (t.activation_log10_variance, t.band));
        let limits = limits(report, |r| (r.activation.is_some(), false));
        logarithmic(report, looks, title, every, |l| &l.activation.log10_variance, theory, limits)
    },
    |report, looks| {
        let title = "b · Gradient variance, Var(∂C/∂Z)";
        let theory = expected(report, looks, |t| (t.gradient_log10_variance, t.gradient_band));
        let limits = limits(report, |r| (r.gradient.is_some(), r.squared_gradient.is_some()));
        logarithmic(report, looks, title, every, |l| &l.gradient.log10_variance, theory, limits)
    },
    |report, looks| {
        let title = "c · Weight gradient, mean square of ∂C/∂W";
        let theory =
            expected(report, looks, |t| (t.weight_gradient_log10_second_moment, t.weight_gradient_band));
        logarithmic(
            report,
            looks,
            title,
            weighted,
            |l| &l.weight_gradient.log10_second_moment,
            theory,
            Vec::new(),
        )
    },
    shares,
];

/// The layers to draw: all, or so many that a line cannot show more.
pub fn thinned(layers: &[Layer]) -> impl Iterator<Item = &Layer> {
    let step = layers.len().div_ceil(MAX_POINTS).max(1);
    let last = layers.len() - 1;
    layers.iter().enumerate().filter(move |(k, _)| k % step == 0 || *k == last).map(|(_, l)| l)
}

/// Every layer.
fn every(_: &Layer) -> bool {
    true
}

/// An activation follows: in a network not every layer has one.
fn activated(layer: &Layer) -> bool {
    layer.path.is_none() || layer.saturated_fraction.is_some()
}

/// A residual sum has no weights.
fn weighted(layer: &Layer) -> bool {
    layer.kind != "residual"
}

fn logarithmic(
    report: &Report,
    looks: &[Look],
    title: &str,
    shown: fn(&Layer) -> bool,
    quantity: fn(&Layer) -> &Quantiles,
    theory: Vec<Expected>,
    limits: Vec<Limit>,
) -> Panel {
    let mut series = Vec::new();
    for (cell, look) in report.cells.iter().zip(looks) {
        let layers: Vec<Layer> = cell.layers.iter().filter(|l| shown(l)).cloned().collect();
        if layers.is_empty() {
            continue;
        }
        let trunk = layers.iter().any(|l| !l.branch);
        // Without the sums, what is left of the trunk beside branches is no path.
        let path = trunk && (layers.len() == cell.layers.len() || !layers.iter().any(|l| l.branch));
        let joined = |l: &&Layer| path && !l.branch || !trunk;
        let line = thinned(&layers).filter(joined).map(|l| (l.layer as f64, quantity(l).median)).collect();
        let ends = |l: &Layer| (l.layer as f64, quantity(l).q95.map(|high| (quantity(l).q05, high)));
        let band = match cell.trials {
            1 => Vec::new(),
            _ => thinned(&layers).filter(joined).map(ends).collect(),
        };
        let apart = thinned(&layers).filter(|l| !joined(l));
        let dots = apart.filter_map(|l| quantity(l).median.map(|x| (l.layer as f64, x))).collect();
        let mut zeros: Vec<RangeInclusive<usize>> = Vec::new();
        for layer in layers.iter().filter(|l| quantity(l).median.is_none()).map(|l| l.layer) {
            match zeros.last_mut() {
                Some(stretch) if *stretch.end() + 1 == layer => *stretch = *stretch.start()..=layer,
                _ => zeros.push(layer..=layer),
            }
        }
        series.push(Series { look: *look, line, band, marked: false, zeros, dots });
    }
    let values = series.iter().flat_map(|s| {
        let ends = s.band.iter().filter_map(|b| b.1).flat_map(|(low, high)| low.into_iter().chain([high]));
        s.line.iter().filter_map(|p| p.1).chain(s.dots.iter().map(|d| d.1)).chain(ends)
    });
    // Theory is shown where something is measured.
    let measured: Vec<f64> = values.collect();
    let lines =
        theory.iter().flat_map(|t| t.line.iter().filter_map(|p| p.1)).filter(|_| !measured.is_empty());
    let axis = Axis::decades(measured.iter().copied().chain(lines));
    let depth = report.spec.depth;
    Panel { title: title.into(), series, axis, depth, ticks: layers(depth), across: "layer", theory, limits }
}

fn shares(report: &Report, looks: &[Look]) -> Panel {
    let mut series = Vec::new();
    let (mut dead, mut saturated) = (false, false);
    for (cell, look) in report.cells.iter().zip(looks) {
        let trunk = cell.layers.iter().any(|l| !l.branch);
        let joined = |l: &&Layer| !(trunk && l.branch);
        let correlation: Vec<_> =
            thinned(&cell.layers).filter(joined).map(|l| (l.layer as f64, l.correlation)).collect();
        // A bounded activation saturates; another can only die.
        let bounded = Activation::parse(&cell.act).is_ok_and(|act| act.shape.bounded);
        let share = |l: &Layer| if bounded { l.saturated_fraction } else { Some(l.dead_fraction) };
        if bounded {
            saturated = true;
        } else {
            dead = true;
        }
        let shares: Vec<_> =
            thinned(&cell.layers).filter(|l| activated(l)).map(|l| (l.layer as f64, share(l))).collect();
        for (line, marked) in [(correlation, false), (shares, true)] {
            series.push(Series {
                look: *look,
                line,
                band: Vec::new(),
                marked,
                zeros: Vec::new(),
                dots: Vec::new(),
            });
        }
    }
    let lowest = series.iter().flat_map(|s| s.line.iter().filter_map(|p| p.1)).fold(0.0, f64::min);
    let units = match (dead, saturated) {
        (true, true) => "dead or saturated units",
        (false, true) => "saturated units",
        _ => "dead units",
    };
    Panel {
        title: format!("d · Lines: mean cosine of samples; circles: {units}"),
        series,
        axis: Axis::shares(lowest),
        depth: report.spec.depth,
        ticks: layers(report.spec.depth),
        across: "layer",
        theory: expected(report, looks, |t| (t.correlation, None)),
        limits: Vec::new(),
    }
}

fn layers(depth: usize) -> Vec<(f64, String)> {
    layer_ticks(depth).into_iter().map(|layer| (layer as f64, layer.to_string())).collect()
}

/// One quantity of one cell at several widths: at the last layer a line, at the first one with circles.
pub struct AgainstWidth<'a> {
    pub look: Look,
    /// log₁₀ at each width with its standard error.
    pub last: Vec<(Option<f64>, Option<f64>)>,
    pub first: Vec<(Option<f64>, Option<f64>)>,
    pub widths: &'a [usize],
}

/// Both axes logarithmic.
pub fn against_width(title: &str, cells: &[AgainstWidth]) -> Panel {
    let widths = cells.first().map_or(&[][..], |c| c.widths);
    let log = |width: usize| (width.max(1) as f64).log10();
    let (low, high) = (widths.first().map_or(0.0, |w| log(*w)), widths.last().map_or(1.0, |w| log(*w)));
    let count = widths.len().max(2);
    let place = |width: usize| 1.0 + (count - 1) as f64 * (log(width) - low) / (high - low).max(1e-9);
    let mut series = Vec::new();
    for cell in cells {
        for (points, marked) in [(&cell.last, false), (&cell.first, true)] {
            let line = widths.iter().zip(points).map(|(w, p)| (place(*w), p.0)).collect();
            let band = |(w, p): (&usize, &(Option<f64>, Option<f64>))| {
                let ends =
                    p.0.zip(p.1).map(|(value, error)| (Some(value - 1.96 * error), value + 1.96 * error));
                (place(*w), ends)
            };
            let band = if marked { Vec::new() } else { widths.iter().zip(points).map(band).collect() };
            series.push(Series { look: cell.look, line, band, marked, zeros: Vec::new(), dots: Vec::new() });
        }
    }
    let values = series.iter().flat_map(|s| {
        let ends = s.band.iter().filter_map(|b| b.1).flat_map(|(low, high)| low.into_iter().chain([high]));
        s.line.iter().filter_map(|p| p.1).chain(ends)
    });
    let axis = Axis::decades(values);
    // Widths that are too close to be told apart have one label.
    let mut ticks: Vec<(f64, String)> = Vec::new();
    for width in widths {
        let at = place(*width);
        if ticks.last().is_none_or(|(before, _)| at - before > 0.08 * (count - 1) as f64) {
            ticks.push((at, width.to_string()));
        }
    }
    let (theory, limits) = (Vec::new(), Vec::new());
    Panel { title: title.into(), series, axis, depth: count, ticks, across: "width", theory, limits }
}

/// Where a panel's units lie on its area, in pixels.
pub struct Frame {
    pub left: i32,
    pub right: i32,
    pub top: i32,
    /// Foot of the scale.
    pub foot: i32,
    /// Foot of the lane of zeros, where the layers' axis is; at the foot of the scale when nothing is zero.
    bottom: i32,
    depth: usize,
    pub range: (f64, f64),
    cells: usize,
}

impl Frame {
    /// Between two layers; in a single layer, where the cells stand side by side, between two cells.
    fn step(&self) -> f64 {
        let room = f64::from(self.right - self.left);
        if self.depth > 1 { room / (self.depth as f64 - 1.0) } else { (room / self.cells as f64).min(56.0) }
    }

    pub fn x(&self, layer: f64, cell: usize) -> f64 {
        if self.depth > 1 {
            return f64::from(self.left) + (layer - 1.0) * self.step();
        }
        let middle = 0.5 * f64::from(self.left + self.right);
        middle + self.step() * (cell as f64 - 0.5 * (self.cells as f64 - 1.0))
    }

    pub fn y(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        f64::from(self.foot) - (value - low) / (high - low) * f64::from(self.foot - self.top)
    }

    /// Half the width of what stands at one layer alone.
    fn half(&self) -> f64 {
        if self.depth > 1 { (0.35 * self.step()).clamp(1.0, 8.0) } else { 0.4 * self.step() }
    }

    /// The ends of a level line at one layer, within the panel.
    pub fn level(&self, x: f64, y: f64) -> [(f64, f64); 2] {
        [-1.0, 1.0].map(|side| ((x + side * self.half()).clamp(self.left.into(), self.right.into()), y))
    }
}

impl Panel {
    /// Draws it on an area of its own.
    pub fn draw(&self, area: &Area) -> Drawn {
        let (width, height) = area.dim_in_pixel();
        let rows = self.series.iter().filter(|s| !s.zeros.is_empty()).count() as i32;
        let lane = if rows > 0 { (12 * rows).min(LANE) + 10 } else { 0 };
        let bottom = height as i32 - 54;
        let cells = self.series.iter().filter(|s| !s.marked).count();
        let frame = Frame {
            left: 84,
            right: width as i32 - 16,
            top: 40,
            foot: bottom - lane,
            bottom,
            depth: self.depth,
            range: self.axis.range,
            cells,
        };
        self.scales(area, &frame)?;
        let point =
            |cell: usize, p: &(f64, Option<f64>)| p.1.map(|value| (frame.x(p.0, cell), frame.y(value)));
        let curves: Vec<_> =
            self.cells().flat_map(|(cell, s)| s.line.iter().filter_map(move |p| point(cell, p))).collect();
        draw_limits(area, &self.limits, &curves, &frame)?;
        for (cell, series) in self.cells() {
            self.band(area, series, cell, &frame)?;
        }
        for (cell, theory) in self.theory.iter().enumerate() {
            theory.draw_band(area, cell, &frame)?;
        }
        let covers = self.covers(&frame);
        for ((cell, series), covered) in self.cells().zip(covers) {
            let alone = if series.marked { THIN - 1.0 } else { THIN };
            let width = |layer: usize| {
                let upon = covered.get(layer).map_or(0.0, |n| *n as f64);
                (alone + WIDEST * (1.0 - 0.75f64.powf(upon))).round() as u32
            };
            line(area, series, cell, &width, &frame)?;
            for (layer, value) in &series.dots {
                let at = pixel(&(frame.x(*layer, cell), frame.y(*value)));
                area.draw(&Circle::new(at, 3, series.look.color.filled()))?;
            }
        }
        for (cell, theory) in self.theory.iter().enumerate() {
            theory.draw_line(area, cell, &frame)?;
        }
        // Upon all lines, so that no later cell hides them.
        for (cell, series) in self.cells().filter(|(_, series)| series.marked) {
            circles(area, series, cell, &frame)?;
        }
        self.zeros(area, &frame)
    }

    /// Every series with the place of its cell.
    fn cells(&self) -> impl Iterator<Item = (usize, &Series)> {
        let mut cell = 0;
        self.series.iter().map(move |series| {
            cell += usize::from(!series.marked);
            (cell - 1, series)
        })
    }

    fn scales(&self, area: &Area, frame: &Frame) -> Drawn {
        let Frame { left, right, foot, bottom, .. } = *frame;
        put(area, &self.title, (left, 8), 17.0, INK, HPos::Left)?;
        for (value, label) in &self.axis.ticks {
            let height = frame.y(*value).round() as i32;
            area.draw(&PathElement::new(vec![(left, height), (right, height)], LINE.stroke_width(1)))?;
            label_left(area, label, (left, height), 15.0)?;
        }
        if foot < bottom {
            area.draw(&PathElement::new(vec![(left, foot), (right, foot)], GREY.stroke_width(1)))?;
            label_left(area, "exactly 0", (left, i32::midpoint(foot, bottom)), 14.0)?;
        }
        if self.axis.ticks.is_empty() {
            let middle = (i32::midpoint(left, right), i32::midpoint(frame.top, foot) - 8);
            put(area, "exactly 0 at every layer", middle, 15.0, GREY, HPos::Center)?;
        }
        for (at, label) in &self.ticks {
            let place =
                if self.depth > 1 { frame.x(*at, 0).round() as i32 } else { i32::midpoint(left, right) };
            area.draw(&PathElement::new(vec![(place, bottom), (place, bottom + 5)], GREY.stroke_width(1)))?;
            put(area, label, (place, bottom + 9), 15.0, GREY, HPos::Center)?;
        }
        area.draw(&PathElement::new(vec![(left, bottom), (right, bottom)], GREY.stroke_width(1)))?;
        put(area, self.across, (i32::midpoint(left, right), bottom + 29), 15.0, GREY, HPos::Center)
    }

    /// Down to the foot of the scale where the lower quantile is zero; a bar where a layer stands alone.
    fn band(&self, area: &Area, series: &Series, cell: usize, frame: &Frame) -> Drawn {
        let low = |low: Option<f64>| low.map_or(f64::from(frame.foot), |low| frame.y(low));
        for run in runs(&series.band) {
            let upper = run.iter().map(|(layer, ends)| (frame.x(*layer, cell), frame.y(ends.1)));
            let lower = run.iter().rev().map(|(layer, ends)| (frame.x(*layer, cell), low(ends.0)));
            let mut outline: Vec<(f64, f64)> = upper.chain(lower).collect();
            if let [up, down] = outline[..] {
                let (up, down) = (frame.level(up.0, up.1), frame.level(down.0, down.1));
                outline = vec![up[0], up[1], down[1], down[0]];
            }
            let points: Vec<(i32, i32)> = outline.iter().map(pixel).collect();
            area.draw(&Polygon::new(points, series.look.color.mix(0.16).filled()))?;
        }
        Ok(())
    }

    /// At every layer of every series: how many of the later ones lie upon it.
    fn covers(&self, frame: &Frame) -> Vec<Vec<usize>> {
        if frame.cells > MOST_COMPARED {
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

    /// A row for each cell that has zeros, below the scale: crosses at the ends of each stretch of layers.
    fn zeros(&self, area: &Area, frame: &Frame) -> Drawn {
        let rows = self.cells().filter(|(_, s)| !s.zeros.is_empty());
        let count = self.series.iter().filter(|s| !s.zeros.is_empty()).count();
        let step = f64::from(frame.bottom - frame.foot) / (count as f64 + 0.5);
        let arm = (0.35 * step).clamp(1.0, 4.0);
        for (row, (cell, series)) in rows.enumerate() {
            let y = f64::from(frame.foot) + (row as f64 + 0.75) * step;
            for stretch in &series.zeros {
                let ends = [*stretch.start(), *stretch.end()].map(|layer| (frame.x(layer as f64, cell), y));
                let line = if self.depth > 1 { ends } else { frame.level(ends[0].0, y) };
                if line[1].0 > line[0].0 {
                    stroke(area, &series.look, &line, 2)?;
                }
                for (x, y) in ends {
                    for side in [-1.0, 1.0] {
                        let bar = [(x - arm, y - side * arm), (x + arm, y + side * arm)];
                        let style = series.look.color.stroke_width(2);
                        area.draw(&PathElement::new(bar.iter().map(pixel).collect::<Vec<_>>(), style))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// `width` is that of the line at a layer, counted from 0 among those drawn.
fn line(area: &Area, series: &Series, cell: usize, width: &dyn Fn(usize) -> u32, frame: &Frame) -> Drawn {
    let color = series.look.color;
    let first = |run: &[(f64, f64)]| series.line.iter().position(|p| p.0 == run[0].0).unwrap_or(0);
    for run in runs(&series.line) {
        let points: Vec<(f64, f64)> = run.iter().map(|p| (frame.x(p.0, cell), frame.y(p.1))).collect();
        match points.as_slice() {
            [_] if series.marked => {}
            [single] if frame.depth == 1 => stroke(area, &series.look, &frame.level(single.0, single.1), 3)?,
            [single] => area.draw(&Circle::new(pixel(single), 4, color.filled()))?,
            _ => {
                let first = first(&run);
                let width = |place: usize| width(first + place).min(width(first + place + 1));
                for (piece, place) in series.look.dash.pieces(&points) {
                    // Piece by piece and layer by layer, joined where the width stays.
                    let mut from = 0;
                    for to in 1..piece.len() {
                        let here = width(place + to - 1);
                        if to + 1 == piece.len() || width(place + to) != here {
                            let part: Vec<_> = piece[from..=to].iter().map(pixel).collect();
                            area.draw(&PathElement::new(part, color.stroke_width(here)))?;
                            from = to;
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// About ten circles along a marked line, fewer where those of different cells would else stand at one layer.
fn circles(area: &Area, series: &Series, cell: usize, frame: &Frame) -> Drawn {
    for run in runs(&series.line) {
        let step = run.len().div_ceil(10).max(frame.cells.min(run.len() / 3)).max(1);
        let first = if run.len() > 1 { cell * step / frame.cells } else { 0 };
        for (layer, value) in run.iter().skip(first).step_by(step) {
            circle(area, &(frame.x(*layer, cell), frame.y(*value)), series.look.color)?;
        }
    }
    Ok(())
}

fn circle(area: &Area, at: &(f64, f64), color: RGBColor) -> Drawn {
    area.draw(&Circle::new(pixel(at), 4, WHITE.filled()))?;
    area.draw(&Circle::new(pixel(at), 4, color.stroke_width(2)))
}

pub fn label_left(area: &Area, text: &str, (x, y): (i32, i32), size: f64) -> Drawn {
    let font = (FAMILY, size).into_font().color(&GREY).pos(Pos::new(HPos::Right, VPos::Center));
    area.draw_text(text, &font, (x - 8, y))
}

/// Stretches between gaps.
pub fn runs<T: Copy>(line: &[(f64, Option<T>)]) -> Vec<Vec<(f64, T)>> {
    let mut found = vec![Vec::new()];
    for (layer, value) in line {
        match (value, found.last_mut()) {
            (Some(value), Some(run)) => run.push((*layer, *value)),
            _ => found.push(Vec::new()),
        }
    }
    found.retain(|run| !run.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::super::{png, style, svg};
    use super::*;
    use crate::result::{Cell, Direction, Quantity, SCHEMA, Summary, Verdict};
    use crate::spec::Experiment;

    /// A report of one cell, all of whose quantities have these medians and lower quantiles.
    fn report(medians: &[Option<f64>], low: &[Option<f64>]) -> Report {
        let quantiles = |median: Option<f64>, q05: Option<f64>| Quantiles {
            median,
            q05,
            q25: median,
            q75: median,
            q95: median.map(|m| m + 1.0),
            log10_of_mean: median,
        };
        let summary = |median, q05| Summary {
            mean: Some(0.0),
            log10_variance: quantiles(median, q05),
            log10_second_moment: quantiles(median, q05),
            zero_trials: 0,
            beyond_trials: 0,
            below_trials: 0,
            floor: None,
            trials: None,
            spread: None,
        };
        let layer = |(index, (median, q05)): (usize, (&Option<f64>, &Option<f64>))| Layer {
            drawing: None,
            position_correlation: None,
            rounding: crate::result::Rounding::Single,
            layer: index + 1,
            path: None,
            units: None,
            branch: false,
            kind: "linear".into(),
            fan_in: 8,
            fan_out: 8,
            preactivation: summary(*median, *q05),
            activation: summary(*median, *q05),
            gradient: summary(*median, *q05),
            weight_gradient: summary(*median, *q05),
            dead_fraction: 0.0,
            saturated_fraction: None,
            correlation: None,
            effective_rank: None,
            unit_symmetry: None,
            theory: None,
        };
        let direction = || Direction {
            quantity: Quantity::default(),
            log10_per_layer: None,
            ci95: None,
            log10_change: None,
            threshold: 1.0,
            verdict: Verdict::Stable,
        };
        let cell = Cell {
            stack: None,
            init: "he-normal".into(),
            act: "relu".into(),
            engine: crate::result::EngineUsed::Dense,
            engine_reason: String::new(),
            law: crate::result::Exactness::Exact,
            trials: 10,
            layers: medians.iter().zip(low).enumerate().map(layer).collect(),
            forward: direction(),
            backward: direction(),
            flags: Vec::new(),
            formats: Vec::new(),
            words: Vec::new(),
            baseline: None,
        };
        let spec = Experiment { init: vec!["he-normal".into()], ..Experiment::plain(medians.len(), 8) };
        Report {
            left_out: Vec::new(),
            schema: SCHEMA.into(),
            version: String::new(),
            spec,
            cells: vec![cell],
            interrupted: false,
            baseline: None,
        }
    }

    fn panel(report: &Report) -> Panel {
        logarithmic(
            report,
            &style::looks(&style::Grid::of(report)),
            "",
            every,
            |l| &l.activation.log10_variance,
            vec![],
            vec![],
        )
    }

    #[test]
    fn zeros_stand_at_the_layers_that_are_zero() {
        let medians = [None, Some(1.0), None, None, Some(2.0)];
        let panel = panel(&report(&medians, &[None; 5]));
        assert_eq!(panel.series[0].zeros, [1..=1, 3..=4]);
        assert_eq!(runs(&panel.series[0].line), [vec![(2.0, 1.0)], vec![(5.0, 2.0)]]);
    }

    #[test]
    fn a_band_does_not_end_where_its_lower_quantile_is_zero() {
        let panel = panel(&report(&[Some(1.0), Some(0.0), None], &[Some(-1.0), None, None]));
        let runs = runs(&panel.series[0].band);
        assert_eq!(runs, [vec![(1.0, (Some(-1.0), 2.0)), (2.0, (None, 1.0))]]);
    }

    #[test]
    fn an_empty_panel_has_no_scale_and_says_why() {
        let empty = svg(&report(&[None, None], &[None, None])).unwrap();
        assert_eq!(empty.matches("exactly 0 at every layer").count(), 3);
        let full = svg(&report(&[Some(0.0), Some(1.0)], &[Some(-1.0), Some(0.0)])).unwrap();
        assert!(!full.contains("exactly 0"));
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
            left: 0,
            right: 100,
            top: 0,
            foot: 100,
            bottom: 100,
            depth: 3,
            range: (-3.0, 3.0),
            cells: 2,
        };
        assert_eq!(panel.covers(&frame), [vec![0, 1, 1], vec![0, 0, 0]]);
    }

    #[test]
    fn names_with_control_characters_make_a_picture() {
        let mut report = report(&[Some(0.0), Some(1.0)], &[Some(-1.0), Some(0.0)]);
        report.spec.input = "a\u{1b}[31m<&>\u{0}.csv".into();
        report.cells[0].init = "数\u{7}".into();
        let svg = svg(&report).unwrap();
        assert!(!svg.contains(['\u{1b}', '\u{0}', '数']));
        assert!(png(&svg).is_ok());
    }
}
