//! What a panel shows: the values of every cell at each layer, or at each width.

use super::axis::{Axis, layer_ticks};
use super::overlay::{Limit, TheoryCurve, expected, limits};
use super::panel::Panel;
use super::style::Style;
use crate::activation::Activation;
use crate::measure::summary::BEYOND;
use crate::result::{Layer, Quantity, Report, Summary};
use std::ops::RangeInclusive;

/// More layers than this are thinned: a line cannot show more.
const MAX_POINTS: usize = 1000;

/// Lower and upper quantile; the lower is `None` where it is zero.
pub type Ends = (Option<f64>, f64);

/// One value a layer, or a gap.
pub struct Series {
    pub look: Style,
    /// (layer, value); `None` where there is none to draw.
    pub line: Vec<(f64, Option<f64>)>,
    /// (layer, its ends), `None` where both quantiles are zero.
    pub band: Vec<(f64, Option<Ends>)>,
    /// Small circles along a thin line: a second quantity of the same cell.
    pub marked: bool,
    /// Layers where the median is exactly zero, in stretches.
    pub zeros: Vec<RangeInclusive<usize>>,
    /// (layer, what double precision resolves there); `None` where the median is resolved or zero.
    pub floor: Vec<(f64, Option<f64>)>,
    /// Layers within residual branches, which not every signal passes: not joined by the line.
    pub dots: Vec<(f64, f64)>,
}

