//! Which initializer for a network: the critical point, one-sided gains, what the user has now, a ranking of the catalog by
//! prediction and by measurement, and the code that sets the choice. Schema `initdiag-recommend/1`.

mod code;
mod current;
mod network;
mod position;
mod ranking;

pub use code::{Code, Family, Fan, Recipe};
pub use current::Current;
pub use network::{Network, Survey};
use ranking::Ranking;
pub use ranking::{Change, Row};

use crate::activation::Activation;
use crate::expectation::critical::{self, CriticalPoint};
use crate::expectation::{second_moment, squared_slope};
use crate::initializer::Initializer;
use crate::law::call::CatalogError;
use crate::numeric::quadrature::expectation;
use crate::simulate::{Control, Plan};
use serde::{Deserialize, Serialize};

/// Name and version of the JSON schema.
pub const SCHEMA: &str = "initdiag-recommend/1";

/// A critical point at a larger variance than this is named, but not counted: most units of a bounded activation are
/// saturated there, and inputs of unit variance are far from it.
const PRACTICAL: f64 = 10.0;

/// What was asked.
pub struct Question<'a> {
    /// Behind every layer.
    pub act: &'a Activation,
    /// The input's width, then each layer's; none of a network, see [`Survey`].
    pub widths: &'a [usize],
    /// What the user has.
    pub init: &'a Initializer,
    /// The user named it, or the network does: it is the answer where nothing is wrong with it.
    pub own: bool,
    /// Decades that signal and gradient may change by over the whole stack.
    pub threshold: f64,
    /// Seed of the simulation.
    pub seed: u64,
}

/// A point at which χ₁ = 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Critical {
    /// fan_in·Var(W).
    pub sigma_w2: f64,
    /// Var(b).
    pub sigma_b2: f64,
    /// The variance of Z that they keep; of a homogeneous activation every one, and 1 stands for it.
    pub q_star: f64,
}

impl From<CriticalPoint> for Critical {
    fn from(p: CriticalPoint) -> Self {
        Self { sigma_w2: p.sigma_w2, sigma_b2: p.sigma_b2, q_star: p.q }
    }
}

/// The choice, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Choice {
    /// As `--init` takes it.
    pub init: String,
    /// As `--set` takes them: laws of single parameters beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// Law of weights and biases, a formula of the fans.
    pub law: String,
    /// Both directions stay within the threshold.
    #[serde(alias = "keeps")]
    pub stable: bool,
    /// In words.
    pub why: String,
}

/// The answer. All numbers are finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Recommendation {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of initdiag that wrote it.
    pub version: String,
    /// The activation by its full name, or the expression as the user wrote it.
    pub act: String,
    /// The network, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<Network>,
    /// Layers; of a network the places that every signal passes and a run records.
    pub depth: usize,
    /// The input's width, then each layer's; one number where all are equal, and none of a network.
    pub widths: Vec<usize>,
    /// Decades that count as kept.
    pub threshold: f64,
    /// The critical point at q = 1, or the nearest practical one beyond.
    pub critical: Option<Critical>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical_why: Option<String>,
    /// The first legal point of a critical line that begins where it is of no use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_legal: Option<Critical>,
    /// Where lengths are kept to first order too (Roberts, Yaida & Hanin 2022, § 5.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_stable: Option<Critical>,
    /// dq′/dq of the length map at `critical`; above 1, lengths leave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical_length_slope: Option<f64>,
    /// σ_w with σ_w² E φ² = 1 at q = 1: keeps the signal's mean square.
    pub gain_forward: Option<f64>,
    /// σ_w with σ_w² E φ′² = 1 at q = 1: keeps the gradient's.
    pub gain_backward: Option<f64>,
    /// Their geometric mean: both directions change by the same factor, one up and one down.
    pub gain_compromise: Option<f64>,
    /// What the user has.
    pub now: Current,
    /// What to take.
    pub recommended: Choice,
    /// The catalog, best first.
    pub ranking: Vec<Row>,
    /// Trials, batch and engine of the measurements, in words.
    pub measured: String,
    /// Lines that set the choice.
    pub code: Code,
}

/// Critical points of an activation, sought once.
#[derive(Clone, Copy)]
struct Points {
    /// At q = 1, or the nearest beyond.
    nearest: Option<CriticalPoint>,
    /// Where lengths are kept to first order too.
    half: Option<CriticalPoint>,
}

impl Points {
    fn of(act: &Activation) -> Self {
        Self { nearest: critical::nearest_to_unit_variance(act), half: critical::half_stable(act) }
    }

    /// The critical point that is of use.
    fn practical(self) -> Option<CriticalPoint> {
        self.nearest.filter(|p| p.q <= PRACTICAL)
    }
}

/// What theory says of a plain stack, and the simulations that are to be compared with it, ready to run.
pub struct StackSurvey<'a> {
    question: Question<'a>,
    points: Points,
    now: Current,
    ranking: Ranking,
}

