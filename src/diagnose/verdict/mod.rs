//! From what was measured to words: verdict, flags and the cause.

mod cause;
pub(crate) mod direction;
mod flags;
mod off_theory;
mod ranges;
pub(crate) mod words;

use crate::numeric::stream::Key;
use crate::op::Space;
use crate::op::record::LayerRecord;
use crate::result::{Direction, Flag, FormatRange, Layer, Quantity, Summary};
use crate::simulate::{CellPlan, Expectation, Plan};
use crate::theory::prediction::{Expected, Level};
use crate::theory::stack::InputMoments;
use direction::{Outcome, Series, direction};
use off_theory::{chance_of_median, off_theory};
use words::{factor, power};

/// What is said of a cell.
pub struct Judgment {
    /// What the stack does to the activations.
    pub forward: Direction,
    /// What the stack does to the gradients.
    pub backward: Direction,
    /// What else is wrong.
    pub flags: Vec<Flag>,
    /// Where number formats end.
    pub formats: Vec<FormatRange>,
    /// One sentence each, with the cause.
    pub words: Vec<String>,
}

/// Standard deviations of a change that are chance: one in twenty is larger.
const CHANCE: f64 = 1.96;

/// Judges a cell from its trials, their summary, and what theory expects of them.
///
/// A direction's threshold is the one asked for and what chance leaves in the median over so many trials: the band of layers
/// as wide as these.
pub fn judge(
    plan: &Plan,
    cell: &CellPlan,
    trials: &[&Vec<LayerRecord>],
    layers: &[Layer],
    entering: InputMoments,
    theory: Option<&Expectation>,
) -> Judgment {
    let seed = plan.experiment.seed;
    let act = plan.act(cell);
    let chance = |at: usize, level: fn(&Expected) -> Option<&Level>| {
        let level = theory.and_then(|t| t.prediction.layers.get(at)).and_then(level);
        CHANCE * level.and_then(|l| chance_of_median(l, trials.len())).unwrap_or(0.0)
    };
    let threshold = |chance: f64| plan.experiment.threshold + chance;
    // What every signal passes: all layers of a plain stack, no branches of a network; of several inputs, the way that changes most.
    let trunks = trunks(cell);
    let (trunk, (forward, forward_fate)) = worst(&trunks, |trunk| {
        let mut signal = Series::new(trials, |r| r.activation).at(trunk);
        if trunk.len() == 1 {
            signal = signal.behind(entering.second_moment.log10());
        }
        let threshold = threshold(chance(layers.len() - 1, |e| e.activation.variance.as_ref()));
        direction(&signal, threshold, Key { seed, trial: 0, layer: 0 })
    });
    let (back_trunk, (backward, backward_fate)) = worst(&trunks, |trunk| {
        let gradient = Series::new(trials, |r| r.gradient).at(trunk);
        let entries = sample_entries(cell, trunk);
        let gradient = match &entries {
            None => gradient,
            Some(entries) => gradient.norms(entries),
        };
        let threshold = threshold(chance(0, |e| e.gradient.variance.as_ref()));
        // In the direction of flow, so that both slopes read alike.
        let (mut backward, fate) =
            direction(&gradient.reversed(), threshold, Key { seed, trial: 1, layer: 0 });
        if entries.is_some() {
            backward.quantity = Quantity::SquaredNorm;
        }
        (backward, fate)
    });
    let plain = cell.is_stack;
    let expected = plain.then(|| cause::expected(act, cell, layers, entering)).flatten();
    let mut found = flags::flags(act, cell, trials, layers);
    let heavy = found.iter().any(|(name, _)| *name == Flag::HeavyTailed);
    let homogeneous = act.shape.homogeneous;
    if let Some(words) = theory.and_then(|t| off_theory(cell, t, layers, trials.len(), heavy, homogeneous)) {
        found.push((Flag::OffTheory, words));
    }
    let formats = ranges::ranges(layers);
    let (last, end) = (trunk.len(), back_trunk.len() - 1);
    let name = |trunk: &[usize], place: usize| layers[trunk[place]].name();
    // From place to layer, which for a single layer's signal counts the input.
    let up = |place: usize| match (last, place) {
        (1, 0) => "layer 0".into(),
        (1, _) => name(trunk, 0),
        _ => name(trunk, place),
    };
    let down = |place: usize| name(back_trunk, end - place);
    let way = |from: String, to: String| match plain {
        true => format!("from {from} to {}", to.trim_start_matches("layer ")),
        false => format!("from {from} to {to}"),
    };
    let unit = if plain { "layer" } else { "step" };
    let mut words = vec![
        Sentence {
            name: "forward",
            what: "the signal",
            direction: &forward,
            outcome: forward_fate,
            steps: if last == 1 { 1 } else { last - 1 },
            way: match last {
                1 => format!("from the input to {}", name(trunk, 0)),
                _ => way(name(trunk, 0), name(trunk, last - 1)),
            },
            onward: "on",
            unit,
            layer: &up,
            hidden: &|place| layers[trunk[place.min(last - 1)]].activation.below_trials > 0,
        }
        .say(if plain { cause::forward(act, cell, expected.as_ref(), &forward) } else { None }),
        Sentence {
            name: "backward",
            what: "the gradient",
            direction: &backward,
            outcome: backward_fate,
            steps: end,
            way: way(down(0), down(end)),
            onward: "down",
            unit,
            layer: &down,
            hidden: &|place| layers[back_trunk[end - place]].gradient.below_trials > 0,
        }
        .say(if plain { cause::backward(cell, expected.as_ref(), &backward) } else { None }),
    ];
    words.extend(ranges::words(&formats, &|layer| layers[layer - 1].name()));
    words.extend(hidden(layers));
    words.extend(found.iter().map(|(_, text)| text.clone()));
    Judgment { forward, backward, flags: found.into_iter().map(|(flag, _)| flag).collect(), formats, words }
}

