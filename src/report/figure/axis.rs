//! Ticks that can be read from 10^−12000 to 10^12000, and within a decade.

/// A range and its labelled ticks, both in the panel's own unit (decades, or shares).
pub struct Axis {
    pub range: (f64, f64),
    pub ticks: Vec<(f64, String)>,
}

/// Labelled ticks wanted at most.
const TICKS: f64 = 7.0;

impl Axis {
    /// A logarithmic axis over values given as log₁₀; without ticks when there are none.
    pub fn decades(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |r, v| (r.0.min(v), r.1.max(v)));
        if low > high {
            return Self { range: (-1.0, 1.0), ticks: Vec::new() };
        }
        // Flat curves look flat: at least one decade is shown.
        let spread = (high - low).max(1.0);
        let middle = f64::midpoint(low, high);
        let range = (middle - 0.54 * spread, middle + 0.54 * spread);
        let ticks = if spread < 2.5 { within_decades(range, spread) } else { whole_decades(range, spread) };
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
        let step = nice_step(top / TICKS);
        let count = (top / step * (1.0 + 1e-9)).floor() as i32;
        let label = |value: f64| {
            let digits = (-step.log10().floor()).max(0.0) as usize;
            if (1e-4..1e7).contains(&step) { format!("{value:.digits$}") } else { format!("{value:e}") }
        };
        let tick = |k: i32| {
            let value = f64::from(k) * step;
            (value, if k == 0 { "0".into() } else { label(value) })
        };
        Self { range: (0.0, top), ticks: (0..=count).map(tick).collect() }
    }
}

impl Axis {
    /// From `low` to `high`, plain numbers; decades where `logarithmic` says so, and both are log₁₀ then.
    pub fn between(low: f64, high: f64, logarithmic: bool) -> Self {
        let inside = |v: f64| (low - 1e-9 * (high - low)..=high + 1e-9 * (high - low)).contains(&v);
        let mut axis = if logarithmic {
            Self::decades([low, high].into_iter())
        } else {
            let step = nice_step((high - low) / TICKS);
            let digits = (-step.log10().floor()).max(0.0) as usize;
            let label = |value: f64| match value {
                v if v.abs() < 1e-9 * step => "0".into(),
                v if (1e-4..1e7).contains(&step) => format!("{v:.digits$}"),
                v => format!("{v:.1e}"),
            };
            let tick = |k: i64| (k as f64 * step, label(k as f64 * step));
            let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
            Self { range: (low, high), ticks: (first..=last).map(tick).collect() }
        };
        axis.range = (low, high);
        axis.ticks.retain(|tick| inside(tick.0));
        axis
    }
}

fn whole_decades(range: (f64, f64), spread: f64) -> Vec<(f64, String)> {
    let step = nice_step(spread / TICKS).max(1.0);
    let (first, last) = ((range.0 / step).ceil() as i64, (range.1 / step).floor() as i64);
    (first..=last).map(|k| k as f64 * step).map(|decade| (decade, power(decade as i64))).collect()
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

/// 1, 2 or 5 times a power of ten, at least `least`.
fn nice_step(least: f64) -> f64 {
    let decade = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|f| f * decade)
        .find(|s| *s >= least * 0.999)
        .unwrap_or(10.0 * decade)
}

/// Round layer numbers, with the first.
pub fn layer_ticks(depth: usize) -> Vec<usize> {
    let step = (nice_step(depth as f64 / 6.0).round() as usize).max(1);
    let mut ticks = vec![1];
    ticks.extend(
        (1..)
            .map(|k| k * step)
            .take_while(|layer| *layer <= depth)
            .filter(|l| *l > 1 && (*l - 1) * 3 >= step),
    );
    ticks
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