impl<'a> StackSurvey<'a> {
    /// Predicts the whole catalog.
    ///
    /// # Errors
    /// Where the user's initializer has no law at some layer.
    pub fn new(question: Question<'a>) -> Result<Self, CatalogError> {
        let now = current::current(&question)?;
        let points = Points::of(question.act);
        let ranking = Ranking::new(&question, points.half);
        Ok(Self { question, points, now, ranking })
    }

    /// What runs; `None` where one simulation of so large a stack would take too long.
    pub fn plan(&self) -> Option<&Plan> {
        self.ranking.measurement.as_ref().ok().map(|(plan, _)| plan)
    }

    /// Simulates, ranks and chooses.
    pub fn answer(self, control: &Control) -> Recommendation {
        let Self { question, points, mut now, ranking } = self;
        let (ranking, measured) = ranking.measured(&question, control);
        if let Some(row) = ranking.iter().find(|row| row.now) {
            (now.forward, now.backward) = (row.forward, row.backward);
        }
        let (recommended, recipe) =
            keep(&question, &ranking, points).unwrap_or_else(|| choose(&question, &ranking, points));
        let equal = question.widths.iter().all(|w| *w == question.widths[0]);
        Recommendation {
            depth: question.widths.len() - 1,
            widths: if equal { vec![question.widths[0]] } else { question.widths.to_vec() },
            now,
            recommended,
            ranking,
            measured,
            code: recipe
                .map_or_else(|| Code::unchanged(&question.init.name), |r| code::code(&r, question.widths)),
            ..theory(&question, points)
        }
    }
}

impl Survey<'_> {
    /// Simulates, ranks and chooses.
    pub fn answer(self, control: &Control) -> Recommendation {
        let theory = theory(self.question(), self.points());
        let answer = self.measured(control);
        let (recommended, code) = answer.choice;
        Recommendation {
            net: Some(answer.network),
            depth: answer.depth,
            now: answer.now,
            recommended,
            ranking: answer.rows,
            measured: answer.measured,
            code,
            ..theory
        }
    }
}

/// What follows from the activation alone; the rest is empty.
fn theory(question: &Question, points: Points) -> Recommendation {
    let act = question.act;
    let (nearest, practical) = (points.nearest, points.practical());
    let gain = |moment: f64| Some(moment.sqrt().recip()).filter(|g| g.is_finite() && *g > 0.0);
    let (square, steep) = (second_moment(act, 1.0), squared_slope(act, 1.0));
    let slope = practical.map(|p| {
        crate::theory::meanfield::MeanField { act, sigma_w2: p.sigma_w2, sigma_b2: p.sigma_b2 }
            .length_slope(p.q)
    });
    Recommendation {
        schema: SCHEMA.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        act: act.name.clone(),
        net: None,
        depth: 0,
        widths: Vec::new(),
        threshold: question.threshold,
        critical: practical.map(Critical::from),
        critical_why: practical.is_none().then(|| absent(act, nearest)),
        first_legal: nearest.filter(|p| p.q > PRACTICAL).map(Critical::from),
        half_stable: points.half.map(Critical::from),
        critical_length_slope: slope.filter(|s| s.is_finite()),
        gain_forward: gain(square),
        gain_backward: gain(steep),
        gain_compromise: gain((square * steep).sqrt()),
        now: current::unknown(question, ""),
        recommended: Choice {
            init: String::new(),
            set: Vec::new(),
            law: String::new(),
            stable: false,
            why: String::new(),
        },
        ranking: Vec::new(),
        measured: String::new(),
        code: Code::default(),
    }
}

/// Why no practical critical point exists.
fn absent(act: &Activation, nearest: Option<CriticalPoint>) -> String {
    let round = |x: f64| crate::diagnose::verdict::words::four(x).replace('-', "−");
    let at_one = critical::with_bias_at(act, 0.0, 1.0);
    let negative = at_one.map(|p| {
        let bias = 1.0 - p.sigma_w2 * second_moment(act, 1.0);
        format!(
            "at q = 1 χ₁ = 1 needs σ_w² = {} and then σ_b² = {}, which is negative",
            round(p.sigma_w2),
            round(bias)
        )
    });
    let mut words = negative.unwrap_or_else(|| "no weight variance gives χ₁ = 1 at q = 1".into());
    match nearest {
        None => words.push_str("; no larger q has a legal point either"),
        Some(p) => {
            words.push_str(&format!(
                "; the first legal point is σ_w² = {:.4}, σ_b² = {} at q = {}: pre-activations of standard deviation {}",
                p.sigma_w2,
                round(p.sigma_b2),
                round(p.q),
                round(p.q.sqrt())
            ));
            if let Some(top) = act.shape.max_slope.filter(|_| act.shape.bounded) {
                let flat = |z: f64| if act.at(z).1.abs() < 0.01 * top { 1.0 } else { 0.0 };
                let share = expectation(flat, p.q, &act.shape.kinks).value;
                words.push_str(&format!(
                    ", {:.0} % of units saturated, and a gradient kept by the few others",
                    100.0 * share
                ));
            }
        }
    }
    words
}

