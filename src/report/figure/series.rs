//! What a panel shows: the values of every line at each layer, or at each width.

use super::across::Across;
use super::axis::{Axis, layer_ticks};
use super::overlay::{TheoryCurve, expected, limits};
use super::page::PanelName;
use super::panel::{Panel, THIN};
use super::style::{Marker, Style};
use crate::activation::Activation;
use crate::measure::summary::BEYOND;
use crate::report::outline;
use crate::result::{Cell, Direction, FormatRange, Layer, Quantiles, Quantity, Summary, Theory};

/// More layers than this are thinned: a line cannot show more.
const MAX_POINTS: usize = 1000;
/// Of so many trials the band reaches from the least to the most; of more it holds the middle 90 %.
pub const FEW_TRIALS: usize = 3;

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
    /// Layers where the median is exactly zero, in stretches: the first and the last of each.
    pub zeros: Vec<(f64, f64)>,
    /// (layer, what double precision resolves there); `None` where the median is resolved or zero.
    pub floor: Vec<(f64, Option<f64>)>,
    /// Width of the line where nothing covers it.
    pub weight: f64,
    /// Along the line, where it has any.
    pub marker: Option<Marker>,
    /// At its end, where it has any.
    pub label: String,
}

impl Series {
    /// A line through points, without anything beside it.
    pub fn new(look: Style, line: Vec<(f64, Option<f64>)>) -> Self {
        Self {
            look,
            line,
            band: Vec::new(),
            marked: false,
            zeros: Vec::new(),
            floor: Vec::new(),
            weight: THIN,
            marker: None,
            label: String::new(),
        }
    }

    /// A thin line with circles, of a second quantity.
    pub fn marked(look: Style, line: Vec<(f64, Option<f64>)>) -> Self {
        Self { marked: true, weight: THIN - 1.0, ..Self::new(look, line) }
    }
}

/// A cell and how it is drawn.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    pub cell: &'a Cell,
    pub look: Style,
}

/// The layers that one line joins.
pub struct Line<'a> {
    pub look: Style,
    pub weight: f64,
    pub marker: Option<Marker>,
    pub label: String,
    /// With their places on the horizontal axis.
    pub layers: Vec<(usize, &'a Layer)>,
    /// Completed.
    pub trials: usize,
    /// Of the cell.
    pub act: &'a str,
}

impl<'a> Line<'a> {
    /// All layers of a cell.
    pub fn whole(shown: &Shown<'a>) -> Self {
        Self {
            look: shown.look,
            weight: THIN,
            marker: None,
            label: String::new(),
            layers: shown.cell.layers.iter().map(|l| (l.layer, l)).collect(),
            trials: shown.cell.trials,
            act: &shown.cell.act,
        }
    }

    /// Those of its layers that a panel shows.
    fn only(&self, drawn: fn(&Layer) -> bool) -> Vec<(usize, &'a Layer)> {
        self.layers.iter().copied().filter(|(_, layer)| drawn(layer)).collect()
    }
}

/// A quantity that spans decades.
pub struct Measured {
    pub name: PanelName,
    pub title: &'static str,
    pub drawn: fn(&Layer) -> bool,
    pub summary: fn(&Layer) -> &Summary,
    pub of: Quantity,
    pub theory: super::overlay::Pick,
    /// What the verdict says of it.
    pub direction: Option<fn(&Cell) -> &Direction>,
    /// Whether root mean square and mean square leave a format's range.
    pub leaves: fn(&FormatRange) -> (bool, bool),
}

/// The quantities that span decades.
pub const MEASURED: [Measured; 3] = [
    Measured {
        name: PanelName::Activation,
        title: "Activation variance, Var(H)",
        drawn: every,
        summary: |l| &l.activation,
        of: Quantity::Variance,
        theory: |t: &Theory| (t.activation_log10_variance, t.band, t.median),
        direction: Some(|cell| &cell.forward),
        leaves: |r| (r.activation.is_some(), false),
    },
    Measured {
        name: PanelName::Gradient,
        title: "Gradient variance, Var(∂C/∂Z)",
        drawn: every,
        summary: |l| &l.gradient,
        of: Quantity::Variance,
        theory: |t: &Theory| (t.gradient_log10_variance, t.gradient_band, t.gradient_median),
        direction: Some(|cell| &cell.backward),
        leaves: |r| (r.gradient.is_some(), r.squared_gradient.is_some()),
    },
    Measured {
        name: PanelName::WeightGradient,
        title: "Weight gradient, mean square of ∂C/∂W",
        drawn: weighted,
        summary: |l| &l.weight_gradient,
        of: Quantity::SecondMoment,
        theory: |t: &Theory| {
            (t.weight_gradient_log10_second_moment, t.weight_gradient_band, t.weight_gradient_median)
        },
        direction: None,
        leaves: |_| (false, false),
    },
];

