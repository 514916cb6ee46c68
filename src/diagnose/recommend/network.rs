//! The same question of a network of an architecture file: its laws are ranked by short simulations alone, for theory follows
//! plain stacks.

use super::code::{self, Code, NAMED, Recipe};
use super::position::{self, Scaled};
use super::ranking::{BATCH, Row, TRIALS, half_stable_name, predicted, same_law, words_of};
use super::{Change, Choice, Current, Points, Question, current, kept};
use crate::diagnose::run;
use crate::expectation::critical::CriticalPoint;
use crate::expectation::field::WeightMoments;
use crate::frontend::toml::Architecture;
use crate::graph::{Entry, Graph, GraphError};
use crate::initializer::{Initializer, entries};
use crate::law::Law;
use crate::result::{Cell, Direction, Flag, Verdict};
use crate::simulate::{Control, Input, Plan, PlanError, draws};
use crate::spec::{Engine, Experiment};
use serde::{Deserialize, Serialize};

/// Operations of all simulations together: some twenty seconds of a core.
const BUDGET: f64 = 1.2e12;
/// Operations in the time that a recorded place takes a sample beside its products, which small layers consist of.
const PLACE: f64 = 1e6;
/// Samples and trials, the less the more a network costs.
const EFFORTS: [(usize, usize); 5] = [(BATCH, TRIALS), (8, 2), (4, 2), (4, 1), (2, 1)];
/// Laws that are measured whatever they cost: what the user has, and the first that could be taken.
const LEAST: usize = 5;
/// Scatter of short simulations, in decades: laws closer together than this are taken in the order of the list.
const SCATTER: f64 = 0.1;
/// Laws that differ by less, in thresholds, are one to the network.
const ALIKE: f64 = 0.5;
/// Paths that are listed.
const LISTED: usize = 3;

/// What a network is, as far as the answer depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Network {
    /// As its file or the shipped architecture has it.
    pub name: String,
    /// Layers with weights; a recurrent layer, attention and an embedding have several matrices and count each.
    pub matrices: usize,
    /// Batch, layer and root-mean-square norms.
    pub norms: usize,
    /// Residual branches with weights.
    pub branches: usize,
    /// It is a plain stack, which theory follows.
    pub predicted: bool,
    /// Paths of the layers whose law the file names: no choice of an initializer changes them.
    pub own: Vec<String>,
    /// What must be known to read the ranking, one sentence each.
    pub notes: Vec<String>,
}

/// A law of the catalog on this network, with every name that it goes by there.
struct Candidate {
    names: Vec<String>,
    laws: Vec<(Law, Law, usize, bool)>,
    /// Operations of a sample, and of drawing all weights.
    cost: (f64, f64),
    predicted: (Option<f64>, Option<f64>),
    /// Of the first layer whose law the file does not name, in words.
    words: (String, String),
    /// Which are measured first.
    rank: usize,
}

/// The simulations that a network is judged by, checked and ready to run; the user's initializer is the first of them.
pub struct Survey<'a> {
    question: Question<'a>,
    points: Points,
    /// What runs.
    pub plan: Plan,
    candidates: Vec<Candidate>,
    /// Laws by the place of each layer, and what measures them.
    placed: Option<(Plan, Vec<Scaled>)>,
    /// Laws of the catalog that are left out.
    left: usize,
    net: Network,
    now: Current,
    depth: usize,
}

/// Names in the order in which they are worth a simulation: normal laws that may be taken, of which it is said how many there
/// are, laws that tell something of the network, and uniform ones, which do the same as normal ones where layers are wide.
fn order(half: Option<CriticalPoint>, branches: usize) -> (Vec<String>, usize) {
    let named = |uniform: bool| {
        let all = NAMED.iter().map(|(name, _)| (*name).to_string());
        all.filter(move |name| name.ends_with("uniform") == uniform)
    };
    let mut names: Vec<String> = named(false).collect();
    if branches > 0 {
        names.splice(2..2, scaled().map(|s| s.0));
    }
    names.push("critical".into());
    names.extend(half.map(half_stable_name));
    let core = names.len();
    names.extend(["orthogonal".into(), "delta-orthogonal".into()]);
    names.extend(named(true));
    (names, core)
}

