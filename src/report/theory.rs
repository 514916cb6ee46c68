//! What mean-field theory says, for people and as JSON.

use crate::law::short;
use crate::report::wrap::wrap;
use crate::theory::meanfield::Phase;
use crate::theory::survey::Survey;
use anstyle::Style;
use unicode_width::UnicodeWidthStr;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Pretty-printed, ending in a newline.
pub fn json(survey: &Survey) -> String {
    let mut text =
        serde_json::to_string_pretty(survey).expect("a survey holds strings and finite numbers only");
    text.push('\n');
    text
}

/// The table with ANSI styles; the writer strips them where they do not belong.
pub fn terminal(survey: &Survey, columns: Option<usize>) -> String {
    let mut lines =
        vec![wrap(&format!("{BOLD}{}{BOLD:#}  {DIM}{}{DIM:#}", survey.act, place(survey)), columns, 2)];
    lines.push(String::new());
    let answer = |name: &str, value: Option<f64>, what: &str| match value {
        Some(value) => (number(value), what.to_string()),
        None => {
            ("–".to_string(), format!("{what}: {}", survey.why.get(name).map_or("not known", String::as_str)))
        }
    };
    let rows = [
        ("q*", answer("q_star", survey.q_star, "variance that the layers settle at")),
        ("χ₁", answer("chi1", survey.chi1, "factor on squared gradients a layer")),
        ("c*", answer("c_star", survey.c_star, "cosine that samples settle at")),
        ("ξ_q", answer("xi_q", survey.xi_q, "layers for the variance to come e times closer")),
        ("ξ_c", answer("xi_c", survey.xi_c, "layers for the cosine to come e times closer")),
    ];
    let width = rows.iter().map(|(_, (value, _))| value.width()).max().unwrap_or(0);
    for (name, (value, what)) in rows {
        let gap = |text: &str, width: usize| " ".repeat(width.saturating_sub(text.width()));
        let line = format!("{name}{}  {value}{}  {DIM}{what}{DIM:#}", gap(name, 5), gap(&value, width));
        lines.push(wrap(&line, columns, width + 9));
    }
    lines.push(String::new());
    lines.push(wrap(&format!("{BOLD}phase{BOLD:#}: {}", phase(survey)), columns, 2));
    lines.push(wrap(&format!("{BOLD}edge of chaos{BOLD:#}: {}", edge(survey)), columns, 2));
    lines.join("\n") + "\n"
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

fn phase(survey: &Survey) -> String {
    let Some(chi) = survey.chi1 else {
        return format!("none, {}", survey.why.get("chi1").map_or("not known", String::as_str));
    };
    let decades = 100.0 * chi.log10();
    let over = |name: &str, what: &str| {
        if decades.is_finite() {
            format!("{name}; {what}, squared by 10^{decades:.1} over 100 layers")
        } else {
            format!("{name}; no gradient passes")
        }
    };
    match survey.phase {
        Some(Phase::Ordered) => over("ordered", "gradients vanish"),
        Some(Phase::Chaotic) => over("chaotic", "gradients explode"),
        _ => "critical; gradients keep their size".into(),
    }
}

fn edge(survey: &Survey) -> String {
    match survey.edge {
        None => survey.why.get("edge").cloned().unwrap_or_default(),
        Some(edge) => {
            let at = edge.q_star.map_or("at every variance".into(), |q| format!("at q* = {}", number(q)));
            format!("σ_w² = {} with this σ_b², {at}", number(edge.sigma_w2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;

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

    #[test]
    fn absent_numbers_say_why() {
        let survey = Survey::new(&Activation::parse("relu").unwrap(), 2.0, 0.0);
        let text = terminal(&survey, None);
        assert!(text.contains("every variance is kept") && text.contains("at every variance"), "{text}");
        assert!(text.lines().all(|line| !line.contains("NaN") && !line.contains("inf")));
        let narrow = terminal(&survey, Some(40));
        assert!(narrow.lines().all(|line| crate::report::wrap::shown(line) <= 40), "{narrow}");
    }
}
