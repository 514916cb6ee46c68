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
    let (course, mut signal) = worst(course::forward(cell), ahead);
    let (back_course, mut gradient) = worst(course::backward(cell), back);
    judged(&mut signal, &course, (cell, layers), false);
    let closed = course::is_closed(cell);
    if closed {
        // What is exactly zero by design is no fault.
        (gradient.direction.verdict, gradient.direction.severity) = (Verdict::Stable, Severity::None);
    } else {
        judged(&mut gradient, &back_course, (cell, layers), true);
    }
    let (trunk, back_trunk) = (&course.places, &back_course.places);
    let plain = cell.is_stack;
    // A step of the signal is made by the layer that it leads to, one of the gradient by that which it comes from.
    let makers = |places: &[usize]| places.iter().map(|place| &layers[*place]).collect::<Vec<_>>();
    let up_from = usize::from(!course.from_input);
    let budgets = [
        budget(&signal, &makers(&trunk[up_from.min(trunk.len())..])),
        budget(&gradient, &makers(&back_trunk.iter().rev().copied().collect::<Vec<_>>())),
    ];
    if !plain {
        signal.direction.budget.clone_from(&budgets[0].shares);
        gradient.direction.budget.clone_from(&budgets[1].shares);
    }
    let Found { direction: forward, outcome: forward_fate, .. } = signal;
    let Found { direction: backward, outcome: backward_fate, .. } = gradient;
    let expected = plain.then(|| cause::expected(act, cell, layers, entering)).flatten();
    let mut found = flags::flags(act, cell, trials, layers, closed);
    let heavy = found.iter().any(|(name, _)| *name == Flag::HeavyTailed);
    let homogeneous = act.shape.homogeneous;
    if let Some(words) = theory.and_then(|t| off_theory(cell, t, layers, trials.len(), heavy, homogeneous)) {
        found.push((Flag::OffTheory, words));
    }
    let formats = ranges::ranges(layers);
    let (last, end) = (trunk.len(), back_trunk.len() - 1);
    let name = |trunk: &[usize], place: usize| layers[trunk[place]].name();
    // From place to layer, where what enters may be the first.
    let up = |place: usize| match (course.from_input, place) {
        (true, 0) if plain => "layer 0".into(),
        (true, 0) => "the input".into(),
        (from_input, _) => name(trunk, place - usize::from(from_input)),
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
            steps: if course.from_input { last } else { last - 1 },
            way: match course.from_input {
                true => format!("from the input to {}", name(trunk, last - 1)),
                false => way(name(trunk, 0), name(trunk, last - 1)),
            },
            remark: course.remark,
            budget: (!plain).then_some(&budgets[0]),
            onward: "on",
            unit,
            layer: &up,
            hidden: &|place| {
                let place = place.saturating_sub(usize::from(course.from_input)).min(last - 1);
                layers[trunk[place]].activation.below_trials > 0
            },
        }
        .say(if plain { cause::forward(act, cell, expected.as_ref(), &forward) } else { None }),
        Sentence {
            name: "backward",
            what: "the gradient",
            direction: &backward,
            outcome: backward_fate,
            steps: end,
            way: way(down(0), down(end)),
            remark: back_course.remark,
            budget: (!plain).then_some(&budgets[1]),
            onward: "down",
            unit,
            layer: &down,
            hidden: &|place| layers[back_trunk[end - place]].gradient.below_trials > 0,
        }
        .say(if plain { cause::backward(cell, expected.as_ref(), &backward) } else { None }),
    ];
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
    Judgment { forward, backward, flags: found.into_iter().map(|(flag, _)| flag).collect(), formats, words }
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

/// Adds to a direction what was followed at each layer, where that is not what is recorded there.
fn judged(found: &mut Found, course: &Course, (cell, layers): (&CellPlan, &[Layer]), reversed: bool) {
    if cell.is_stack && course.quantity == Quantity::Variance || course.places.len() < 2 {
        return;
    }
    let medians = &found.medians[usize::from(course.from_input)..];
    let point = |(place, median): (&usize, &f64)| Judged {
        layer: layers[*place].layer,
        log10: median.is_finite().then_some(*median),
    };
    found.direction.judged = match reversed {
        true => course.places.iter().rev().zip(medians).map(point).collect(),
        false => course.places.iter().zip(medians).map(point).collect(),
    };
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

struct Sentence<'a> {
    name: &'a str,
    what: &'a str,
    direction: &'a Direction,
    outcome: Outcome,
    /// Layers between the ends.
    steps: usize,
    way: String,
    /// What becomes of it behind its end.
    remark: &'static str,
    /// Of a network.
    budget: Option<&'a Budget>,
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
        let verdict = format!("{} {}", self.name, self.direction.graded());
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
            Quantity::RelativeGradient => "the gradient times the signal, both squared,",
        }
    }

    fn change(&self, uniform_from: Option<usize>) -> String {
        let Some(change) = self.direction.log10_change else { return "nothing is known of it".into() };
        if self.steps == 0 {
            return "one layer, so it meets no weights".into();
        }
        let mut text = match uniform_from {
            None => String::new(),
            Some(0) => "no variation over samples and units; ".into(),
            Some(place) => {
                format!("no variation over samples and units from {} {}; ", (self.layer)(place), self.onward)
            }
        };
        text.push_str(&format!("{} changes by {} {}", self.quantity(), power(change), self.way));
        let line = self.direction.log10_per_layer.filter(|_| self.steps > 1).map(|slope| {
            let line = slope * self.steps as f64;
            // The line goes through all layers, the change is between two.
            (slope, line, (line - change).abs() > (0.1 * change.abs()).max(0.3))
        });
        let decides = |line: f64| self.direction.severity != Severity::None && line.abs() > change.abs();
        match (line, self.budget) {
            (Some((_, line, apart)), Some(budget)) if apart && !decides(line) || !budget.alike => {
                text.push_str(&shares(budget));
            }
            (Some((slope, line, true)), _) => text.push_str(&format!(
                "; a line through all {}s: ×{} a {0}, {}",
                self.unit,
                factor(slope),
                power(line)
            )),
            (Some((slope, ..)), _) => text.push_str(&format!(", ×{} a {}", factor(slope), self.unit)),
            (None, _) => {}
        }
        text + self.remark
    }
}