/// Laws whose last layer of each residual branch is smaller.
fn scaled() -> [(String, f64); 2] {
    [("depth-scaled".into(), 2.0), ("depth-scaled(1)".into(), 1.0)]
}

impl<'a> Survey<'a> {
    /// Builds the network under every law of the catalog. `question` says nothing of widths.
    ///
    /// # Errors
    /// Where it cannot be built under the user's initializer.
    pub fn new(question: Question<'a>, architecture: &'a Architecture) -> Result<Self, PlanError> {
        let points = Points::of(question.act);
        let first = plan(&question, architecture, vec![question.init.name.clone()], (1, 1))?;
        let cell = first.cells.first().ok_or(PlanError::Nothing)?;
        let net = &*cell.graph;
        let stack = cell.is_stack;
        let laws = |net: &Graph| -> Vec<Option<WeightMoments>> {
            let alone = net.parameters.iter().all(|p| !p.rescaled);
            let one = |e: &Entry| WeightMoments::of(e.fan_in, e.units, &e.weights, &e.bias).filter(|_| alone);
            net.entries.iter().map(one).collect()
        };
        let trunk = net.entries.iter().filter(|e| e.trunk).count();
        let depth = if trunk > 0 { trunk } else { net.entries.len() };
        let now = match stack {
            true => current::of(&question, depth, &laws(net)),
            false => {
                current::unknown(&question, "mean-field theory is of plain stacks, and this network is none")
            }
        };
        let mut known = describe(architecture, net, stack);
        if net.own_parameters().all(|p| p.init.is_some()) {
            let reason = "the file names the law of every layer, so no initializer is left to choose";
            return Err(PlanError::Net(GraphError::new("the network", reason)));
        }
        let (order, core) = order(points.half, known.branches);
        let catalog = entries().map(|e| e.name.to_string()).filter(|name| !order.contains(name));
        let names = [question.init.name.clone()].into_iter().chain(order.iter().cloned()).chain(catalog);
        let mut candidates: Vec<Candidate> = Vec::new();
        for (rank, name) in names.enumerate() {
            let Ok(init) = Initializer::parse_for_net(&name) else { continue };
            let built = plan(&question, architecture, vec![init.name.clone()], (1, 1));
            let Some(net) = built.ok().and_then(|p| p.cells.into_iter().next()).map(|c| c.graph) else {
                continue;
            };
            let found: Vec<_> =
                net.own_parameters().map(|p| (p.law, p.bias, p.drawn_columns(), p.rescaled)).collect();
            let same = |c: &&mut Candidate| {
                c.laws.len() == found.len()
                    && c.laws.iter().zip(&found).all(|(a, b)| {
                        (a.2, a.3) == (b.2, b.3) && same_law(&a.0, &b.0) && same_law(&a.1, &b.1)
                    })
            };
            if let Some(known) = candidates.iter_mut().find(same) {
                if !known.names.contains(&name) {
                    known.names.push(name);
                }
                continue;
            }
            let drawn = net.own_parameters().find(|p| p.init.is_none());
            // Equal weights are no initializer; they are measured where nothing is in the way.
            let rank = if drawn.is_some_and(|w| w.law.is_point_mass()) { usize::MAX } else { rank };
            let all: Option<Vec<WeightMoments>> = if stack { laws(&net).into_iter().collect() } else { None };
            candidates.push(Candidate {
                names: vec![name],
                laws: found,
                cost: (net.operations() + PLACE * net.entries.len() as f64, draws(&net)),
                predicted: all.map_or((None, None), |all| predicted(&question, &all)),
                words: drawn.map(|w| words_of(&w.law, &w.bias)).unwrap_or_default(),
                rank: if candidates.is_empty() { 0 } else { rank },
            });
        }
        candidates.sort_by_key(|c| c.rank);
        let (effort, mut within) = effort(&candidates, core);
        let all = candidates.len();
        candidates.retain(|_| within.next().unwrap_or(false));
        let left = all - candidates.len();
        if !known.own.is_empty() {
            known.notes.push(format!("the file names the law of {}: it is kept", listed(&known.own)));
        }
        if !stack {
            known.notes.push(
                "theory predicts no change here: it follows plain stacks, linear layers with --act behind each".into(),
            );
        }
        let names = candidates.iter().map(|c| c.names[0].clone()).collect();
        let placed = match position::scales(net) {
            scales if scales.is_empty() || stack => None,
            scales => {
                let set = scales.iter().map(Scaled::option).collect();
                let experiment = experiment(&question, architecture, vec![position::BASE.into()], effort);
                let plan = Plan::new(&Experiment { set, ..experiment }, Input::Normal);
                plan.ok().map(|plan| (plan, scales))
            }
        };
        let plan = plan(&question, architecture, names, effort)?;
        Ok(Self { question, points, plan, candidates, placed, left, net: known, now, depth })
    }
}

