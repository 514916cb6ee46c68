//! What mean-field theory says: the names of its files, and its numbers in words.

use super::export::{Files, Format, Presentation, pretty};
#[cfg(feature = "figures")]
use super::figure::{self, Figure};
use crate::law::short;
use crate::theory::survey::Survey;
use std::io::{self, Write};

/// The files that a survey may be written to.
pub const FILES: &Files =
    &[(Format::Json, "theory.json"), (Format::Svg, "theory.svg"), (Format::Png, "theory.png")];

impl Presentation for Survey {
    fn name(&self) -> &'static str {
        "theory"
    }

    fn json(&self, to: &mut dyn Write) -> io::Result<()> {
        pretty(self, to)
    }

    #[cfg(feature = "figures")]
    fn figures(&self) -> Vec<Figure> {
        vec![Figure { name: "theory", svg: figure::theory_svg(self) }]
    }
}

/// σ_w² and σ_b², and where they come from.
pub fn place(survey: &Survey) -> String {
    let mut text = format!("σ_w² = {} · σ_b² = {}", number(survey.sigma_w2), number(survey.sigma_b2));
    if let Some(init) = &survey.init {
        text.push_str(&format!(" · {init}"));
    }
    if let Some(width) = survey.width {
        text.push_str(&format!(", width {width}"));
    }
    text
}

/// At most seven significant digits.
pub fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let magnitude = value.abs().log10().floor();
    if !(-4.0..7.0).contains(&magnitude) {
        return short(value);
    }
    let text = format!("{value:.*}", (6.0 - magnitude).max(0.0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_seven_digits() {
        for (value, text) in [
            (0.938_636_12, "0.9386361"),
            (15.790_98, "15.79098"),
            (2.0, "2"),
            (1e-9, "1e-9"),
            (0.05, "0.05"),
            (512.0, "512"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
