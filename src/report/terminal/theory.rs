//! What mean-field theory says, as a table.

use super::wrap::wrap;
use super::{BOLD, DIM};
use crate::report::theory::{number, place};
use crate::theory::meanfield::Phase;
use crate::theory::survey::Survey;
use unicode_width::UnicodeWidthStr;

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
    fn absent_numbers_say_why() {
        let survey = Survey::new(&Activation::parse("relu").unwrap(), 2.0, 0.0);
        let text = terminal(&survey, None);
        assert!(text.contains("every variance is kept") && text.contains("at every variance"), "{text}");
        assert!(text.lines().all(|line| !line.contains("NaN") && !line.contains("inf")));
        let narrow = terminal(&survey, Some(40));
        assert!(narrow.lines().all(|line| super::super::wrap::shown(line) <= 40), "{narrow}");
    }
}
