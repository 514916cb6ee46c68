//! Numbers as people write them.

use crate::law::short;
use crate::numeric::wide::Wide;

/// 10^x as a factor.
pub fn factor(log10: f64) -> String {
    if log10.abs() < 3.0 { short(round(10f64.powf(log10))) } else { power(log10) }
}

/// 10^x as a power of ten, its sign always there.
pub fn power(log10: f64) -> String {
    // −0.00 is a zero.
    let hundredths = (log10 * 100.0).round() / 100.0 + 0.0;
    format!("10^{hundredths:+.2}")
}

/// Three significant digits.
pub fn round(x: f64) -> f64 {
    let scale = 10f64.powf(2.0 - x.abs().log10().floor());
    if scale.is_finite() { (x * scale).round() / scale } else { x }
}

/// Three significant digits, of a number of any size.
pub fn wide(x: Wide) -> String {
    match (x.to_f64(), x.log10_abs()) {
        (plain, _) if plain.is_normal() => short(round(plain)),
        (_, Some(log10)) => power(log10),
        (_, None) => "0".into(),
    }
}

/// 1/6 rather than 0.16667; three significant digits of what is no such fraction.
pub fn fraction(x: f64) -> String {
    let whole = 1.0 / x;
    if (whole - whole.round()).abs() < 1e-9 * whole.abs() && (2.0..=12.0).contains(&whole.round()) {
        return format!("1/{}", whole.round());
    }
    if (x - 2.0 / 3.0).abs() < 1e-9 {
        return "2/3".into();
    }
    short(if x.abs() < 1000.0 { round(x) } else { x })
}

/// The same of a number of any size.
pub fn wide_fraction(x: Wide) -> String {
    match x.to_f64() {
        plain if plain.is_normal() || x.is_zero() => fraction(plain),
        _ => wide(x),
    }
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Four decimals at most.
pub fn four(x: f64) -> String {
    short((x * 1e4).round() / 1e4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_read_like_factors() {
        assert_eq!(fraction(1.0 / 6.0), "1/6");
        assert_eq!(fraction(1.0 / 3.0 + 1e-12), "1/3");
        assert_eq!(fraction(2.0 / 3.0), "2/3");
        assert_eq!(fraction(0.332), "0.332");
        assert_eq!(fraction(0.0), "0");
        assert_eq!(fraction(512.0), "512");
        assert_eq!(factor(-0.301), "0.5");
        assert_eq!(factor(-20.0), "10^-20.00");
        assert_eq!(power(-0.001), "10^+0.00");
        assert_eq!(power(-14.824), "10^-14.82");
    }
}
