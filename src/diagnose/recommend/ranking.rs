//! The catalog for one network, by how far signal and gradient change: predicted, and measured on short simulations.

use super::Question;
use crate::diagnose::report::run_alone;
use crate::expectation::critical::CriticalPoint;
use crate::expectation::field::WeightMoments;
use crate::initializer::{Initializer, entries};
use crate::law::Law;
use crate::numeric::wide::Wide;
use crate::result::{Exactness, Flag};
use crate::simulate::{Control, Input, LayerPlan, Plan};
use crate::spec::{Engine, Experiment};
use crate::theory::prediction::{Level, Quantity, Setting, predict};
use crate::theory::stack::{InputMoments, Start, backward, forward};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Samples and trials of the measurement.
pub(super) const BATCH: usize = 16;
pub(super) const TRIALS: usize = 3;
/// Layers whose moments are integrated anew at most.
const EFFORT: usize = 300;
/// Operations that all measurements may take, some seconds of a core; drawn weights are for networks far below it.
const BUDGET: f64 = 1.2e11;
const DRAWN: f64 = 0.3 * BUDGET;

/// Decades from one end of the stack to the other, in the direction of flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Change {
    /// By theory, the median over trials; absent where theory has no number or the change is to exactly zero.
    pub predicted: Option<f64>,
    /// The median over trials; absent where it was not measured or is to exactly zero. Of a network what a verdict follows: that
    /// of a line through all places where it is larger.
    pub measured: Option<f64>,
}

impl Change {
    /// The larger size of the two.
    fn size(self) -> Option<f64> {
        [self.predicted, self.measured].into_iter().flatten().map(f64::abs).reduce(f64::max)
    }

    /// `10^−0.21 (predicted 10^−0.20)`.
    pub fn words(self) -> String {
        let power = |x: f64| format!("10^{:.2}", if x.abs() < 0.005 { 0.0 } else { x }).replace('-', "−");
        match (self.measured, self.predicted) {
            (Some(m), Some(p)) => format!("{} (predicted {})", power(m), power(p)),
            (Some(m), None) => power(m),
            (None, Some(p)) => format!("{} (predicted)", power(p)),
            (None, None) => "unknown".into(),
        }
    }
}

/// A law and every name that it goes by at these sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Row {
    /// In the catalog's order.
    pub names: Vec<String>,
    /// Short names of those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// It is what the user has.
    pub now: bool,
    /// Change of the signal's variance, first layer to last.
    pub forward: Change,
    /// Change of the gradient's variance, last layer to first; of the squared norm of a sample where layers differ in width.
    pub backward: Change,
    /// The largest size of these, in decades.
    pub score: Option<f64>,
    /// Both directions stay within the threshold, by all that is known of them.
    #[serde(alias = "keeps")]
    pub stable: bool,
    /// What else was found, as in `initdiag/1`.
    pub flags: Vec<Flag>,
    /// Whether products were drawn from the law itself, or from the Gaussian law of the same moments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub law: Option<Exactness>,
    /// Law of the weights at layer 1, in words.
    pub weights: String,
    /// Law of the biases at layer 1, in words.
    pub biases: String,
}

impl Row {
    /// Both directions are kept, and nothing was found that stops learning.
    pub fn is_sound(&self) -> bool {
        self.stable && !self.flags.iter().any(|flag| flag.stops_learning())
    }
}

/// The name under which a half-stable point is ranked.
pub fn half_stable_name(point: CriticalPoint) -> String {
    format!("critical(q={})", crate::law::short(point.q))
}

struct Candidate {
    names: Vec<String>,
    layers: Vec<LayerPlan>,
    now: bool,
    /// Decades forward and backward.
    predicted: (Option<f64>, Option<f64>),
}

/// The catalog as theory has it, and the simulation that measures as many of its laws as the budget allows.
pub(super) struct Ranking {
    candidates: usize,
    rows: Vec<Row>,
    /// What runs, and the rows that its cells belong to; or in words why nothing does.
    pub measurement: Result<(Plan, Vec<usize>), String>,
}

impl Ranking {
    /// Predicts every law, and chooses those that are measured.
    pub fn new(question: &Question, half: Option<CriticalPoint>) -> Self {
        let mut candidates = candidates(question, half);
        candidates.par_iter_mut().for_each(|candidate| {
            let laws: Option<Vec<WeightMoments>> = candidate.layers.iter().map(LayerPlan::moments).collect();
            candidate.predicted = laws.map_or((None, None), |laws| predicted(question, &laws));
        });
        let rows: Vec<Row> = candidates.iter().map(|c| row(question, c)).collect();
        let measurement = measurement(question, &candidates, &rows);
        Self { candidates: candidates.len(), rows, measurement }
    }