/// One quantity of a layer, over all trials.
type Pick = fn(&Layer) -> &Summary;

/// A sentence for each quantity that rounding hides at some layers.
fn hidden(layers: &[Layer]) -> Vec<String> {
    let quantities: [(&str, Pick); 3] = [
        ("the signal", |l| &l.activation),
        ("the gradient", |l| &l.gradient),
        ("the weight gradient", |l| &l.weight_gradient),
    ];
    let sentence = |(what, summary): (&str, Pick)| {
        let hidden: Vec<&Layer> = layers.iter().filter(|l| summary(l).below_trials > 0).collect();
        let place = match hidden.as_slice() {
            [] => return None,
            [one] => format!("at {}", one.name()),
            [first, .., last] => {
                format!("at {} layers, {} to {}", hidden.len(), first.name(), last.name())
            }
        };
        Some(format!("rounding hides {what} {place}: it is below what double precision resolves"))
    };
    quantities.into_iter().filter_map(sentence).collect()
}

/// Of each input, the places of the layers that every signal from it passes.
fn trunks(cell: &CellPlan) -> Vec<Vec<usize>> {
    let all = || (0..cell.graph.entries.len()).collect();
    cell.graph.trunks.iter().map(|trunk| if trunk.is_empty() { all() } else { trunk.clone() }).collect()
}

/// The trunk along which the change is largest, a quantity that is lost before one that is not, with what is found there.
fn worst(
    trunks: &[Vec<usize>],
    judged: impl Fn(&[usize]) -> (Direction, Outcome),
) -> (&[usize], (Direction, Outcome)) {
    let size = |(_, (found, _)): &(&[usize], (Direction, Outcome))| {
        found.log10_change.map_or(f64::INFINITY, f64::abs)
    };
    let all = trunks.iter().map(|trunk| (trunk.as_slice(), judged(trunk)));
    let worst = all.reduce(|worst, one| if size(&one) > size(&worst) { one } else { worst });
    worst.unwrap_or_else(|| unreachable!("a network has at least one input"))
}

/// Entries of a sample at these places of a network of images or sequences: a gradient that spreads over more of them is smaller
/// in each, and no less in all. `None` where features alone come in, as in a plain stack.
fn sample_entries(cell: &CellPlan, trunk: &[usize]) -> Option<Vec<f64>> {
    let graph = &cell.graph;
    let entries = |k: &usize| graph.entries[*k].units as f64 * graph.entries[*k].positions as f64;
    graph.inputs().any(|shape| shape.space != Space::Flat).then(|| trunk.iter().map(entries).collect())
}

struct Sentence<'a> {
    name: &'a str,
    what: &'a str,
    direction: &'a Direction,
    outcome: Outcome,
    /// Layers between the ends.
    steps: usize,
    way: String,
    /// `on` or `down`, the way it flows.
    onward: &'static str,
    /// What lies between two places.
    unit: &'static str,
    /// The layer of a place.
    layer: &'a dyn Fn(usize) -> String,
    /// Rounding hides what is at a place.
    hidden: &'a dyn Fn(usize) -> bool,
}

impl Sentence<'_> {
    fn say(&self, cause: Option<String>) -> String {
        let verdict = format!("{} {}", self.name, self.direction.verdict.name());
        let fact = match self.outcome {
            Outcome::Flows { uniform_from } => self.change(uniform_from),
            Outcome::Zero { place } if (self.hidden)(place) => format!(
                "{} falls below what double precision resolves from {} {}",
                self.what,
                (self.layer)(place),
                self.onward
            ),
            Outcome::Zero { place } => {
                format!("{} is exactly zero from {} {}", self.what, (self.layer)(place), self.onward)
            }
            Outcome::OutOfRange { place, up } => format!(
                "{} passes 10^{}3e17 at {}, beyond what is measured",
                self.quantity(),
                if up { '+' } else { '-' },
                (self.layer)(place)
            ),
        };
        match cause {
            Some(cause) => format!("{verdict}: {fact}; {cause}"),
            None => format!("{verdict}: {fact}"),
        }
    }

    fn quantity(&self) -> &'static str {
        match self.direction.quantity {
            Quantity::Variance => "variance",
            Quantity::SecondMoment => "the second moment",
            Quantity::SquaredNorm => "the squared norm of a sample",
        }
    }

    fn change(&self, uniform_from: Option<usize>) -> String {
        let Some(change) = self.direction.log10_change else { return "nothing is known of it".into() };
        if self.steps == 0 {
            return "one layer, so the gradient meets no weights".into();
        }
        let mut text = match uniform_from {
            None => String::new(),
            Some(0) => "no variation over samples and units; ".into(),
            Some(place) => {
                format!("no variation over samples and units from {} {}; ", (self.layer)(place), self.onward)
            }
        };
        text.push_str(&format!("{} changes by {} {}", self.quantity(), power(change), self.way));
        if let Some(slope) = self.direction.log10_per_layer
            && self.steps > 1
        {
            let line = slope * self.steps as f64;
            // The line goes through all layers, the change is between two.
            text.push_str(&if (line - change).abs() > (0.1 * change.abs()).max(0.3) {
                format!("; a line through all {}s: ×{} a {0}, {}", self.unit, factor(slope), power(line))
            } else {
                format!(", ×{} a {}", factor(slope), self.unit)
            });
        }
        text
    }
}
