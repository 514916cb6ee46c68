//! A comparison in words.

use crate::diagnose::verdict::words::factor;
use crate::result::{Cell, Comparison, Difference, Kind, Quantity, Recorded};

/// One sentence about a cell; `resolution` in decades.
pub fn say(cell: &Cell, old: Option<&Cell>, found: &Comparison, resolution: Option<f64>) -> String {
    let beside = found.init.as_ref().map_or(String::new(), |init| format!(" (there {init})"));
    let (Some(p), Some(clearest)) = (found.p, &found.clearest) else {
        return format!(
            "baseline{beside}: nothing could be tested: a spread needs two trials on either side"
        );
    };
    if !found.drift {
        let seen = resolution.map_or(String::new(), |x| {
            format!("; a change of the variance by a factor of {} would show", factor(x))
        });
        return format!("baseline{beside}: no drift, p {}{seen}", probability(p));
    }
    let mut text = format!("drift{beside}: {}", difference(clearest));
    if let [first, .., last] = found.layers.as_slice() {
        let whole = last - first + 1 == found.layers.len();
        text.push_str(&if whole {
            format!(", beyond chance at layers {first}–{last}")
        } else {
            format!(", beyond chance at {} layers from {first} to {last}", found.layers.len())
        });
    }
    let slopes = |pick: fn(&Cell) -> Option<f64>| Some(pick(cell)? - pick(old?)?);
    for (name, change) in [
        ("forward", slopes(|c| c.forward.log10_per_layer)),
        ("backward", slopes(|c| c.backward.log10_per_layer)),
    ] {
        if let Some(change) = change.filter(|c| c.is_finite() && c.abs() > super::TOLERANCE) {
            text.push_str(&format!("; {name} factor a layer ×{} the baseline's", factor(change)));
        }
    }
    format!("{text}; p {}", probability(p))
}

fn difference(d: &Difference) -> String {
    let quantity = match d.quantity {
        Recorded::Preactivation => "pre-activation",
        Recorded::WeightGradient => "weight-gradient",
        other => other.name(),
    };
    let of = match d.of {
        Quantity::Variance => "variance",
        Quantity::SquaredNorm => "squared norm",
        Quantity::RelativeGradient => "relative gradient",
        Quantity::SecondMoment => "second moment",
    };
    let times = d.log10_ratio.map_or(String::new(), |x| format!("×{}", factor(x)));
    match d.kind {
        Kind::Level => format!("{quantity} {of} of layer {} is {times} the baseline's", d.layer),
        Kind::Step => {
            let before =
                if d.quantity == Recorded::Gradient { d.layer + 1 } else { d.layer.saturating_sub(1) };
            format!(
                "the step of the {quantity} {of} from layer {before} to {} is {times} the baseline's",
                d.layer
            )
        }
        Kind::Zeros => {
            let [ours, theirs] = d.zero_trials.unwrap_or_default();
            format!(
                "{quantity} {of} of layer {} is exactly zero in {ours} trials, in the baseline in {theirs}",
                d.layer
            )
        }
    }
}

/// Two digits; what is below any meaning as a bound.
fn probability(p: f64) -> String {
    match p {
        p if p < 1e-12 => "< 1e-12".into(),
        p if p < 0.001 => format!("{p:.0e}"),
        p => format!("{p:.2}"),
    }
}
