//! From what was measured to words: verdict, flags and the cause.

mod budget;
mod cause;
mod course;
pub(crate) mod direction;
mod flags;
mod off_theory;
mod ranges;
pub(crate) mod words;

use crate::numeric::stream::Key;
use crate::op::record::LayerRecord;
use crate::result::{Direction, Flag, FormatRange, Judged, Layer, Quantity, Severity, Summary, Verdict};
use crate::simulate::{CellPlan, Expectation, Plan};
use crate::theory::prediction::{Expected, Level};
use crate::theory::stack::InputMoments;
use budget::{Budget, budget};
use course::Course;
use direction::{Found, Outcome, Series, direction};
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
    let unit = plan.experiment.threshold;
    let ahead = |course: &Course| {
        let mut signal = Series::new(trials, |r| r.activation).at(&course.places);
        if course.from_input {
            signal = signal.behind(entering.second_moment.log10());
        }
        let chance = chance(layers.len() - 1, |e| e.activation.variance.as_ref());
        direction(&signal, course.grades.scaled(unit, chance), Key { seed, trial: 0, layer: 0 })
    };
    let back = |course: &Course| {
        let places = &course.places;
        let mut gradient = Series::new(trials, |r| r.gradient).at(places);
        if matches!(course.quantity, Quantity::SquaredNorm | Quantity::RelativeGradient) {
            gradient = gradient.norms(&course::sizes(cell, places));
        }
        if course.quantity == Quantity::RelativeGradient {
            gradient = gradient.times(&Series::new(trials, |r| r.preactivation).at(places));
        }
        let chance = chance(0, |e| e.gradient.variance.as_ref());
        // In the direction of flow, so that both slopes read alike.
        let grades = course.grades.scaled(unit, chance);
        let mut found = direction(&gradient.reversed(), grades, Key { seed, trial: 1, layer: 0 });
        if course.quantity != Quantity::Variance {
            found.direction.quantity = course.quantity;
        }
        found
    };
    let plain = cell.is_stack;
    let signal = Followed::new(cell, layers, worst(course::forward(cell), ahead), false);
    let mut gradient = Followed::new(cell, layers, worst(course::backward(cell), back), true);
    let closed = course::is_closed(cell);
    if closed {
        // What is exactly zero by design is no fault, and says nothing.
        let direction = &mut gradient.direction;
        (direction.verdict, direction.severity) = (Verdict::Stable, Severity::None);
        direction.judged.clear();
    }
    let expected = plain.then(|| cause::expected(act, cell, layers, entering)).flatten();
    let mut found = flags::flags(act, cell, trials, layers, closed);
    let heavy = found.iter().any(|(name, _)| *name == Flag::HeavyTailed);
    let homogeneous = act.shape.homogeneous;
    if let Some(words) = theory.and_then(|t| off_theory(cell, t, layers, trials.len(), heavy, homogeneous)) {
        found.push((Flag::OffTheory, words));
    }
    let formats = ranges::ranges(layers);
    let causes = match plain {
        true => [
            cause::forward(act, cell, expected.as_ref(), &signal.direction),
            cause::backward(cell, expected.as_ref(), &gradient.direction),
        ],
        false => [None, None],
    };
    let mut words: Vec<String> = [&signal, &gradient]
        .into_iter()
        .zip(causes)
        .map(|(followed, cause)| followed.say(layers, plain, cause))
        .collect();
    if let (true, Some(head)) = (closed, layers.last()) {
        words[1] = format!(
            "backward stable: {0} begins at zero by design, so the first step reaches it alone and says nothing of the layers below it; \
             they are seen with another law: --set '{0}.weight=lecun-normal'",
            head.name()
        );
    }
    words.extend(uneven_steps(cell, layers));
    words.extend(ranges::words(&formats, &|layer| layers[layer - 1].name()));
    words.extend(hidden(layers));
    words.extend(found.iter().map(|(_, text)| text.clone()));
    let flags = found.into_iter().map(|(flag, _)| flag).collect();
    Judgment { forward: signal.direction, backward: gradient.direction, flags, formats, words }
}