impl Measured {
    /// The one of a panel; `None` of samples and units.
    pub fn of(name: PanelName) -> Option<&'static Self> {
        MEASURED.iter().find(|measured| measured.name == name)
    }
}

/// The points to draw: all, or so many that a line cannot show more.
pub fn thinned<T>(points: &[T]) -> impl Iterator<Item = &T> {
    let step = points.len().div_ceil(MAX_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    points.iter().enumerate().filter(move |(k, _)| k % step == 0 || *k == last).map(|(_, l)| l)
}

/// Every layer.
fn every(_: &Layer) -> bool {
    true
}

/// An activation follows: in a network not every layer has one.
pub fn activated(layer: &Layer) -> bool {
    layer.path.is_none() || layer.saturated_fraction.is_some()
}

/// A sum has no weights.
fn weighted(layer: &Layer) -> bool {
    !layer.is_sum()
}

/// Where a quantity ends within the range of what is measured.
fn within(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.abs() < BEYOND)
}

/// The ends of a band: the middle 90 % of many trials, the least and the most of few.
fn ends(q: &Quantiles, trials: usize) -> (Option<f64>, Option<f64>) {
    // Type 7 of Hyndman & Fan, solved for the ends.
    match (trials, q.q05, q.median, q.q95) {
        (2, Some(low), _, Some(high)) => {
            let beyond = 0.05 / 0.9 * (high - low);
            (Some(low - beyond), Some(high + beyond))
        }
        (FEW_TRIALS, Some(low), Some(median), Some(high)) => {
            (Some((low - 0.1 * median) / 0.9), Some((high - 0.1 * median) / 0.9))
        }
        (FEW_TRIALS, None, Some(median), Some(high)) => (None, Some((high - 0.1 * median) / 0.9)),
        _ => (q.q05, q.q95),
    }
}

/// One line of a quantity that spans decades.
fn drawn(line: &Line, measured: &Measured) -> Option<Series> {
    let layers = line.only(measured.drawn);
    if layers.is_empty() {
        return None;
    }
    let quantity = |l: &Layer| *(measured.summary)(l).log10(measured.of);
    // Of a layer without a median: rounding hides it, or it is zero.
    let floor = |l: &Layer| (measured.summary)(l).floor.filter(|_| quantity(l).median.is_none());
    let at = |place: usize| place as f64;
    let band = |(place, l): &(usize, &Layer)| {
        let (low, high) = ends(&quantity(l), line.trials);
        let inside = low.is_none() || within(low).is_some();
        (at(*place), within(high).filter(|_| inside).map(|high| (low, high)))
    };
    let mut zeros: Vec<(f64, f64)> = Vec::new();
    let mut joined = false;
    for (place, layer) in &layers {
        let zero = quantity(layer).median.is_none() && floor(layer).is_none();
        match zeros.last_mut().filter(|_| joined && zero) {
            Some(stretch) => stretch.1 = at(*place),
            None if zero => zeros.push((at(*place), at(*place))),
            None => {}
        }
        joined = zero;
    }
    let single = layers.len() == 1;
    // What is one layer has its own name where it stands outside of blocks.
    let name =
        layers.first().filter(|_| single && !line.label.is_empty()).and_then(|(_, l)| outline::alone(l));
    Some(Series {
        line: thinned(&layers).map(|(place, l)| (at(*place), within(quantity(l).median))).collect(),
        band: if line.trials > 1 { thinned(&layers).map(band).collect() } else { Vec::new() },
        zeros,
        floor: thinned(&layers).map(|(place, l)| (at(*place), floor(l))).collect(),
        weight: line.weight,
        marker: line.marker.or_else(|| (single && !line.label.is_empty()).then_some(Marker::Disc)),
        label: name.unwrap_or_else(|| line.label.clone()),
        ..Series::new(line.look, Vec::new())
    })
}