    /// Rows best first, and how they were measured.
    pub fn measured(self, question: &Question, control: &Control) -> (Vec<Row>, String) {
        let mut rows = self.rows;
        let words = match &self.measurement {
            Ok((plan, chosen)) => measure(plan, chosen, self.candidates, &mut rows, control),
            Err(why) => why.clone(),
        };
        let symmetric = |row: &Row| row.flags.contains(&Flag::SymmetricUnits);
        for row in &mut rows {
            let sizes = [row.forward.size(), row.backward.size()];
            let known = [row.forward, row.backward].iter().all(|c| c.size().is_some());
            row.score = if known { sizes.into_iter().flatten().reduce(f64::max) } else { None };
            let kept = |size: Option<f64>| size.is_some_and(|s| s <= question.threshold);
            row.stable = sizes.into_iter().all(kept) && !symmetric(row);
        }
        let score = |row: &Row| row.score.unwrap_or(f64::INFINITY);
        rows.sort_by(|a, b| symmetric(a).cmp(&symmetric(b)).then(score(a).total_cmp(&score(b))));
        (rows, words)
    }
}

fn experiment(question: &Question, init: Vec<String>, engine: Engine) -> Experiment {
    Experiment {
        depth: question.widths.len() - 1,
        widths: question.widths.to_vec(),
        act: vec![question.act.name.clone()],
        init,
        batch: BATCH,
        trials: TRIALS,
        seed: question.seed,
        engine,
        threshold: question.threshold,
        ..Experiment::plain(1, 1)
    }
}

fn candidates(question: &Question, half: Option<CriticalPoint>) -> Vec<Candidate> {
    let named = entries().filter(|e| e.not_dense.is_none()).map(|e| e.name.to_string());
    let mut found: Vec<Candidate> = Vec::new();
    for name in named.chain(half.map(half_stable_name)).chain([question.init.name.clone()]) {
        let Ok(init) = Initializer::parse(&name) else { continue };
        let now = init.name == question.init.name;
        let plan = Plan::new(&experiment(question, vec![init.name.clone()], Engine::Implicit), Input::Normal);
        let Some(cell) = plan.ok().and_then(|p| p.cells.into_iter().next()) else { continue };
        match found.iter_mut().find(|c| same(&c.layers, &cell.layers)) {
            Some(known) => {
                if !known.names.contains(&name) {
                    known.names.push(name);
                }
                known.now |= now;
            }
            None => {
                found.push(Candidate { names: vec![name], layers: cell.layers, now, predicted: (None, None) })
            }
        }
    }
    found
}

/// One law at every layer, to rounding.
fn same(a: &[LayerPlan], b: &[LayerPlan]) -> bool {
    a.iter().zip(b).all(|(x, y)| same_law(&x.weights, &y.weights) && same_law(&x.bias, &y.bias))
}

/// To rounding.
pub(super) fn same_law(x: &Law, y: &Law) -> bool {
    let close = |x: f64, y: f64| (x - y).abs() <= 1e-9 * x.abs().max(y.abs());
    match (x, y) {
        (x, y) if x.is_point_mass() && y.is_point_mass() => close(x.support().0, y.support().0),
        (Law::Normal { mean: a, std: s }, Law::Normal { mean: b, std: t }) => close(*a, *b) && close(*s, *t),
        (Law::Uniform { low: a, high: s }, Law::Uniform { low: b, high: t }) => {
            close(*a, *b) && close(*s, *t)
        }
        (
            Law::TruncatedNormal { mean: a, std: s, low: l, high: h },
            Law::TruncatedNormal { mean: b, std: t, low: m, high: i },
        ) => close(*a, *b) && close(*s, *t) && close(*l, *m) && close(*h, *i),
        (x, y) => x == y,
    }
}

/// Laws of weights and biases in words.
pub(super) fn words_of(weights: &Law, bias: &Law) -> (String, String) {
    let none = bias.is_point_mass() && bias.support().0 == 0.0;
    (weights.to_string(), if none { "0".into() } else { bias.to_string() })
}