/// Samples and trials, and which candidates, so that all of it stays within the budget where it can: samples and trials give way
/// first, until the user's law and the first `core` fit.
fn effort(candidates: &[Candidate], core: usize) -> ((usize, usize), impl Iterator<Item = bool> + use<>) {
    let cost =
        |c: &Candidate, (batch, trials): (usize, usize)| (c.cost.0 * batch as f64 + c.cost.1) * trials as f64;
    let fits = |effort: &&(usize, usize)| {
        candidates.iter().take(core + 1).map(|c| cost(c, **effort)).sum::<f64>() <= BUDGET
    };
    let effort = *EFFORTS.iter().find(fits).unwrap_or(&EFFORTS[EFFORTS.len() - 1]);
    let mut spent = 0.0;
    let mut within = Vec::new();
    for (index, candidate) in candidates.iter().enumerate() {
        let next = cost(candidate, effort);
        within.push(index < LEAST || spent + next <= BUDGET);
        if within[index] {
            spent += next;
        }
    }
    (effort, within.into_iter())
}

fn plan(
    question: &Question,
    architecture: &Architecture,
    init: Vec<String>,
    effort: (usize, usize),
) -> Result<Plan, PlanError> {
    Plan::new(&experiment(question, architecture, init, effort), Input::Normal)
}

fn experiment(
    question: &Question,
    architecture: &Architecture,
    init: Vec<String>,
    (batch, trials): (usize, usize),
) -> Experiment {
    Experiment {
        net: Some(architecture.clone()),
        act: vec![question.act.name.clone()],
        init,
        batch,
        trials,
        seed: question.seed,
        engine: Engine::Auto,
        threshold: question.threshold,
        ..Experiment::plain(1, 1)
    }
}

fn describe(architecture: &Architecture, net: &Graph, predicted: bool) -> Network {
    let all: Vec<_> = net.own_parameters().collect();
    let mut own: Vec<String> = Vec::new();
    let mut last = None;
    for weights in all.iter().filter(|w| w.init.is_some()) {
        if last.replace(weights.entry) == Some(weights.entry) {
            continue;
        }
        // A recurrent layer is recorded at each of its steps, and may name the law of one kind of its weights alone.
        let path = net.entries.get(weights.entry).map_or("", |e| e.path.as_str());
        let path = path.strip_suffix("/step1").unwrap_or(path);
        let whole = all.iter().all(|w| w.entry != weights.entry || w.init.is_some());
        own.push(if whole { path.into() } else { format!("a part of {path}") });
    }
    Network {
        name: architecture.name.clone().unwrap_or_else(|| "the network".into()),
        matrices: all.len(),
        norms: net.norms(),
        branches: net.residual_branches(),
        predicted,
        own,
        notes: Vec::new(),
    }
}

/// `a, b and c`, or `a, b, c and 5 more`.
fn listed(paths: &[String]) -> String {
    match paths {
        [one] => one.clone(),
        many if many.len() <= LISTED => {
            format!("{} and {}", many[..many.len() - 1].join(", "), many[many.len() - 1])
        }
        many => format!("{} and {} more", many[..LISTED].join(", "), many.len() - LISTED),
    }
}