/// A panel of a quantity that spans decades.
pub fn logarithmic(
    lines: &[Line],
    cells: &[&Cell],
    title: String,
    measured: &Measured,
    (depth, across): (usize, Across),
) -> Panel {
    let quantity = |l: &Layer| (measured.summary)(l).log10(measured.of).median;
    let beyond = |line: &Line| {
        line.only(measured.drawn).iter().any(|(_, l)| quantity(l).is_some_and(|v| v.abs() >= BEYOND))
    };
    let series: Vec<Series> = lines.iter().filter_map(|line| drawn(line, measured)).collect();
    let theory: Vec<TheoryCurve> = expected(lines, measured.theory);
    let shown = values(&series);
    let mut panel = Panel {
        unmeasured: lines.iter().any(beyond),
        limits: limits(cells, measured.leaves),
        theory,
        ..Panel::new(title, series, depth, across)
    };
    panel.extent = extent(shown.iter().copied().chain(within_reach(&panel.theory, &shown)));
    panel.scale();
    panel
}

/// Adds what the verdict follows where that is another quantity than the panel's: a line with circles for each cell, at these places of
/// layers, with its name at the line where it stands among roles and in the title elsewhere.
pub fn with_judged(
    panel: Panel,
    shown: &[Shown],
    measured: &Measured,
    (place, among_roles): (&dyn Fn(usize) -> usize, bool),
) -> Panel {
    let Some(direction) = measured.direction else { return panel };
    let judged = |shown: &Shown| {
        let direction = direction(shown.cell);
        let name = name(direction.quantity).filter(|_| direction.quantity != measured.of)?;
        let points = thinned(&direction.judged).map(|p| (place(p.layer) as f64, within(p.log10)));
        let mut points: Vec<(f64, Option<f64>)> = points.collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Some((name, Series::marked(shown.look, points))).filter(|(_, series)| !series.line.is_empty())
    };
    let mut found: Vec<(&str, Series)> = shown.iter().filter_map(judged).collect();
    let Some((name, _)) = found.first() else { return panel };
    let name = *name;
    let title = if among_roles { panel.title } else { format!("{}; circles: {name}", panel.title) };
    if among_roles {
        found.iter_mut().for_each(|(_, series)| series.label = name.into());
    }
    let judged: Vec<Series> = found.into_iter().map(|(_, series)| series).collect();
    let shown = panel.extent.into_iter().flat_map(|(low, high)| [low, high]);
    let extent = extent(values(&judged).into_iter().chain(shown));
    let series = panel.series.into_iter().chain(judged).collect();
    let mut panel = Panel { title, series, extent, ..panel };
    panel.scale();
    panel
}

/// The least and the largest of these; `None` of none.
fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |ends: Option<(f64, f64)>, v| {
        Some(ends.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
    })
}

/// What the verdict follows, as a figure names it.
fn name(quantity: Quantity) -> Option<&'static str> {
    match quantity {
        Quantity::Variance => None,
        Quantity::SecondMoment => Some("mean square"),
        Quantity::SquaredNorm => Some("squared norm of a sample"),
        Quantity::RelativeGradient => Some("gradient × signal"),
    }
}