/// What the user has, where it keeps both directions and nothing else is wrong with it.
fn keep(question: &Question, ranking: &[Row], points: Points) -> Option<(Choice, Option<Recipe>)> {
    let row = ranking.iter().find(|row| question.own && row.now && row.is_sound())?;
    let named = code::NAMED.iter().find(|(name, _)| row.names.iter().any(|n| n == name)).map(|n| n.1);
    let point = points.practical().filter(|_| row.names.iter().any(|n| n == "critical"));
    let recipe = named.or_else(|| point.map(Recipe::critical));
    Some((kept(question, row, recipe), recipe))
}

/// The answer that nothing needs to change.
fn kept(question: &Question, row: &Row, recipe: Option<Recipe>) -> Choice {
    Choice {
        init: question.init.name.clone(),
        set: Vec::new(),
        law: recipe
            .map_or_else(|| format!("weights {}, biases {}", row.weights, row.biases), |recipe| recipe.law()),
        stable: true,
        why: format!(
            "what you have keeps both directions, so nothing needs to change: signal {} forward, gradient {} backward",
            row.forward.words(),
            row.backward.words()
        ),
    }
}

/// A named initializer that prediction and measurement agree keeps both directions; else a critical point; else the least
/// bad. None whose measurement carries a flag that stops learning, where there is another.
fn choose(question: &Question, ranking: &[Row], points: Points) -> (Choice, Option<Recipe>) {
    let (practical, half) = (points.practical(), points.half);
    let named = ranking.iter().filter_map(|row| {
        let (place, name) =
            row.names.iter().find_map(|n| code::NAMED.iter().position(|(k, _)| k == n).map(|p| (p, n)))?;
        Some((row, place, name.clone(), code::NAMED[place].1))
    });
    let points = [("critical".to_string(), practical)]
        .into_iter()
        .chain(half.map(|p| (ranking::half_stable_name(p), Some(p))))
        .filter_map(|(name, point)| {
            let row = ranking.iter().find(|r| r.names.contains(&name))?;
            Some((row, name, Recipe::critical(point?)))
        });
    // Scatter between rows of like size says nothing: among those, the order of the list decides.
    let bucket = |row: &Row| (row.score.unwrap_or(f64::INFINITY) / (0.5 * question.threshold)).floor();
    let best = named
        .clone()
        .filter(|c| c.0.is_sound())
        .min_by(|a, b| bucket(a.0).total_cmp(&bucket(b.0)).then(a.1.cmp(&b.1)));
    let sizes = |row: &Row| {
        format!(
            "signal {} forward, gradient {} backward over the stack",
            row.forward.words(),
            row.backward.words()
        )
    };
    if let Some((row, _, name, recipe)) = best {
        let why =
            format!("named, and theory and measurement agree that both directions are kept: {}", sizes(row));
        return (Choice { law: recipe.law(), init: name, set: Vec::new(), stable: true, why }, Some(recipe));
    }
    let score = |row: &Row| row.score.unwrap_or(f64::INFINITY);
    let kept = points.clone().filter(|c| c.0.is_sound()).min_by(|a, b| score(a.0).total_cmp(&score(b.0)));
    if let Some((row, name, recipe)) = kept {
        let why = format!(
            "no named initializer that adapts to the width keeps both directions; the critical point does: {}",
            sizes(row)
        );
        return (Choice { law: recipe.law(), init: name, set: Vec::new(), stable: true, why }, Some(recipe));
    }
    let flagged = |row: &Row| row.flags.iter().any(|flag| flag.stops_learning());
    let all = named.map(|(row, _, name, recipe)| (row, name, recipe)).chain(points);
    match all.min_by(|a, b| flagged(a.0).cmp(&flagged(b.0)).then(score(a.0).total_cmp(&score(b.0)))) {
        Some((row, name, recipe)) => {
            let legal = ranking
                .iter()
                .find(|r| practical.is_none() && r.stable && r.names.iter().any(|n| n == "critical"));
            let legal = legal.map_or(String::new(), |row| {
                format!(
                    "; the first legal critical point keeps their sizes ({}), at the price below",
                    sizes(row)
                )
            });
            let why = format!(
                "no named initializer that adapts to the width, and no practical critical point, keeps both directions; \
                 another activation, normalization or skip connections would. This is nearest: {}{legal}",
                sizes(row)
            );
            (Choice { law: recipe.law(), init: name, set: Vec::new(), stable: false, why }, Some(recipe))
        }
        None => {
            let recipe = code::NAMED[1].1;
            let why = "nothing could be predicted or measured for this activation".into();
            (
                Choice {
                    law: recipe.law(),
                    init: code::NAMED[1].0.into(),
                    set: Vec::new(),
                    stable: false,
                    why,
                },
                Some(recipe),
            )
        }
    }
}

#[cfg(test)]
mod tests;
