//! Ticks that can be read from 10^−12000 to 10^12000, within a decade, and far beyond. Where round numbers lie is computed by plotters.

use plotters::coord::ranged1d::Ranged;
use plotters::coord::types::{RangedCoordf64, RangedCoordi64, RangedCoordusize};

/// A range and its labelled ticks, both in the panel's own unit (decades, or shares).
pub struct Axis {
    pub range: (f64, f64),
    pub ticks: Vec<(f64, String)>,
}

/// Labelled ticks wanted at most.
const TICKS: usize = 8;
/// Values are taken as no larger than this, so that their differences are finite.
const LARGEST: f64 = 1e300;
/// Decades beyond this are written as powers in plain figures.
const LONG: f64 = 1e6;

impl Axis {
    /// A logarithmic axis over values given as log₁₀; without ticks when there are none.
    pub fn decades(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .map(|v| v.clamp(-LARGEST, LARGEST))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |r, v| (r.0.min(v), r.1.max(v)));
        if low > high {
            return Self { range: (-1.0, 1.0), ticks: Vec::new() };
        }
        let middle = f64::midpoint(low, high);
        // Flat curves look flat: at least one decade is shown, and of a long exponent what three figures tell apart.
        let least = if middle.abs() < LONG { 1.0 } else { 0.05 * middle.abs() };
        let spread = (high - low).max(least);
        let range = (middle - 0.54 * spread, middle + 0.54 * spread);
        let ticks = if spread < 2.5 { within_decades(range, spread) } else { whole_decades(range) };
        Self { range, ticks }
    }

    /// From zero, or below where a correlation is negative, to one.
    pub fn shares(lowest: f64) -> Self {
        let low = if lowest < -0.02 { (lowest * 5.0).floor() / 5.0 } else { 0.0 };
        let first = (low * 5.0).round() as i32;
        let ticks =
            (first..=5).map(|k| (f64::from(k) / 5.0, format!("{:.1}", f64::from(k) / 5.0).replace('-', "−")));
        Self { range: (low - 0.03, 1.03), ticks: ticks.collect() }
    }
}

impl Axis {
    /// From zero to `top` (> 0), in plain numbers where people write them so.
    pub fn linear(top: f64) -> Self {
        Self { range: (0.0, top), ticks: plain_ticks(0.0, top) }
    }

    /// From `low` to `high`, plain numbers; decades where `logarithmic` says so, and both are log₁₀ then.
    pub fn between(low: f64, high: f64, logarithmic: bool) -> Self {
        if !logarithmic {
            return Self { range: (low, high), ticks: plain_ticks(low, high) };
        }
        let inside = |v: f64| (low - 1e-9 * (high - low)..=high + 1e-9 * (high - low)).contains(&v);
        let mut axis = Self { range: (low, high), ..Self::decades([low, high].into_iter()) };
        axis.ticks.retain(|tick| inside(tick.0));
        axis
    }
}

/// Round numbers from `low` to `high`, and what lies between them.
fn round_numbers(low: f64, high: f64) -> (Vec<f64>, f64) {
    // plotters takes differences below 10⁻¹⁶ for none: it is asked about numbers of order one.
    let unit = 10f64.powf((high - low).log10().floor());
    let room = 1e-9 * (high - low) / unit;
    let axis = RangedCoordf64::from(low / unit - room..high / unit + room);
    let numbers: Vec<f64> = axis.key_points(TICKS).into_iter().map(|v| v * unit).collect();
    let step = numbers.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(unit);
    (numbers, step)
}

fn plain_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let (numbers, step) = round_numbers(low, high);
    let digits = (-(step * 1.000_001).log10().floor()).max(0.0) as usize;
    let label = |value: f64| match value {
        v if v.abs() < 1e-6 * step => "0".into(),
        v if (0.99e-4..1e7).contains(&step) => format!("{v:.digits$}"),
        v => scientific(v, step),
    };
    numbers.into_iter().map(|v| (v, label(v))).collect()
}