/// Decades of ‖∂C/∂W‖/‖W‖ between layers that are worth a sentence.
const UNEVEN: f64 = 1.0;

/// How unlike the steps are that SGD takes in the layers of a network at one learning rate.
fn uneven_steps(cell: &CellPlan, layers: &[Layer]) -> Option<String> {
    let of = |layer: &Layer| layer.relative_gradient.and_then(|steps| steps.median);
    let all = || layers.iter().filter_map(|layer| Some((layer, of(layer)?)));
    let least = all().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let most = all().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (!cell.is_stack && most.1 - least.1 >= UNEVEN).then(|| {
        format!(
            "weights: ‖∂C/∂W‖/‖W‖ is 10^{:.1} times as large at {} as at {}: so unlike are the steps of SGD, and Adam's are alike",
            most.1 - least.1,
            most.0.name(),
            least.0.name()
        )
    })
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

/// The course along which the change is largest, a quantity that is lost before one that is not, with what is found there; of
/// alternatives the one along which it is least.
fn worst(courses: Vec<Vec<Course>>, judged: impl Fn(&Course) -> Found) -> (Course, Found) {
    let found = |course: Course| {
        let found = judged(&course);
        (course, found)
    };
    let best = |alternatives: Vec<Course>| {
        let all = alternatives.into_iter().map(found);
        all.reduce(|best, one| if one.1.size() < best.1.size() { one } else { best })
    };
    let all = courses.into_iter().filter_map(best);
    let worst = all.reduce(|worst, one| if one.1.size() > worst.1.size() { one } else { worst });
    worst.unwrap_or_else(|| unreachable!("a network has at least one input"))
}

/// Kinds of blocks that a sentence names.
const NAMED: usize = 4;
/// Decades that are not worth a word.
const SMALL: f64 = 0.05;

/// What a change is made of: `: mlp +1.69, attention +0.42, most of it at mlp1, 10^+0.81`.
fn shares(budget: &Budget) -> String {
    let told = budget.shares.iter().filter(|share| share.log10.abs() >= SMALL).take(NAMED);
    let told: Vec<String> = told.map(|share| format!("{} {:+.2}", share.path, share.log10)).collect();
    let largest = budget.largest.as_ref().filter(|(_, step)| step.abs() >= SMALL);
    match (told.as_slice(), largest) {
        ([], _) | (_, None) => String::new(),
        (told, Some((name, step))) => {
            format!(": {}; the largest step is at {name}, {}", told.join(", "), power(*step))
        }
    }
}

/// A quantity that was followed, and what came of it.
struct Followed {
    direction: Direction,
    outcome: Outcome,
    budget: Budget,
    course: Course,
    /// It flows from the output to the input.
    reversed: bool,
}

impl Followed {
    fn new(cell: &CellPlan, layers: &[Layer], (course, found): (Course, Found), reversed: bool) -> Self {
        let mut passed: Vec<&Layer> = course.places.iter().map(|place| &layers[*place]).collect();
        if reversed {
            passed.reverse();
        }
        // A step of the signal is made by the layer that it leads to, one of the gradient by that which it comes from.
        let from = usize::from(!reversed && !course.from_input).min(passed.len());
        let budget = budget(&found, &passed[from..]);
        let Found { mut direction, outcome, medians } = found;
        // Elsewhere it is what is recorded at each layer.
        if (!cell.is_stack || course.quantity != Quantity::Variance) && passed.len() > 1 {
            let medians = &medians[usize::from(course.from_input)..];
            let point = |(layer, median): (&&Layer, &f64)| Judged {
                layer: layer.layer,
                log10: median.is_finite().then_some(*median),
            };
            direction.judged = passed.iter().zip(medians).map(point).collect();
        }
        if !cell.is_stack {
            direction.budget.clone_from(&budget.shares);
        }
        Self { direction, outcome, budget, course, reversed }
    }

    /// The layer at a place of the series; `None` for what enters the network.
    fn layer<'a>(&self, layers: &'a [Layer], place: usize) -> Option<&'a Layer> {
        let places = &self.course.places;
        let place = match self.reversed {
            true => places.len().checked_sub(place + 1)?,
            false => place.checked_sub(usize::from(self.course.from_input))?,
        };
        places.get(place).map(|place| &layers[*place])
    }

    /// The sentence of a direction, with its cause where one is known; of a plain stack without the paths of a network.
    fn say(&self, layers: &[Layer], plain: bool, cause: Option<String>) -> String {
        let (name, what, onward) = match self.reversed {
            true => ("backward", "the gradient", "down"),
            false => ("forward", "the signal", "on"),
        };
        let at = |place: usize| {
            let entrance = if plain { "layer 0" } else { "the input" };
            self.layer(layers, place).map_or_else(|| entrance.into(), Layer::name)
        };
        let hidden = |place: usize| {
            let of = |layer: &Layer| {
                if self.reversed { layer.gradient.below_trials } else { layer.activation.below_trials }
            };
            self.layer(layers, place).is_some_and(|layer| of(layer) > 0)
        };
        let verdict = format!("{name} {}", self.direction.graded());
        let fact = match self.outcome {
            Outcome::Flows { uniform_from } => {
                self.change(&at, plain, uniform_from.map(|place| (place, onward)))
            }
            Outcome::Zero { place } if hidden(place) => {
                format!("{what} falls below what double precision resolves from {} {onward}", at(place))
            }
            Outcome::Zero { place } => format!("{what} is exactly zero from {} {onward}", at(place)),
            Outcome::OutOfRange { place, up } => format!(
                "{} passes 10^{}3e17 at {}, beyond what is measured",
                self.quantity(),
                if up { '+' } else { '-' },
                at(place)
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
            Quantity::RelativeGradient => "the gradient times the signal, both squared,",
        }
    }

    fn change(&self, at: &dyn Fn(usize) -> String, plain: bool, uniform: Option<(usize, &str)>) -> String {
        let Some(change) = self.direction.log10_change else { return "nothing is known of it".into() };
        let steps = self.course.places.len() - usize::from(!self.course.from_input);
        if steps == 0 {
            return "one layer, so it meets no weights".into();
        }
        let mut text = match uniform {
            None => String::new(),
            Some((0, _)) => "no variation over samples and units; ".into(),
            Some((place, onward)) => {
                format!("no variation over samples and units from {} {onward}; ", at(place))
            }
        };
        let (from, to) = (at(0), at(steps));
        let way = match plain && !self.course.from_input {
            true => format!("from {from} to {}", to.trim_start_matches("layer ")),
            false if self.course.from_input => format!("from the input to {to}"),
            false => format!("from {from} to {to}"),
        };
        text.push_str(&format!("{} changes by {} {way}", self.quantity(), power(change)));
        let line = self.direction.log10_per_layer.filter(|_| steps > 1).map(|slope| {
            let line = slope * steps as f64;
            // The line goes through all layers, the change is between two.
            (slope, line, (line - change).abs() > (0.1 * change.abs()).max(0.3))
        });
        let decides = |line: f64| self.direction.severity != Severity::None && line.abs() > change.abs();
        let unit = if plain { "layer" } else { "step" };
        match line {
            // An average over unlike steps is no step.
            Some((_, line, apart)) if !plain && (apart && !decides(line) || !self.budget.alike) => {
                text.push_str(&shares(&self.budget));
            }
            Some((slope, line, true)) => text.push_str(&format!(
                "; a line through all {unit}s: ×{} a {unit}, {}",
                factor(slope),
                power(line)
            )),
            Some((slope, ..)) => text.push_str(&format!(", ×{} a {unit}", factor(slope))),
            None => {}
        }
        text + self.course.remark
    }
}