/// What the simulations came to.
pub(super) struct Answer {
    pub rows: Vec<Row>,
    pub measured: String,
    pub network: Network,
    pub now: Current,
    pub depth: usize,
    pub choice: (Choice, Code),
}

impl Survey<'_> {
    /// What was asked.
    pub fn question(&self) -> &Question<'_> {
        &self.question
    }

    /// Critical points of its activation.
    pub(super) fn points(&self) -> Points {
        self.points
    }

    /// Simulates, ranks and chooses.
    pub(super) fn measured(self, control: &Control) -> Answer {
        let question = &self.question;
        let mut rows: Vec<Row> = self.candidates.iter().map(|c| row(question, c)).collect();
        let e = &self.plan.experiment;
        let measured = match run(&self.plan, control) {
            Ok(report) if report.cells.len() == rows.len() => {
                rows.iter_mut().zip(&report.cells).for_each(|(row, cell)| fill(row, cell));
                let share = match self.left {
                    0 => "every law".into(),
                    left => format!("{} of {} laws", rows.len(), rows.len() + left),
                };
                let plural = if e.trials == 1 { "" } else { "s" };
                format!("{share}, {} trial{plural}, batch {}, every weight drawn", e.trials, e.batch)
            }
            _ => "nothing was measured".into(),
        };
        let placed = self.placed.and_then(|(plan, scales)| {
            let quiet = Control { progress: &|_| (), ..*control };
            let report = run(&plan, &quiet).ok()?;
            let mut row = rows.first()?.clone();
            fill(&mut row, report.cells.first()?);
            Some((row, scales))
        });
        let bad = |row: &Row| (symmetric(row), !row.stable);
        let score = |row: &Row| row.score.unwrap_or(f64::INFINITY);
        rows.sort_by(|a, b| bad(a).cmp(&bad(b)).then(score(a).total_cmp(&score(b))));
        let mut network = self.net;
        let mut now = self.now;
        if let Some(row) = rows.iter().find(|row| row.now) {
            (now.forward, now.backward) = (row.forward, row.backward);
        }
        let options = options(&rows, self.points, network.branches);
        let said = norms(&network, &options, question.threshold);
        network.notes.extend(said);
        let own = rows.iter().find(|row| question.own && row.now && row.is_sound());
        let lines = |(choice, recipe): (Choice, Option<Recipe>)| {
            let code =
                recipe.map_or_else(|| Code::unchanged(&choice.init), |recipe| code::for_network(&recipe));
            (choice, code)
        };
        let choice = match own {
            Some(row) => {
                let offer = options.iter().find(|offer| std::ptr::eq(offer.row, row));
                let recipe = offer.map(|offer| offer.recipe);
                lines((kept(question, row, recipe), recipe))
            }
            None => {
                let best = no_worse(question, &rows, choose(&rows, &options, question.threshold));
                let score = |init: &String| rows.iter().find(|row| row.names.contains(init))?.score;
                let to_beat = score(&best.0.init).filter(|_| best.0.stable);
                placed.filter(|(row, _)| better(row, to_beat)).map_or_else(
                    || lines(best),
                    |(row, scales)| (by_place(&row, &scales), code::by_position(&scales)),
                )
            }
        };
        Answer { choice, rows, measured, network, now, depth: self.depth }
    }
}

/// What was measured of a law.
fn fill(row: &mut Row, cell: &Cell) {
    let stable = |d: &Direction| d.verdict == Verdict::Stable;
    row.forward.measured = cell.forward.decisive;
    row.backward.measured = cell.backward.decisive;
    row.flags = cell.flags.clone();
    row.law = Some(cell.law);
    let both = row.forward.measured.zip(row.backward.measured);
    row.score = both.map(|(f, b)| f.abs().max(b.abs()));
    row.stable = stable(&cell.forward) && stable(&cell.backward) && row.score.is_some() && !symmetric(row);
}