/// A number with as many figures as tell it from its neighbors.
fn scientific(value: f64, step: f64) -> String {
    let digits = (value.abs().log10().floor() - (step * 1.000_001).log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.digits$e}").replace('-', "−");
    match text.split_once('e') {
        Some((figures, exponent)) if figures.contains('.') => {
            format!("{}e{exponent}", figures.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// Whole multiples of a number from 0 to `end`, few enough to stand beside each other.
pub fn whole_ticks(end: usize, most: usize) -> Vec<usize> {
    RangedCoordusize::from(0..end).key_points(most)
}

fn whole_decades(range: (f64, f64)) -> Vec<(f64, String)> {
    if range.0 > -LONG && range.1 < LONG {
        let axis = RangedCoordi64::from(range.0.ceil() as i64..range.1.floor() as i64);
        return axis.key_points(TICKS).into_iter().map(|decade| (decade as f64, power(decade))).collect();
    }
    let label = |v: f64, step: f64| match v {
        v if v.abs() < 1e-6 * step => "1".into(),
        v => format!("10^{}", scientific(v, step)),
    };
    let (numbers, step) = round_numbers(range.0, range.1);
    numbers.into_iter().map(|v| (v, label(v, step))).collect()
}

/// 1, 2 and 5 of each decade, as plain numbers where people write them so.
fn within_decades(range: (f64, f64), spread: f64) -> Vec<(f64, String)> {
    let factors: &[f64] = if spread < 1.6 { &[1.0, 2.0, 5.0] } else { &[1.0, 3.0] };
    let (first, last) = (range.0.floor() as i64, range.1.ceil() as i64);
    let mut ticks = Vec::new();
    for decade in first..=last {
        for factor in factors {
            let place = decade as f64 + factor.log10();
            if (range.0..=range.1).contains(&place) {
                let label = if (-3..=3).contains(&decade) {
                    let digits = usize::try_from(-decade).unwrap_or(0);
                    format!("{:.digits$}", factor * 10f64.powi(decade as i32))
                } else if *factor == 1.0 {
                    power(decade)
                } else {
                    format!("{factor}·{}", power(decade))
                };
                ticks.push((place, label));
            }
        }
    }
    ticks
}

/// 10⁻¹²; one as it is.
fn power(decade: i64) -> String {
    if decade == 0 {
        return "1".into();
    }
    let text = decade.to_string();
    let digits = text.chars().map(|c| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32(0x2070 + digit.to_digit(10).unwrap_or(0)).unwrap_or(digit),
    });
    format!("10{}", digits.collect::<String>())
}

/// Round layer numbers, with the first.
pub fn layer_ticks(depth: usize) -> Vec<usize> {
    let round = whole_ticks(depth, 7);
    let step = round.get(1).copied().unwrap_or(1);
    let apart = round.into_iter().filter(|layer| *layer > 1 && (layer - 1) * 3 >= step);
    std::iter::once(1).chain(apart).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64) -> Vec<String> {
        Axis::decades([low, high].into_iter()).ticks.into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn few_round_ticks_at_any_scale() {
        assert_eq!(labels(-15.0, 0.0), ["10⁻¹⁵", "10⁻¹⁰", "10⁻⁵", "1"]);
        assert_eq!(labels(0.0, 4816.0), ["1", "10¹⁰⁰⁰", "10²⁰⁰⁰", "10³⁰⁰⁰", "10⁴⁰⁰⁰", "10⁵⁰⁰⁰"]);
        assert_eq!(labels(0.0, 0.1), ["0.5", "1", "2"]);
        assert_eq!(labels(-12.1, -12.0), ["5·10⁻¹³", "10⁻¹²", "2·10⁻¹²"]);
        for spread in [0.1, 1.0, 2.0, 2.6, 3.0, 7.0, 19.0, 55.0, 333.0, 4000.0, 12_540.0] {
            let count = labels(-spread, 0.0).len();
            assert!((2..=9).contains(&count), "{spread}: {count}");
        }
    }

    #[test]
    fn linear_ticks_are_round() {
        let labels = |top: f64| Axis::linear(top).ticks.into_iter().map(|t| t.1).collect::<Vec<_>>();
        assert_eq!(labels(1.0), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(3.1), ["0", "0.5", "1.0", "1.5", "2.0", "2.5", "3.0"]);
        assert_eq!(labels(70.0), ["0", "10", "20", "30", "40", "50", "60", "70"]);
        for top in [1e-9, 3e-4, 0.7, 8.0, 1e6, 2e12] {
            assert!((3..=9).contains(&labels(top).len()), "{top}: {:?}", labels(top));
        }
    }

    #[test]
    fn long_exponents_are_written_as_powers_and_told_apart() {
        let labels = |low: f64, high: f64| {
            let axis = Axis::decades([low, high].into_iter());
            axis.ticks.into_iter().map(|t| t.1).collect::<Vec<_>>()
        };
        assert_eq!(
            labels(0.0, 3.4e17),
            ["1", "10^5e16", "10^1e17", "10^1.5e17", "10^2e17", "10^2.5e17", "10^3e17", "10^3.5e17"]
        );
        assert_eq!(labels(-4e7, 1e6).last().map(String::as_str), Some("1"));
        for (low, high) in
            [(3.47e17, 3.47e17), (-1e300, 1e300), (f64::NEG_INFINITY, f64::INFINITY), (1e6, 1e6 + 3.0)]
        {
            let labels = labels(low, high);
            let distinct: std::collections::BTreeSet<&String> = labels.iter().collect();
            assert!((2..=9).contains(&labels.len()) && distinct.len() == labels.len(), "{labels:?}");
        }
        assert!(Axis::decades([f64::NAN].into_iter()).ticks.is_empty());
    }

    #[test]
    fn plain_numbers_lie_between_their_ends() {
        for (low, high) in [(0.0, 1e-30), (-3e-9, 2e-9), (0.4, 5.0), (1e5, 1e5 + 1.0), (-7.0, 1e12)] {
            let axis = Axis::between(low, high, false);
            let room = 1e-6 * (high - low);
            assert!(axis.ticks.iter().all(|t| (low - room..=high + room).contains(&t.0)), "{:?}", axis.ticks);
            assert!((2..=9).contains(&axis.ticks.len()), "{:?}", axis.ticks);
        }
    }

    #[test]
    fn no_values_no_ticks() {
        assert!(Axis::decades(std::iter::empty()).ticks.is_empty());
    }

    #[test]
    fn layers_are_round_numbers() {
        assert_eq!(layer_ticks(50), [1, 10, 20, 30, 40, 50]);
        assert_eq!(layer_ticks(1), [1]);
        assert_eq!(layer_ticks(3), [1, 2, 3]);
        assert_eq!(layer_ticks(10_000), [1, 2000, 4000, 6000, 8000, 10_000]);
    }
}
