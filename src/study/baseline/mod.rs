//! A run beside an earlier one: do both follow the same laws?
//!
//! Trials are independent; layers within a trial are not. So every test is of one number a trial, its mean over the trials
//! of either run tested by Welch's and Student's laws, and the tests share the chance of a false alarm by Bonferroni's bound, which
//! holds however they depend on each other. Tested are log₁₀ of variance and second moment at every layer (*levels*: a
//! change accumulates with depth, but so does the spread), and their change from layer to layer (*steps*: one layer alone),
//! and how many trials are exactly zero. The ends of the flow have a share of their own: there every change of a law shows, and the
//! spread is least or the change largest.

mod statistic;
mod words;

use crate::law::call::printable;
use crate::result::{
    Baseline, Cell, Comparison, Difference, Flag, Kind, Layer, Quantity, Recorded, Report, Sample, Summary,
};
use crate::simulate::Plan;
use crate::spec::Experiment;
use crate::spec::compare::differences;
use serde_json::Value;
use statistic::{Center, Outcome};

/// Chance of a false alarm a run, over all cells, layers and quantities.
pub const ALPHA: f64 = 1e-4;
/// Decades below which a difference is none: 0.46 % of a variance. Engines round differently, and so do processors.
pub const TOLERANCE: f64 = 0.002;

/// Why two runs cannot be compared.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
#[non_exhaustive]
pub enum Mismatch {
    #[error("it is of another experiment: {}", .0.join("; "))]
    Spec(Vec<String>),
    #[error("it has no cell of this run: its {what} {theirs}, this run's {ours}")]
    Cells { what: &'static str, theirs: String, ours: String },
    #[error("its cell {cell} has {found} layers where its depth is {depth}")]
    Layers { cell: String, found: usize, depth: usize },
    #[error("it holds no cells")]
    Empty,
    #[error("it has the cell {0} twice")]
    Twice(String),
    #[error("its cell {cell} holds what no run measures: {what}")]
    Impossible { cell: String, what: String },
}

/// What a spec may hold otherwise without another law: how the same law is drawn, how it is judged, and the cells' names.
const FREE: [&str; 6] = ["seed", "trials", "engine", "threshold", "init", "act"];

/// Which cells of two runs belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairing {
    /// (initializer, activation) of this run and the place of its counterpart in the baseline.
    pairs: Vec<((String, String), usize)>,
    /// Cells of this run alone.
    new: Vec<(String, String)>,
    /// Cells of the baseline alone.
    missing: Vec<(String, String)>,
}

/// Pairs the cells of a plan with those of an earlier result: by their names, or, where no initializer has a counterpart by
/// name and there are as many, by their order.
///
/// # Errors
/// When the experiments differ in more than seed, trials, engine, threshold and cells, or no cell has a counterpart.
pub fn pair(plan: &Plan, old: &Report) -> Result<Pairing, Mismatch> {
    if old.cells.is_empty() {
        return Err(Mismatch::Empty);
    }
    let differing = differing(&old.spec, &plan.experiment);
    if !differing.is_empty() {
        return Err(Mismatch::Spec(differing));
    }
    let depth = old.spec.depth;
    if let Some(cell) =
        old.cells.iter().find(|c| c.layers.len() != c.stack.map_or(depth, |stack| stack.depth))
    {
        let name = format!("{} × {}", cell.label(), cell.act);
        return Err(Mismatch::Layers { cell: name, found: cell.layers.len(), depth });
    }
    old.cells.iter().enumerate().try_for_each(|(place, cell)| sound(cell, &old.cells[..place]))?;
    let cells: Vec<(String, String)> =
        plan.cells.iter().map(|c| (c.label(), plan.act(c).name.clone())).collect();
    let ours = distinct(cells.iter().map(|c| c.0.as_str()));
    let labels: Vec<String> = old.cells.iter().map(Cell::label).collect();
    let theirs = distinct(labels.iter().map(String::as_str));
    let by_place = ours.len() == theirs.len() && !ours.iter().any(|name| theirs.contains(name));
    let mut found = Pairing::default();
    for (init, act) in &cells {
        let place = ours.iter().position(|name| name == init).filter(|_| by_place);
        let wanted = place.map_or(init.as_str(), |place| theirs[place]);
        match old.cells.iter().position(|c| c.label() == wanted && c.act == *act) {
            Some(counterpart) => found.pairs.push(((init.clone(), act.clone()), counterpart)),
            None => found.new.push((init.clone(), act.clone())),
        }
    }
    let paired = |k: &usize| found.pairs.iter().any(|p| p.1 == *k);
    let alone = (0..old.cells.len()).filter(|k| !paired(k));
    found.missing = alone.map(|k| (old.cells[k].init.clone(), old.cells[k].act.clone())).collect();
    if found.pairs.is_empty() {
        let acts = distinct(cells.iter().map(|c| c.1.as_str()));
        let their_acts = distinct(old.cells.iter().map(|c| c.act.as_str()));
        let shared = acts.iter().any(|name| their_acts.contains(name));
        let (what, theirs, ours) = match shared {
            true => ("initializers are", theirs.join(", "), ours.join(", ")),
            false => ("activations are", their_acts.join(", "), acts.join(", ")),
        };
        return Err(Mismatch::Cells { what, theirs, ours });
    }
    Ok(found)
}

