//! From what was measured to words: verdict, flags and the cause.

mod cause;
mod direction;
mod flags;
mod words;

pub use flags::FLAGS;
pub use words::four;

use crate::measure::LayerRecord;
use crate::result::{Direction, Layer, Quantity, Summary};
use crate::simulate::{CellPlan, Input, Plan};
use crate::stream::Key;
use crate::theory::formats::{F32, Magnitude, first_outside};
use crate::theory::stack::Entering;
use direction::{Fate, Series, direction};
use words::{factor, power};

/// What is said of a cell.
pub struct Judgement {
    /// Of the activations.
    pub forward: Direction,
    /// Of the gradients.
    pub backward: Direction,
    /// Names of what else is wrong.
    pub flags: Vec<String>,
    /// One sentence each, with the cause.
    pub words: Vec<String>,
}

/// Judges a cell from its trials and their summary.
pub fn judge(plan: &Plan, cell: &CellPlan, trials: &[&Vec<LayerRecord>], layers: &[Layer]) -> Judgement {
    let seed = plan.experiment.seed;
    let threshold = plan.experiment.threshold;
    let act = plan.act(cell);
    let entering = entering(&plan.input);
    let mut signal = Series::new(trials, |r| r.activation);
    if layers.len() == 1 {
        signal = signal.behind(entering.second_moment.log10());
    }
    // In the direction of flow, so that both slopes read alike.
    let gradient = Series::new(trials, |r| r.gradient).reversed();
    let (forward, forward_fate) = direction(&signal, threshold, Key { seed, trial: 0, layer: 0 });
    let (backward, backward_fate) = direction(&gradient, threshold, Key { seed, trial: 1, layer: 0 });
    let expected = cause::expected(act, cell, layers, entering);
    let found = flags::flags(act, cell, trials, layers);
    let last = layers.len();
    // From place to layer, which for a single layer's signal counts the input.
    let up = |place: usize| if last == 1 { place } else { place + 1 };
    let down = |place: usize| last - place;
    let mut words = vec![
        Sentence {
            name: "forward",
            what: "the signal",
            direction: &forward,
            fate: forward_fate,
            steps: if last == 1 { 1 } else { last - 1 },
            way: if last == 1 {
                "from the input to layer 1".into()
            } else {
                format!("from layer 1 to {last}")
            },
            onward: "on",
            layer: &up,
        }
        .say(cause::forward(act, cell, expected.as_ref(), &forward)),
        Sentence {
            name: "backward",
            what: "the gradient",
            direction: &backward,
            fate: backward_fate,
            steps: last - 1,
            way: format!("from layer {last} to 1"),
            onward: "down",
            layer: &down,
        }
        .say(cause::backward(cell, expected.as_ref(), &backward)),
    ];
    words.extend(range_of_f32(layers));
    words.extend(found.iter().map(|(_, text)| text.clone()));
    Judgement {
        forward,
        backward,
        flags: found.into_iter().map(|(name, _)| name.to_string()).collect(),
        words,
    }
}

/// Mean and second moment of an entry of the input.
fn entering(input: &Input) -> Entering {
    match input {
        Input::Data(samples) => {
            let count = samples.len().max(1) as f64;
            let mean = samples.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
            let second_moment = samples.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / count;
            // Of one sample with itself: only moments over units are followed.
            Entering { mean, second_moment, correlation: 1.0 }
        }
        _ => Entering::NORMAL,
    }
}

struct Sentence<'a> {
    name: &'a str,
    what: &'a str,
    direction: &'a Direction,
    fate: Fate,
    /// Layers between the ends.
    steps: usize,
    way: String,
    /// `on` or `down`, the way it flows.
    onward: &'static str,
    /// The layer of a place.
    layer: &'a dyn Fn(usize) -> usize,
}

impl Sentence<'_> {
    fn say(&self, cause: Option<String>) -> String {
        let verdict = format!("{} {}", self.name, self.direction.verdict.name());
        let fact = match self.fate {
            Fate::Flows { uniform_from } => self.change(uniform_from),
            Fate::Zero { place } => {
                format!("{} is exactly zero from layer {} {}", self.what, (self.layer)(place), self.onward)
            }
            Fate::Beyond { place, up } => format!(
                "{} passes 10^{}3e17 at layer {}, beyond what is measured",
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
                format!(
                    "no variation over samples and units from layer {} {}; ",
                    (self.layer)(place),
                    self.onward
                )
            }
        };
        text.push_str(&format!("{} changes by {} {}", self.quantity(), power(change), self.way));
        if let Some(slope) = self.direction.log10_per_layer
            && self.steps > 1
        {
            let line = slope * self.steps as f64;
            // The line goes through all layers, the change is between two.
            text.push_str(&if (line - change).abs() > (0.1 * change.abs()).max(0.3) {
                format!("; a line through all layers: ×{} a layer, {}", factor(slope), power(line))
            } else {
                format!(", ×{} a layer", factor(slope))
            });
        }
        text
    }
}

/// Where the signal, the gradient or the gradient's square (Adam's second moment) leaves the range of single precision.
fn range_of_f32(layers: &[Layer]) -> Vec<String> {
    let second = |s: &Summary| s.log10_second_moment.median;
    let up = layers.iter().map(|l| second(&l.activation));
    let down = || layers.iter().rev().map(|l| second(&l.gradient));
    let from_top = |magnitude| {
        first_outside(down(), magnitude, &F32)
            .and_then(|place| layers.iter().rev().nth(place))
            .map(|l| l.layer)
    };
    let mut words = Vec::new();
    if let Some(place) = first_outside(up, Magnitude::Root, &F32) {
        words.push(format!("the signal leaves the range of f32 at layer {}", layers[place].layer));
    }
    let (gradient, squares) = (from_top(Magnitude::Root), from_top(Magnitude::Square));
    if let Some(layer) = gradient {
        words.push(format!("the gradient leaves the range of f32 at layer {layer}"));
    }
    if let Some(layer) = squares
        && gradient != Some(layer)
    {
        words.push(format!("squares of the gradient leave the range of f32 at layer {layer}"));
    }
    words
}
