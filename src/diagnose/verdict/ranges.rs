//! Where signal and gradient leave the normal range of number formats.

use crate::result::{FormatRange, Layer, Summary};
use crate::theory::formats::{FORMATS, Magnitude, first_outside};

/// For every format, widest first.
pub fn ranges(layers: &[Layer]) -> Vec<FormatRange> {
    let second = |s: &Summary| s.log10_second_moment.median;
    let up: Vec<_> = layers.iter().map(|l| second(&l.activation)).collect();
    let down: Vec<_> = layers.iter().rev().map(|l| second(&l.gradient)).collect();
    let from_top = |place: usize| layers[layers.len() - 1 - place].layer;
    let one = |format: &crate::theory::formats::Format| FormatRange {
        format: format.name,
        activation: first_outside(up.iter().copied(), Magnitude::Root, format).map(|k| layers[k].layer),
        gradient: first_outside(down.iter().copied(), Magnitude::Root, format).map(from_top),
        squared_gradient: first_outside(down.iter().copied(), Magnitude::Square, format).map(from_top),
    };
    FORMATS.iter().map(one).collect()
}

/// A sentence for each quantity that leaves some format. Squares are worth a word where the gradient itself stays longer.
pub fn words(ranges: &[FormatRange], name: &dyn Fn(usize) -> String) -> Vec<String> {
    let gradient = |r: &FormatRange| r.gradient;
    let squares = |r: &FormatRange| r.squared_gradient.filter(|_| r.squared_gradient != r.gradient);
    let said = [
        ("the signal leaves", sentence(ranges, name, |r| r.activation)),
        ("the gradient leaves", sentence(ranges, name, gradient)),
        ("squares of the gradient leave", sentence(ranges, name, squares)),
    ];
    said.into_iter().filter_map(|(what, rest)| rest.map(|rest| format!("{what} {rest}"))).collect()
}

/// `the range of f32 and bf16 at layer 49, of f16 at layer 12`.
fn sentence(
    ranges: &[FormatRange],
    name: &dyn Fn(usize) -> String,
    layer: impl Fn(&FormatRange) -> Option<usize>,
) -> Option<String> {
    let mut groups: Vec<(usize, Vec<&str>)> = Vec::new();
    for range in ranges {
        let Some(layer) = layer(range) else { continue };
        match groups.last_mut() {
            Some((last, names)) if *last == layer => names.push(range.format.name()),
            _ => groups.push((layer, vec![range.format.name()])),
        }
    }
    let group = |(layer, names): &(usize, Vec<&str>)| format!("of {} at {}", list(names), name(*layer));
    let all: Vec<String> = groups.iter().map(group).collect();
    (!all.is_empty()).then(|| format!("the range {}", all.join(", ")))
}

/// `a, b and c`.
fn list(names: &[&str]) -> String {
    match names {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::NumberFormat;

    #[test]
    fn formats_are_named_where_they_end() {
        let range = |format: NumberFormat, activation, gradient, squared_gradient| FormatRange {
            format,
            activation,
            gradient,
            squared_gradient,
        };
        let ranges = [
            range(NumberFormat::F32, None, None, Some(49)),
            range(NumberFormat::Bf16, None, None, Some(49)),
            range(NumberFormat::F16, Some(30), Some(20), Some(20)),
            range(NumberFormat::Fp8E5m2, Some(30), None, None),
        ];
        let expected = [
            "the signal leaves the range of f16 and fp8-e5m2 at layer 30",
            "the gradient leaves the range of f16 at layer 20",
            "squares of the gradient leave the range of f32 and bf16 at layer 49",
        ];
        assert_eq!(words(&ranges, &|layer| format!("layer {layer}")), expected);
        assert!(words(&[], &|_| String::new()).is_empty());
    }
}