/// Everything that series show.
fn values(series: &[Series]) -> Vec<f64> {
    let of = |s: &Series| {
        let ends = s.band.iter().filter_map(|b| b.1).flat_map(|(low, high)| low.into_iter().chain([high]));
        s.line.iter().chain(&s.floor).filter_map(|p| p.1).chain(ends).collect::<Vec<_>>()
    };
    series.iter().flat_map(of).collect()
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

/// A bounded activation saturates; another can only die.
pub fn is_bounded(act: &str) -> bool {
    Activation::parse(act).is_ok_and(|act| act.shape.bounded)
}

/// The share of a layer's units that do not learn.
pub fn share(layer: &Layer, bounded: bool) -> Option<f64> {
    if bounded { layer.saturated_fraction } else { Some(layer.dead_fraction) }
}

/// Cosines of samples as lines, and dead or saturated units as circles, of whole cells.
pub fn samples(lines: &[Line], (depth, across): (usize, Across)) -> Panel {
    let mut series = Vec::new();
    let (mut dead, mut saturated) = (false, false);
    for line in lines {
        let bounded = is_bounded(line.act);
        saturated |= bounded;
        dead |= !bounded;
        let cosine = thinned(&line.layers).map(|(at, l)| (*at as f64, l.correlation)).collect();
        let units = thinned(&line.layers).filter(|(_, l)| activated(l));
        let units = units.map(|(at, l)| (*at as f64, share(l, bounded))).collect();
        series.extend([Series::new(line.look, cosine), Series::marked(line.look, units)]);
    }
    let units = match (dead, saturated) {
        (true, true) => "dead or saturated units",
        (false, true) => "saturated units",
        _ => "dead units",
    };
    let title = format!("Lines: mean cosine of samples; circles: {units}");
    let theory = expected(lines, |t| (t.correlation, None, None));
    let mut panel = Panel { theory, ..Panel::new(title, series, depth, across) };
    panel.share_scale();
    panel
}

/// Layers of the deepest cell.
pub fn depth(cells: &[&Cell]) -> usize {
    cells.iter().map(|c| c.layers.len()).max().unwrap_or(1)
}

/// The axis of a plain stack.
pub fn layers(depth: usize) -> Across {
    let ticks = layer_ticks(depth).into_iter().map(|layer| (layer as f64, layer.to_string()));
    Across::marks("layer", ticks.collect(), depth as f64)
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
            let one = if marked { Series::marked(cell.look, line) } else { Series::new(cell.look, line) };
            series.push(Series { band, ..one });
        }
    }
    let axis = Axis::decades(values(&series).into_iter());
    // Widths that are too close to be told apart have one label.
    let mut ticks: Vec<(f64, String)> = Vec::new();
    for width in widths {
        let at = place(*width);
        if ticks.last().is_none_or(|(before, _)| at - before > 0.08 * (count - 1) as f64) {
            ticks.push((at, width.to_string()));
        }
    }
    Panel { axis, ..Panel::new(title.into(), series, count, Across::marks("width", ticks, count as f64)) }
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
    use crate::result::{Report, SCHEMA, made};
    use crate::spec::Experiment;

    /// A report of one cell, all of whose quantities have these medians and lower quantiles.
    pub fn report(medians: &[Option<f64>], low: &[Option<f64>]) -> Report {
        let layer = |(index, (median, q05)): (usize, (&Option<f64>, &Option<f64>))| {
            let one = || made::summary(*median, *q05);
            let of = made::layer(index + 1);
            Layer { preactivation: one(), activation: one(), gradient: one(), weight_gradient: one(), ..of }
        };
        let cell = made::cell(medians.iter().zip(low).enumerate().map(layer).collect());
        let spec = Experiment { init: vec!["he-normal".into()], ..Experiment::plain(medians.len(), 8) };
        Report {
            left_out: Vec::new(),
            parameters: None,
            schema: SCHEMA.into(),
            version: String::new(),
            spec,
            cells: vec![cell],
            interrupted: false,
            baseline: None,
        }
    }

    pub fn panel(report: &Report) -> Panel {
        let looks = style::looks(&style::Grid::of(report));
        let shown: Vec<Shown> =
            report.cells.iter().zip(&looks).map(|(cell, look)| Shown { cell, look: *look }).collect();
        let lines: Vec<Line> = shown.iter().map(Line::whole).collect();
        let cells: Vec<&Cell> = report.cells.iter().collect();
        let depth = depth(&cells);
        logarithmic(&lines, &cells, String::new(), &MEASURED[0], (depth, layers(depth)))
    }

    #[test]
    fn zeros_stand_at_the_layers_that_are_zero() {
        let medians = [None, Some(1.0), None, None, Some(2.0)];
        let panel = panel(&report(&medians, &[None; 5]));
        assert_eq!(panel.series[0].zeros, [(1.0, 1.0), (3.0, 4.0)]);
        assert_eq!(runs(&panel.series[0].line), [vec![(2.0, 1.0)], vec![(5.0, 2.0)]]);
    }

    #[test]
    fn what_rounding_hides_is_not_zero() {
        let mut report = report(&[Some(-70.0), None, None], &[None; 3]);
        report.cells[0].layers[1].activation.floor = Some(-80.0);
        let panel = panel(&report);
        assert_eq!(panel.series[0].zeros, [(3.0, 3.0)]);
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
    fn the_band_of_few_trials_reaches_from_the_least_to_the_most() {
        let of = |values: &[f64]| {
            let logs: Vec<crate::numeric::wide::Wide> =
                values.iter().map(|v| crate::numeric::wide::Wide::from(10f64.powf(*v))).collect();
            ends(&crate::measure::summary::quantiles(&logs), values.len())
        };
        for values in [&[-3.0, 5.0][..], &[-3.0, 1.0, 5.0]] {
            let (low, high) = of(values);
            assert!((low.unwrap() + 3.0).abs() < 1e-9 && (high.unwrap() - 5.0).abs() < 1e-9);
        }
        assert!(of(&[-3.0, 0.0, 1.0, 5.0]).0.unwrap() > -3.0);
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