/// The four panels.
pub const KINDS: [fn(&Report, &[Style]) -> Panel; 4] = [
    |report, looks| {
        let title = "a · Activation variance, Var(H)";
        let theory = expected(report, looks, |t| (t.activation_log10_variance, t.band, t.median));
        let limits = limits(report, |r| (r.activation.is_some(), false));
        logarithmic(report, looks, title, every, (|l| &l.activation, Quantity::Variance), theory, limits)
    },
    |report, looks| {
        let title = "b · Gradient variance, Var(∂C/∂Z)";
        let theory =
            expected(report, looks, |t| (t.gradient_log10_variance, t.gradient_band, t.gradient_median));
        let limits = limits(report, |r| (r.gradient.is_some(), r.squared_gradient.is_some()));
        logarithmic(report, looks, title, every, (|l| &l.gradient, Quantity::Variance), theory, limits)
    },
    |report, looks| {
        let title = "c · Weight gradient, mean square of ∂C/∂W";
        let theory = expected(report, looks, |t| {
            (t.weight_gradient_log10_second_moment, t.weight_gradient_band, t.weight_gradient_median)
        });
        logarithmic(
            report,
            looks,
            title,
            weighted,
            (|l| &l.weight_gradient, Quantity::SecondMoment),
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

/// A sum has no weights.
fn weighted(layer: &Layer) -> bool {
    !matches!(layer.kind.as_str(), "residual" | "add")
}

fn logarithmic(
    report: &Report,
    looks: &[Style],
    title: &str,
    drawn: fn(&Layer) -> bool,
    (summary, of): (fn(&Layer) -> &Summary, Quantity),
    theory: Vec<TheoryCurve>,
    limits: Vec<Limit>,
) -> Panel {
    let mut series = Vec::new();
    let mut unmeasured = false;
    for (cell, look) in report.cells.iter().zip(looks) {
        let layers: Vec<Layer> = cell.layers.iter().filter(|l| drawn(l)).cloned().collect();
        let quantity = |l: &Layer| *summary(l).log10(of);
        let shown = |value: Option<f64>| value.filter(|value| value.abs() < BEYOND);
        unmeasured |= layers.iter().any(|l| quantity(l).median.is_some_and(|value| value.abs() >= BEYOND));
        // Of a layer without a median: rounding hides it, or it is zero.
        let floor = |l: &Layer| summary(l).floor.filter(|_| quantity(l).median.is_none());
        if layers.is_empty() {
            continue;
        }
        let trunk = layers.iter().any(|l| !l.branch);
        // Without the sums, what is left of the trunk beside branches is no path.
        let path = trunk && (layers.len() == cell.layers.len() || !layers.iter().any(|l| l.branch));
        let joined = |l: &&Layer| path && !l.branch || !trunk;
        let line =
            thinned(&layers).filter(joined).map(|l| (l.layer as f64, shown(quantity(l).median))).collect();
        let ends = |l: &Layer| {
            let low = quantity(l).q05;
            let within = low.is_none() || shown(low).is_some();
            (l.layer as f64, shown(quantity(l).q95).filter(|_| within).map(|high| (low, high)))
        };
        let band = match cell.trials {
            1 => Vec::new(),
            _ => thinned(&layers).filter(joined).map(ends).collect(),
        };
        let apart = thinned(&layers).filter(|l| !joined(l));
        let dots = apart.filter_map(|l| shown(quantity(l).median).map(|x| (l.layer as f64, x))).collect();
        let mut zeros: Vec<RangeInclusive<usize>> = Vec::new();
        let zero = |l: &&Layer| quantity(l).median.is_none() && floor(l).is_none();
        for layer in layers.iter().filter(zero).map(|l| l.layer) {
            match zeros.last_mut() {
                Some(stretch) if *stretch.end() + 1 == layer => *stretch = *stretch.start()..=layer,
                _ => zeros.push(layer..=layer),
            }
        }
        let floor = thinned(&layers).map(|l| (l.layer as f64, floor(l))).collect();
        series.push(Series { look: *look, line, band, marked: false, zeros, floor, dots });
    }
    let values = series.iter().flat_map(|s| {
        let ends = s.band.iter().filter_map(|b| b.1).flat_map(|(low, high)| low.into_iter().chain([high]));
        let line = s.line.iter().chain(&s.floor).filter_map(|p| p.1);
        line.chain(s.dots.iter().map(|d| d.1)).chain(ends)
    });
    let measured: Vec<f64> = values.collect();
    let axis = Axis::decades(measured.iter().copied().chain(within_reach(&theory, &measured)));
    let depth = depth(report);
    let ticks = layers(depth);
    Panel { title: title.into(), series, axis, depth, ticks, across: "layer", theory, limits, unmeasured }
}

/// Gives theory where something is measured, as far as it leaves the measurement room on the scale: farther away it is cut.
fn within_reach(theory: &[TheoryCurve], measured: &[f64]) -> Vec<f64> {
    const DECADES: f64 = 10.0;
    let (low, high) =
        measured.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |r, v| (r.0.min(*v), r.1.max(*v)));
    if low > high {
        return Vec::new();
    }
    let reach = (high - low).max(DECADES);
    let values = theory.iter().flat_map(|t| t.line.iter().filter_map(|p| p.1));
    values.map(|v| v.clamp(low - reach, high + reach)).collect()
}

fn shares(report: &Report, looks: &[Style]) -> Panel {
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
                floor: Vec::new(),
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
        depth: depth(report),
        ticks: layers(depth(report)),
        across: "layer",
        theory: expected(report, looks, |t| (t.correlation, None, None)),
        limits: Vec::new(),
        unmeasured: false,
    }
}

/// Layers of the deepest cell.
fn depth(report: &Report) -> usize {
    report.cells.iter().map(|c| c.layers.len()).max().unwrap_or(report.spec.depth)
}

fn layers(depth: usize) -> Vec<(f64, String)> {
    layer_ticks(depth).into_iter().map(|layer| (layer as f64, layer.to_string())).collect()
}

/// One quantity of one cell at several widths: at the last layer a line, at the first one with circles.
pub struct AgainstWidth<'a> {
    pub look: Style,
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
            series.push(Series {
                look: cell.look,
                line,
                band,
                marked,
                zeros: Vec::new(),
                floor: Vec::new(),
                dots: Vec::new(),
            });
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
    let title = title.into();
    Panel { title, series, axis, depth: count, ticks, across: "width", theory, limits, unmeasured: false }
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
pub mod tests {
    use super::super::{png, style, svg};
    use super::*;
    use crate::result::{Cell, Direction, Quantiles, SCHEMA, Verdict};
    use crate::spec::Experiment;

    /// A report of one cell, all of whose quantities have these medians and lower quantiles.
    pub fn report(medians: &[Option<f64>], low: &[Option<f64>]) -> Report {
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
            jacobian: None,
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

    pub fn panel(report: &Report) -> Panel {
        logarithmic(
            report,
            &style::looks(&style::Grid::of(report)),
            "",
            every,
            (|l| &l.activation, Quantity::Variance),
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
    fn what_rounding_hides_is_not_zero() {
        let mut report = report(&[Some(-70.0), None, None], &[None; 3]);
        report.cells[0].layers[1].activation.floor = Some(-80.0);
        let panel = panel(&report);
        assert_eq!(panel.series[0].zeros, [3..=3]);
        assert_eq!(runs(&panel.series[0].floor), [vec![(2.0, -80.0)]]);
        assert!(panel.axis.range.0 <= -80.0);
        assert!(svg(&report).contains("hidden by rounding"));
    }

    #[test]
    fn a_band_does_not_end_where_its_lower_quantile_is_zero() {
        let panel = panel(&report(&[Some(1.0), Some(0.0), None], &[Some(-1.0), None, None]));
        let runs = runs(&panel.series[0].band);
        assert_eq!(runs, [vec![(1.0, (Some(-1.0), 2.0)), (2.0, (None, 1.0))]]);
    }

    #[test]
    fn an_empty_panel_has_no_scale_and_says_why() {
        let empty = svg(&report(&[None, None], &[None, None]));
        assert_eq!(empty.matches("exactly 0 at every layer").count(), 3);
        let full = svg(&report(&[Some(0.0), Some(1.0)], &[Some(-1.0), Some(0.0)]));
        assert!(!full.contains("exactly 0"));
    }

    #[test]
    fn names_with_control_characters_make_a_picture() {
        let mut report = report(&[Some(0.0), Some(1.0)], &[Some(-1.0), Some(0.0)]);
        report.spec.input = "a\u{1b}[31m<&>\u{0}.csv".into();
        report.cells[0].init = "数\u{7}".into();
        let svg = svg(&report);
        assert!(!svg.contains(['\u{1b}', '\u{0}', '数']));
        assert!(png(&svg).is_ok());
    }

    #[test]
    fn values_far_off_the_scale_make_a_small_picture() {
        let far =
            report(&[Some(0.0), Some(3.47e17), Some(-1e300), None], &[Some(f64::MIN), None, None, None]);
        let svg = svg(&far);
        let shapes = svg.split_once("</style>").map_or("", |both| both.1);
        assert!(!shapes.contains("NaN") && !shapes.contains("inf") && shapes.len() < 30_000, "{shapes}");
        assert!(png(&svg).is_ok());
    }
}
