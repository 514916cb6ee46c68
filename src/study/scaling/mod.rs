//! How signal and gradient scale with width: one experiment at several widths of its hidden layers, and an exponent for
//! every quantity at every layer. The coordinate check of Yang & Hu (2021) before the first step, as numbers.
//!
//! The input keeps its width, as data do. Exponents are of mean squares: an entry's typical size has half of them.

mod fit;
pub(crate) mod words;

pub use fit::Fit;

use crate::diagnose::verdict::direction::slope;
use crate::result::{Cell, EngineUsed, Exactness, Layer, Recorded, Report, Summary};
use crate::spec::Experiment;
use serde::{Deserialize, Serialize};

/// Name and version of the JSON schema.
pub const SCHEMA: &str = "initdiag-widths/1";
/// An exponent of a mean square within ±this is none: a factor of 1.15 for twice the width.
pub const TOLERANCE: f64 = 0.2;
/// Fewest widths: two are always on a line.
pub const FEWEST: usize = 3;
/// What `--fail-on` calls a cell of which something scales with width.
pub const UNSTABLE: &str = "width-unstable";

/// The result of a sweep over widths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Scaling {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of initdiag that wrote it.
    pub version: String,
    /// Everything needed to run it again.
    pub spec: Sweep,
    /// [`TOLERANCE`].
    pub tolerance: f64,
    /// In the order of the grid.
    pub cells: Vec<ScalingCell>,
    /// The run was stopped before its end; widths that were not complete are left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
}

/// An experiment at several widths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// What all widths share; its own `widths` are empty.
    #[serde(flatten)]
    pub experiment: Experiment,
    /// Width of the input at every width of the layers.
    pub input_width: usize,
    /// Units of every layer, ascending.
    pub hidden_widths: Vec<usize>,
}

impl Sweep {
    /// The experiment at one width.
    pub fn at(&self, width: usize) -> Experiment {
        let mut widths = vec![width; self.experiment.depth + 1];
        widths[0] = self.input_width;
        Experiment { widths, ..self.experiment.clone() }
    }
}

/// One initializer with one activation at every width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScalingCell {
    /// The initializer.
    pub init: String,
    /// The activation.
    pub act: String,
    /// The engine that each width took.
    pub engine: Vec<EngineUsed>,
    /// Whether that engine drew from the law that was asked for, at each width.
    pub law: Vec<Exactness>,
    /// First to last.
    pub layers: Vec<ScalingLayer>,
    /// Robust slope of the exponents of activations against the layer; `None` where one is missing.
    pub forward_per_layer: Option<f64>,
    /// Robust slope of the exponents of gradients, from the last layer to the first.
    pub backward_per_layer: Option<f64>,
    /// Nothing scales with width at the first and the last layer; `None` where an interval is too wide to tell.
    pub stable: Option<bool>,
    /// The verdict in words.
    pub words: Vec<String>,
}

/// Exponents at a layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScalingLayer {
    /// 1-based.
    pub layer: usize,
    /// Z = W·H + b.
    pub preactivation: Exponent,
    /// H = φ(Z).
    pub activation: Exponent,
    /// With respect to the pre-activation.
    pub gradient: Exponent,
    /// With respect to the weights.
    pub weight_gradient: Exponent,
}

impl ScalingLayer {
    /// All four, with their names.
    pub fn quantities(&self) -> [(Recorded, &Exponent); 4] {
        [
            (Recorded::Preactivation, &self.preactivation),
            (Recorded::Activation, &self.activation),
            (Recorded::Gradient, &self.gradient),
            (Recorded::WeightGradient, &self.weight_gradient),
        ]
    }
}

/// How one quantity at one layer scales with width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exponent {
    /// a in mean square ∝ widthᵃ; `None` where it is zero at some width.
    pub exponent: Option<f64>,
    /// Its 95 % interval, see [`Fit`].
    pub ci95: Option<[f64; 2]>,
    /// The interval lies within ±[`TOLERANCE`], or outside of it; `None` where it straddles an end.
    pub stable: Option<bool>,
    /// Largest distance of a width from the line, in decades.
    pub misfit: Option<f64>,
    /// log₁₀ of the mean square, mean over trials, of each width; `None` for zero.
    pub log10_mean_square: Vec<Option<f64>>,
    /// Its standard error; `None` for a single trial.
    pub standard_error: Vec<Option<f64>>,
}

/// Fits every quantity of the reports of one sweep, one report a width.
pub fn scaling(spec: Sweep, reports: &[Report], interrupted: bool) -> Scaling {
    let cells = reports.first().map_or(0, |r| r.cells.len());
    let cells = (0..cells).map(|k| {
        let cells: Vec<&Cell> = reports.iter().filter_map(|r| r.cells.get(k)).collect();
        cell(&spec, &cells)
    });
    Scaling {
        schema: SCHEMA.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        cells: cells.collect(),
        spec,
        tolerance: TOLERANCE,
        interrupted,
    }
}