/// Decades of the signal's variance, first layer to last, and of the gradient's, last to first. Of homogeneous activations the
/// median over trials; of others, whose scatter takes double integrals at every layer, what wide layers do.
pub(super) fn predicted(question: &Question, laws: &[WeightMoments]) -> (Option<f64>, Option<f64>) {
    let decades = |from: Option<f64>, to: Option<f64>| Some(to? - from?).filter(|x: &f64| x.is_finite());
    // Where layers differ in width a verdict follows the squared norm of a sample.
    let units = |law: &WeightMoments| law.fan_out.log10();
    let spread = laws.first().zip(laws.last()).map_or(0.0, |(first, last)| units(first) - units(last));
    let down = |from: Option<f64>, to: Option<f64>| decades(from, to).map(|change| change + spread);
    if question.act.shape.homogeneous {
        let expected = predict(question.act, laws, &Setting::normal(BATCH, laws[0].fan_in as usize), EFFORT);
        let [first, .., last] = expected.layers.as_slice() else { return (None, None) };
        let level =
            |q: &Quantity| q.variance.as_ref().filter(|_| expected.complete).and_then(Level::log10_median);
        return (
            decades(level(&first.activation), level(&last.activation)),
            down(level(&last.gradient), level(&first.gradient)),
        );
    }
    let layers = forward(question.act, laws, Start::Input(InputMoments::NORMAL), false, EFFORT);
    let flows = backward(&layers);
    let ([first, .., last], [bottom, .., top]) = (layers.as_slice(), flows.as_slice()) else {
        return (None, None);
    };
    if layers.len() < laws.len() {
        return (None, None);
    }
    let log = |x: Wide| x.log10_abs();
    (
        decades(log(first.output_variance(BATCH)), log(last.output_variance(BATCH))),
        down(log(top.square), log(bottom.square)),
    )
}

fn row(question: &Question, candidate: &Candidate) -> Row {
    let change = |predicted| Change { predicted, measured: None };
    let (forward, backward) = (change(candidate.predicted.0), change(candidate.predicted.1));
    let aliases = candidate.names.iter().filter_map(|n| entries().find(|e| e.name == n));
    let first = &candidate.layers[0];
    let (weights, biases) = words_of(&first.weights, &first.bias);
    Row {
        names: candidate.names.clone(),
        aliases: aliases.flat_map(|e| e.aliases.iter().map(|a| (*a).to_string())).collect(),
        now: candidate.now || candidate.names.contains(&question.init.name),
        forward,
        backward,
        score: None,
        stable: false,
        flags: Vec::new(),
        law: None,
        weights,
        biases,
    }
}

/// The simulation of as many laws as the budget allows: what the user has, then the best predicted.
fn measurement(
    question: &Question,
    candidates: &[Candidate],
    rows: &[Row],
) -> Result<(Plan, Vec<usize>), String> {
    let cost = |engine: Engine, name: &str| {
        let plan = Plan::new(&experiment(question, vec![name.to_string()], engine), Input::Normal);
        plan.map_or(f64::INFINITY, |p| p.cost())
    };
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let worst = |row: &Row| row.forward.size().zip(row.backward.size()).map_or(1e9, |(f, b)| f.max(b));
    order.sort_by(|a, b| rows[*b].now.cmp(&rows[*a].now).then(worst(&rows[*a]).total_cmp(&worst(&rows[*b]))));
    let drawn: f64 = candidates.iter().map(|c| cost(Engine::Auto, &c.names[0])).sum();
    let engine = if drawn <= DRAWN { Engine::Auto } else { Engine::Implicit };
    let (mut spent, mut chosen) = (0.0, Vec::new());
    for index in order {
        let next = cost(engine, &candidates[index].names[0]);
        if spent + next <= BUDGET || (chosen.is_empty() && next <= 4.0 * BUDGET) {
            spent += next;
            chosen.push(index);
        }
    }
    if chosen.is_empty() {
        return Err("nothing was measured: one short simulation of so large a network takes too long".into());
    }
    let names = chosen.iter().map(|i| candidates[*i].names[0].clone()).collect();
    let plan = Plan::new(&experiment(question, names, engine), Input::Normal);
    plan.map(|plan| (plan, chosen)).map_err(|_| "nothing was measured".into())
}

/// Fills what was measured into the rows. Says how.
fn measure(plan: &Plan, chosen: &[usize], all: usize, rows: &mut [Row], control: &Control) -> String {
    let Ok(report) = run_alone(plan, control) else { return "nothing was measured: no threads".into() };
    for (index, cell) in chosen.iter().zip(&report.cells) {
        let row = &mut rows[*index];
        row.forward.measured = cell.forward.log10_change.filter(|x| x.is_finite());
        row.backward.measured = cell.backward.log10_change.filter(|x| x.is_finite());
        // A measured zero outweighs what theory has for wide layers.
        for (change, direction) in [(&mut row.forward, &cell.forward), (&mut row.backward, &cell.backward)] {
            if direction.log10_change.is_none() {
                change.predicted = None;
            }
        }
        row.flags = cell.flags.clone();
        row.law = Some(cell.law);
    }
    let share =
        if chosen.len() == all { "every law".into() } else { format!("{} of {all} laws", chosen.len()) };
    let engine = if plan.experiment.engine == Engine::Auto { "exact" } else { "implicit" };
    format!("{share}, {TRIALS} trials, batch {BATCH}, {engine} engine")
}