/// More trials than this nobody runs.
const MOST_TRIALS: usize = 1_000_000_000;
/// Decades that no mean and no standard deviation of a logarithm leaves.
const MOST_DECADES: f64 = 1e18;

/// The cell is of no other's name, and its numbers are such as a run measures.
fn sound(cell: &Cell, before: &[Cell]) -> Result<(), Mismatch> {
    let name = || printable(&format!("{} × {}", cell.label(), cell.act));
    if before.iter().any(|other| other.label() == cell.label() && other.act == cell.act) {
        return Err(Mismatch::Twice(name()));
    }
    let fault = |what: String| Err(Mismatch::Impossible { cell: name(), what });
    if cell.trials == 0 || cell.trials > MOST_TRIALS {
        return fault(format!("{} trials", cell.trials));
    }
    for (layer, quantity) in cell.layers.iter().flat_map(|l| Recorded::ALL.iter().map(move |q| (l, q))) {
        let summary = quantity.of(layer);
        let at = || format!("{} of layer {}", quantity.name(), layer.layer);
        if summary.zero_trials > cell.trials || summary.below_trials > cell.trials {
            return fault(format!("more trials than there are in the {}", at()));
        }
        let Some(spread) = &summary.spread else { continue };
        let samples = [
            spread.log10_variance,
            spread.log10_second_moment,
            spread.step_log10_variance,
            spread.step_log10_second_moment,
        ];
        for sample in samples.into_iter().flatten() {
            let decades = sample.mean.abs() <= MOST_DECADES && (0.0..=MOST_DECADES).contains(&sample.sd);
            if !decades || sample.count > cell.trials {
                let Sample { mean, sd, count } = sample;
                return fault(format!("a spread of mean {mean}, sd {sd} and count {count} in the {}", at()));
            }
        }
    }
    Ok(())
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    names.for_each(|name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
    });
    seen
}