fn cell(spec: &Sweep, cells: &[&Cell]) -> ScalingCell {
    let depth = cells.iter().map(|c| c.layers.len()).min().unwrap_or(0);
    let layers: Vec<ScalingLayer> = (0..depth)
        .map(|index| {
            let of = |quantity: fn(&Layer) -> &Summary| {
                let summaries: Vec<_> =
                    cells.iter().map(|c| (quantity(&c.layers[index]), c.trials)).collect();
                exponent(&spec.hidden_widths, &summaries)
            };
            ScalingLayer {
                layer: index + 1,
                preactivation: of(|l| &l.preactivation),
                activation: of(|l| &l.activation),
                gradient: of(|l| &l.gradient),
                weight_gradient: of(|l| &l.weight_gradient),
            }
        })
        .collect();
    let ends = [layers.first(), layers.last()];
    let verdicts: Vec<Option<bool>> = ends
        .iter()
        .flatten()
        .flat_map(|layer| layer.quantities())
        .map(|(_, exponent)| exponent.stable)
        .collect();
    // A robust line, for the first and the last layer often have a law or a shape of their own.
    let per_layer = |of: fn(&ScalingLayer) -> &Exponent| {
        slope(&layers.iter().map(|l| of(l).exponent).collect::<Option<Vec<f64>>>()?)
    };
    let mut found = ScalingCell {
        init: cells.first().map_or(String::new(), |c| c.init.clone()),
        act: cells.first().map_or(String::new(), |c| c.act.clone()),
        engine: cells.iter().map(|c| c.engine).collect(),
        law: cells.iter().map(|c| c.law).collect(),
        forward_per_layer: per_layer(|l| &l.activation),
        backward_per_layer: per_layer(|l| &l.gradient).map(|slope| -slope),
        stable: if verdicts.contains(&Some(false)) {
            Some(false)
        } else {
            verdicts.iter().all(|v| *v == Some(true)).then_some(true)
        },
        layers,
        words: Vec::new(),
    };
    found.words = words::say(&found);
    found
}

fn exponent(widths: &[usize], summaries: &[(&Summary, usize)]) -> Exponent {
    let points: Vec<Option<Point>> = summaries.iter().map(|(s, trials)| Point::of(s, *trials)).collect();
    let whole: Option<Vec<(f64, Point)>> =
        widths.iter().zip(&points).map(|(w, p)| Some(((*w as f64).log10(), (*p)?))).collect();
    let fit = whole.and_then(|points| Fit::through(&points));
    let stable = fit.as_ref().and_then(|f| f.ci95).and_then(|[low, high]| {
        let within = |x: f64| x.abs() <= TOLERANCE;
        if within(low) && within(high) {
            Some(true)
        } else {
            (low > TOLERANCE || high < -TOLERANCE).then_some(false)
        }
    });
    Exponent {
        exponent: fit.as_ref().map(|f| f.exponent),
        ci95: fit.as_ref().and_then(|f| f.ci95),
        stable,
        misfit: fit.as_ref().map(|f| f.misfit),
        log10_mean_square: points.iter().map(|p| p.map(|p| p.value)).collect(),
        standard_error: points.iter().map(|p| p.and_then(|p| p.error)).collect(),
    }
}

/// log₁₀ of a mean over trials.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The logarithm.
    pub value: f64,
    /// Its standard error; `None` for a single trial.
    pub error: Option<f64>,
    /// Trials less one.
    pub freedom: usize,
}

impl Point {
    /// The mean of what spreads as a log-normal law, as deep narrow stacks do (Hanin & Nica 2019): with mean m and standard
    /// deviation s of log₁₀ over the trials, m + s²·ln 10/2. The median alone falls with depth/width, and that would look
    /// like an exponent. Trials that are zero lower the mean by their share. The standard error is
    /// √(s²/T + (ln 10/2)²·2s⁴/(T − 1)).
    fn of(summary: &Summary, trials: usize) -> Option<Self> {
        let sample = summary.spread.as_ref()?.log10_second_moment?;
        let half = 0.5 * std::f64::consts::LN_10;
        let square = sample.sd * sample.sd;
        let count = sample.count as f64;
        let error = (square / count + 2.0 * (half * square).powi(2) / (count - 1.0)).sqrt();
        Some(Self {
            value: sample.mean + half * square + (count / trials as f64).log10(),
            error: (sample.count > 1).then_some(error),
            freedom: sample.count - 1,
        })
    }
}
