//! The spectrum of a Jacobian in a sentence.

use crate::result::jacobian::{Jacobian, JacobianMethod, OverTrials};

/// What was measured beside what theory expects.
pub fn sentence(jacobian: &Jacobian) -> String {
    let j = jacobian;
    let power = |log: Option<f64>| log.map_or("0".into(), magnitude);
    let mut text = format!(
        "singular values of ∂output/∂input ({} × {}): largest {}",
        j.outputs,
        j.inputs,
        power(j.log10_largest.median)
    );
    text.push_str(&format!(", mean square {}", power(j.log10_of_mean_square)));
    if let Some(theory) = &j.theory {
        text.push_str(&format!(" (theory {})", magnitude(theory.log10_mean_square)));
    }
    text.push_str(&format!(", relative variance of the squares {}", range(&j.relative_variance)));
    if let Some(theory) = &j.theory {
        text.push_str(&format!(" (theory {})", plain(theory.relative_variance)));
    }
    if j.method == JacobianMethod::Estimated {
        text.push_str("; estimated by random read-outs, the largest from below");
    }
    text
}

/// Median, and the middle 90 % of trials where they differ in what is shown.
fn range(over: &OverTrials) -> String {
    let show = |v: Option<f64>| v.map_or("–".into(), plain);
    let (median, low, high) = (show(over.median), show(over.q05), show(over.q95));
    if low == high { median } else { format!("{median} [{low}, {high}]") }
}

/// Three digits.
fn plain(value: f64) -> String {
    match value.abs() {
        v if v < 1e-9 => "0".into(),
        v if v < 1e-3 => format!("{value:.1e}"),
        v if v < 9.995 => format!("{value:.2}"),
        v if v < 99.95 => format!("{value:.1}"),
        v if v < 1e5 => format!("{value:.0}"),
        _ => magnitude(value.log10()),
    }
}

/// 10^log, as a number where it has few digits.
fn magnitude(log: f64) -> String {
    if log.abs() < 4.0 {
        let value = 10f64.powf(log);
        return if value < 0.0995 { format!("{value:.2e}") } else { plain(value) };
    }
    format!("10^{log:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::jacobian::JacobianTheory;

    #[test]
    fn a_sentence_has_the_measured_and_the_expected() {
        let over = |v: f64| OverTrials { median: Some(v), q05: Some(v - 1.0), q95: Some(v + 1.0) };
        let jacobian = Jacobian {
            inputs: 400,
            outputs: 400,
            method: JacobianMethod::Full,
            trials: 10,
            log10_largest: over(1.2),
            log10_mean_square: over(0.0),
            log10_of_mean_square: Some(0.0043),
            relative_variance: over(33.8),
            log10_singular_values: Vec::new(),
            theory: Some(JacobianTheory { log10_mean_square: 0.0, relative_variance: 32.0 }),
        };
        let text = sentence(&jacobian);
        assert_eq!(
            text,
            "singular values of ∂output/∂input (400 × 400): largest 15.8, mean square 1.01 (theory 1.00), relative variance of \
             the squares 33.8 [32.8, 34.8] (theory 32.0)"
        );
        let none =
            Jacobian { log10_largest: OverTrials::default(), method: JacobianMethod::Estimated, ..jacobian };
        assert!(sentence(&none).contains("largest 0,") && sentence(&none).ends_with("from below"));
        assert_eq!((plain(1e-24), plain(-4e-16), plain(2e-5)), ("0".into(), "0".into(), "2.0e-5".into()));
        assert_eq!((magnitude(-12.34), magnitude(-2.0)), ("10^-12.3".into(), "1.00e-2".into()));
    }
}