/// What differs between two specs beside what may, in words: `depth 50 there, 40 here`.
fn differing(old: &Experiment, new: &Experiment) -> Vec<String> {
    let text = |value: &Option<Value>| match value {
        None | Some(Value::Null) => "the initializer's own".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let found = differences(old, new);
    // With another depth the list of widths differs too, and says no more.
    let told = found
        .iter()
        .filter(|d| !FREE.contains(&d.field.as_str()) && (d.field != "widths" || old.depth == new.depth));
    told.map(|d| {
        let there_and_here = |what: &str| format!("{what} {} there, {} here", text(&d.earlier), text(&d.now));
        match (d.field.as_str(), d.index()) {
            ("net", _) => networks(old, new),
            ("widths", Some(0)) => there_and_here("input width"),
            ("widths", Some(layer)) => there_and_here(&format!("width of layer {layer}")),
            (field, _) => there_and_here(field),
        }
    })
    .collect()
}

/// Two networks that differ, by their names.
fn networks(old: &Experiment, new: &Experiment) -> String {
    let name = |e: &Experiment| match &e.net {
        None => "none".into(),
        Some(net) => net.name.clone().unwrap_or_else(|| "unnamed".into()),
    };
    match (name(old), name(new)) {
        (theirs, ours) if theirs == ours => format!("net {ours}, but its layers differ"),
        (theirs, ours) => format!("net {theirs} there, {ours} here"),
    }
}

/// Compares every cell of a run with its counterpart: adds [`Comparison`]s, the flag `drift` and words.
pub fn compare(report: &mut Report, old: &Report, pairing: &Pairing, file: &str) {
    let counterpart = |cell: &Cell| {
        let same = |p: &&((String, String), usize)| p.0.0 == cell.label() && p.0.1 == cell.act;
        pairing.pairs.iter().find(same).map(|p| &old.cells[p.1])
    };
    let units = report.cells.iter().flat_map(|c| &c.layers).map(Layer::units).min();
    let narrowest = report.spec.widths.iter().skip(1).min().copied().or(units).unwrap_or(1);
    let tests: Vec<Option<Vec<Test>>> =
        report.cells.iter().map(|cell| counterpart(cell).map(|old| tests(cell, old, narrowest))).collect();
    // Each class shares its part of the chance evenly over the whole run.
    let count = |class: Class| {
        tests.iter().flatten().flatten().filter(|t| t.class == class).count().max(1) as f64 / class.share()
    };
    let counts = [Class::End, Class::Inner, Class::Zeros].map(count);
    let corrected = |t: &Test| (t.outcome.p * counts[t.class as usize]).max(t.outcome.least).min(1.0);
    let comparisons: Vec<Option<Comparison>> = report
        .cells
        .iter()
        .zip(&tests)
        .map(|(cell, tests)| {
            let (tests, old) = (tests.as_ref()?, counterpart(cell)?);
            Some(comparison(cell, old, tests, &corrected))
        })
        .collect();
    for ((cell, found), tests) in report.cells.iter_mut().zip(comparisons).zip(&tests) {
        let Some(found) = found else { continue };
        let sharpest = tests
            .iter()
            .flatten()
            .filter(|t| t.class == Class::End && t.kind == Kind::Level)
            .filter_map(|t| Some((t.outcome.standard_error?, t)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let resolution = sharpest.and_then(|(_, t)| t.outcome.resolution(ALPHA / counts[0]));
        let old = counterpart(cell);
        cell.words.push(words::say(cell, old, &found, resolution));
        if found.drift {
            cell.flags.push(Flag::Drift);
        }
        cell.baseline = Some(found);
    }
    let names =
        |list: &[(String, String)]| list.iter().map(|(i, a)| printable(&format!("{i} × {a}"))).collect();
    report.baseline = Some(Baseline {
        file: printable(file),
        version: printable(&old.version),
        seed: old.spec.seed,
        new: names(&pairing.new),
        missing: names(&pairing.missing),
    });
}

fn comparison(cell: &Cell, old: &Cell, tests: &[Test], corrected: &dyn Fn(&Test) -> f64) -> Comparison {
    // What happens at the ends says more than what happens between them, where it is clear enough.
    let told = |t: &&Test| t.class != Class::Inner && corrected(t) < ALPHA;
    let at_ends = tests.iter().any(|t| told(&t));
    let clearest = tests.iter().filter(|t| !at_ends || told(t)).min_by(|a, b| {
        corrected(a).total_cmp(&corrected(b)).then(b.outcome.score.total_cmp(&a.outcome.score))
    });
    let p = clearest.map(corrected);
    let drift = p.is_some_and(|p| p < ALPHA);
    let like = |t: &&Test| {
        clearest.is_some_and(|c| (c.quantity, c.of, c.kind) == (t.quantity, t.of, t.kind))
            && corrected(t) < ALPHA
    };
    Comparison {
        init: (cell.init != old.init).then(|| printable(&old.init)),
        trials: old.trials,
        drift,
        p,
        alpha: ALPHA,
        clearest: clearest.map(|t| Difference {
            layer: t.layer,
            quantity: t.quantity,
            of: t.of,
            kind: t.kind,
            log10_ratio: t.outcome.difference,
            standard_error: t.outcome.standard_error,
            zero_trials: t.outcome.zeros,
            p: corrected(t),
        }),
        layers: tests.iter().filter(like).map(|t| t.layer).collect(),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Class {
    /// Levels at the first and the last layer of the flow, and the first step.
    End,
    /// All other levels and steps.
    Inner,
    /// Numbers of zeros.
    Zeros,
}

impl Class {
    /// Part of [`ALPHA`]. Student's law is an approximation, for log₁₀ of the variance of a narrow stack is skewed; so levels
    /// and steps share a tenth, and the rest covers what the approximation lacks. Barnard's test is exact.
    fn share(self) -> f64 {
        match self {
            Self::End | Self::Inner => 0.05,
            Self::Zeros => 0.5,
        }
    }
}

struct Test {
    layer: usize,
    quantity: Recorded,
    of: Quantity,
    kind: Kind,
    class: Class,
    outcome: Outcome,
}

/// Every test of a cell that can be done.
fn tests(new: &Cell, old: &Cell, narrowest: usize) -> Vec<Test> {
    let trials = (new.trials, old.trials);
    let last = new.layers.len().min(old.layers.len()).saturating_sub(1);
    let mut found = Vec::new();
    for quantity in Recorded::ALL.iter().copied() {
        for (index, (ours, theirs)) in new.layers.iter().zip(&old.layers).enumerate() {
            let (ours, theirs) = (quantity.of(ours), quantity.of(theirs));
            let place = if quantity.is_forward() { index } else { last - index };
            for of in [Quantity::Variance, Quantity::SecondMoment] {
                let mut add = |kind, class, outcome: Option<Outcome>| {
                    if let Some(outcome) = outcome {
                        found.push(Test { layer: index + 1, quantity, of, kind, class, outcome });
                    }
                };
                let ends = place == 0 || place == last;
                let class = if ends { Class::End } else { Class::Inner };
                add(Kind::Level, class, level(ours, theirs, of, trials));
                let class = if place == 1 { Class::End } else { Class::Inner };
                add(Kind::Step, class, step(ours, theirs, of));
                if ends && matches!(quantity, Recorded::Activation | Recorded::Gradient) {
                    let zeros = (zeros(ours, of, trials.0), zeros(theirs, of, trials.1));
                    let chance = (last + 1) as f64 * 0.5f64.powf(narrowest as f64);
                    add(Kind::Zeros, Class::Zeros, statistic::zeros(zeros, trials, chance));
                }
            }
        }
    }
    found
}

fn level(new: &Summary, old: &Summary, of: Quantity, trials: (usize, usize)) -> Option<Outcome> {
    let sample = |s: &Summary| {
        let spread = s.spread.as_ref()?;
        if of == Quantity::Variance { spread.log10_variance } else { spread.log10_second_moment }
    };
    match (new.spread.is_some(), old.spread.is_some()) {
        (true, true) => statistic::compare(&Center::mean(sample(new)?)?, &Center::mean(sample(old)?)?),
        // A mean and a median of one skewed law differ: like is compared with like.
        _ => {
            let ours = Center::median(new.log10(of), trials.0)?;
            statistic::compare(&ours, &Center::median(old.log10(of), trials.1)?)
        }
    }
}

fn step(new: &Summary, old: &Summary, of: Quantity) -> Option<Outcome> {
    let center = |s: &Summary| {
        let spread = s.spread.as_ref()?;
        let sample: Option<Sample> = if of == Quantity::Variance {
            spread.step_log10_variance
        } else {
            spread.step_log10_second_moment
        };
        Center::mean(sample?)
    };
    statistic::compare(&center(new)?, &center(old)?)
}

/// Trials that are exactly zero.
fn zeros(summary: &Summary, of: Quantity, trials: usize) -> usize {
    let spread = summary.spread.as_ref();
    match (of, spread) {
        (Quantity::Variance, _) => summary.zero_trials.min(trials),
        (_, Some(spread)) => {
            let rest = spread.log10_second_moment.map_or(0, |s| s.count);
            trials.saturating_sub(rest + summary.beyond_trials)
        }
        // Without a count, what the quantiles say of all or none.
        (_, None) if summary.log10_second_moment.q95.is_none() => trials,
        (_, None) => 0,
    }
}