/// A sound law is better than none, and than one that changes more by what short simulations tell apart.
fn better(row: &Row, to_beat: Option<f64>) -> bool {
    row.is_sound() && to_beat.zip(row.score).is_none_or(|(other, own)| own + SCATTER < other)
}

/// The answer that gives each layer the law of its place.
fn by_place(row: &Row, scales: &[Scaled]) -> Choice {
    Choice {
        init: position::BASE.into(),
        set: scales.iter().map(Scaled::option).collect(),
        law: "weights N(0, scale/fan_in), the scale by what follows a layer: 1 where nothing does".into(),
        stable: true,
        why: format!(
            "no one law for all layers was measured to do as well: signal {} forward, gradient {} backward",
            row.forward.words(),
            row.backward.words()
        ),
    }
}

fn symmetric(row: &Row) -> bool {
    row.flags.contains(&Flag::SymmetricUnits)
}

fn row(question: &Question, candidate: &Candidate) -> Row {
    let change = |predicted| Change { predicted, measured: None };
    let aliases = candidate.names.iter().filter_map(|n| entries().find(|e| e.name == n));
    Row {
        aliases: aliases.flat_map(|e| e.aliases.iter().map(|a| (*a).to_string())).collect(),
        now: candidate.names.contains(&question.init.name),
        names: candidate.names.clone(),
        forward: change(candidate.predicted.0),
        backward: change(candidate.predicted.1),
        score: None,
        stable: false,
        flags: Vec::new(),
        law: None,
        weights: candidate.words.0.clone(),
        biases: candidate.words.1.clone(),
    }
}

/// A law that may be recommended: it adapts to the fans, and there are lines that set it.
struct Offer<'a> {
    row: &'a Row,
    name: String,
    recipe: Recipe,
    /// A critical point, which is no name that frameworks know.
    point: bool,
}

/// The more usual first.
fn options(rows: &[Row], points: Points, branches: usize) -> Vec<Offer<'_>> {
    let (practical, half) = (points.practical(), points.half);
    let named = NAMED.iter().map(|(name, recipe)| ((*name).to_string(), Some(*recipe), false));
    let scaled = scaled().into_iter().filter(|_| branches > 0);
    let scaled = scaled.map(|(name, scale)| (name, Some(Recipe::depth_scaled(scale, branches)), false));
    let points =
        [("critical".to_string(), practical), (half.map(half_stable_name).unwrap_or_default(), half)];
    let points = points.into_iter().map(|(name, point)| (name, point.map(Recipe::critical), true));
    let measured = |name: &String| rows.iter().find(|r| r.names.contains(name) && r.score.is_some());
    let all = named.chain(scaled).chain(points);
    all.filter_map(|(name, recipe, point)| {
        Some(Offer { row: measured(&name)?, name, recipe: recipe?, point })
    })
    .filter(|offer| !symmetric(offer.row))
    .collect()
}

/// What norms make of the choice.
fn norms(network: &Network, options: &[Offer], threshold: f64) -> Option<String> {
    if network.norms == 0 || options.is_empty() {
        return None;
    }
    let count = match network.norms {
        1 => "a norm".into(),
        n => format!("{n} norms"),
    };
    type Of = fn(&Row) -> Option<f64>;
    let directions: [(&str, Of); 2] =
        [("signal", |r| r.forward.measured), ("gradient", |r| r.backward.measured)];
    // Decades between the laws, and whether none of them keeps the direction.
    let spread = |of: Of| {
        let all = || options.iter().filter_map(|o| of(o.row));
        let (low, high) = (all().reduce(f64::min)?, all().reduce(f64::max)?);
        Some((high - low, all().all(|x| x.abs() > threshold)))
    };
    let spreads = directions.map(|(name, of)| (name, spread(of)));
    if options.iter().all(|o| o.row.stable) {
        let apart = spreads.iter().filter_map(|(_, s)| s.map(|s| s.0)).fold(0.0, f64::max);
        return Some(format!(
            "with {count} everything is stable here under every law measured that adapts to the fans: they differ by {apart:.2} decades at \
             most"
        ));
    }
    let alike = |s: &Option<(f64, bool)>| s.filter(|s| s.1 && s.0 <= ALIKE * threshold);
    let lost: Vec<(&str, f64)> = spreads.iter().filter_map(|(name, s)| Some((*name, alike(s)?.0))).collect();
    let names: Vec<&str> = lost.iter().map(|l| l.0).collect();
    let apart = lost.iter().map(|l| l.1).fold(0.0, f64::max);
    (!lost.is_empty()).then(|| {
        format!(
            "{count} undo the scale of weights: the {} changes alike, within {apart:.2} decades, under every law measured that adapts to \
             the fans, so that is the architecture's doing",
            names.join(" and the ")
        )
    })
}

/// What was chosen, unless it keeps no more than what the user has and changes more.
fn no_worse(question: &Question, rows: &[Row], chosen: (Choice, Option<Recipe>)) -> (Choice, Option<Recipe>) {
    let score = |row: &Row| row.score.unwrap_or(f64::INFINITY);
    let taken = rows.iter().find(|row| row.names.contains(&chosen.0.init)).map_or(f64::INFINITY, score);
    match rows.iter().find(|row| question.own && row.now && !chosen.0.stable && score(row) < taken) {
        None => chosen,
        Some(row) => {
            let why = format!(
                "no law was measured to keep both directions; another activation, normalization or skip connections would. What you have \
                 is nearest: signal {} forward, gradient {} backward",
                row.forward.words(),
                row.backward.words()
            );
            (Choice { stable: false, why, ..kept(question, row, None) }, None)
        }
    }
}

/// The best measured law; where none keeps both directions the least bad, which is said.
fn choose(rows: &[Row], options: &[Offer], threshold: f64) -> (Choice, Option<Recipe>) {
    let score = |offer: &Offer| offer.row.score.unwrap_or(f64::INFINITY);
    let best = |kept: bool, point: Option<bool>| {
        let fits = |o: &&Offer| (!kept || o.row.is_sound()) && point.is_none_or(|p| o.point == p);
        let least = options.iter().filter(fits).map(score).fold(f64::INFINITY, f64::min);
        options.iter().filter(fits).find(|o| score(o) <= least + SCATTER)
    };
    let sizes = |row: &Row| {
        format!("signal {} forward, gradient {} backward", row.forward.words(), row.backward.words())
    };
    let found = [
        (best(true, Some(false)), "named, adapts to the fans, and measured to keep both directions"),
        (
            best(true, Some(true)),
            "no named initializer that adapts to the fans was measured to keep both directions; the critical point was",
        ),
        (
            best(false, None),
            "no law that adapts to the fans was measured to keep both directions; another activation, normalization or skip \
             connections would. This is nearest",
        ),
    ];
    let found = found.into_iter().find_map(|(offer, why)| Some((offer?, why)));
    let Some((offer, why)) = found else {
        let recipe = NAMED[0].1;
        let why = "nothing could be measured for this network".into();
        let choice =
            Choice { init: NAMED[0].0.into(), set: Vec::new(), law: recipe.law(), stable: false, why };
        return (choice, Some(recipe));
    };
    let mut why = format!("{why}: {}", sizes(offer.row));
    // Laws of the ranking without lines, or that do not look at the fans, are no choice, but it is said that they do better.
    let better = |r: &&Row| {
        let less = r.score.is_some_and(|s| s + 0.5 * threshold < score(offer));
        !symmetric(r) && !r.now && ((r.stable && !offer.row.stable) || (r.stable == offer.row.stable && less))
    };
    if let Some(row) = rows.iter().find(better) {
        why.push_str(&format!(
            "; {} changes less ({}), but there are no lines for it",
            row.names[0],
            sizes(row)
        ));
    }
    if let Some(now) = rows.iter().find(|r| r.now && r.stable && !std::ptr::eq(*r, offer.row)) {
        why.push_str(&format!("; what you have keeps them too ({})", sizes(now)));
    }
    let choice = Choice {
        init: offer.name.clone(),
        set: Vec::new(),
        law: offer.recipe.law(),
        stable: offer.row.stable,
        why,
    };
    (choice, Some(offer.recipe))
}
