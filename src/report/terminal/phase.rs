//! The phase diagram as a table.

use super::wrap::wrap;
use super::{BOLD, DIM, padded};
use crate::report::phase::{brief, coordinates, inside};
use crate::report::theory::number;
use crate::theory::phase::{Deviation, Diagram, Place};
use unicode_width::UnicodeWidthStr;

/// The table with ANSI styles; the writer strips them where they do not belong.
pub fn terminal(diagram: &Diagram, columns: Option<usize>) -> String {
    let range = |values: &[f64]| {
        let ends = values.first().zip(values.last());
        ends.map_or(String::new(), |(low, high)| format!("{}..{}", number(*low), number(*high)))
    };
    let title = format!(
        "{BOLD}{}{BOLD:#}  {DIM}σ_w² {} · σ_b² {} · initializers at width {}{DIM:#}",
        diagram.act,
        range(&diagram.sigma_w2),
        range(&diagram.sigma_b2),
        diagram.width
    );
    let mut text = vec![wrap(&title, columns, 2), String::new()];
    text.extend(edges(diagram).into_iter().map(|line| wrap(&line, columns, 4)));
    if diagram.unresolved > 0 {
        let points = diagram.sigma_w2.len() * diagram.sigma_b2.len();
        let words = format!(
            "ξ_c is left out at {} of {points} points: the activation turns too fast there for two samples to be integrated",
            diagram.unresolved
        );
        text.push(wrap(&words, columns, 2));
    }
    text.push(String::new());
    text.extend(table(diagram, columns));
    if let Some(m) = &diagram.measured {
        text.push(String::new());
        let stacks = format!(
            "{BOLD}simulated{BOLD:#}: layers {} to {} of width {}, batch {}, {} trials a point",
            m.window.first, m.window.last, m.width, m.batch, m.trials
        );
        text.push(wrap(&stacks, columns, 2));
        for (name, worst) in [("gradient", &m.largest_gradient), ("signal", &m.largest_signal)] {
            text.push(wrap(&format!("  {name}: {}", deviation(worst.as_ref())), columns, 4));
        }
    }
    text.join("\n") + "\n"
}

fn deviation(worst: Option<&Deviation>) -> String {
    match worst {
        None => "nothing to compare".into(),
        Some(d) => format!(
            "largest deviation {:+.4} decades a layer (measured {:+.4}, theory {:+.4}) at σ_w² = {}, σ_b² = {}",
            d.measured - d.expected,
            d.measured,
            d.expected,
            brief(d.sigma_w2),
            brief(d.sigma_b2)
        )
        .replace('-', "−"),
    }
}

fn edges(diagram: &Diagram) -> Vec<String> {
    if diagram.edges.is_empty() {
        let first = diagram.critical_line.first();
        let words = match first {
            None => "none: χ₁ = 1 keeps no variance at any bias".to_string(),
            Some(p) => format!(
                "outside these ranges; it begins at σ_w² = {}, σ_b² = {}",
                number(p.sigma_w2),
                number(p.sigma_b2)
            ),
        };
        return vec![format!("{BOLD}critical line{BOLD:#}: {words}")];
    }
    let mut lines = vec![format!("{BOLD}critical line{BOLD:#}  {DIM}χ₁ = 1{DIM:#}")];
    for edge in &diagram.edges {
        let q = edge.q_star.map_or("every variance is kept".into(), |q| format!("q* = {}", number(q)));
        let bias = padded(&format!("σ_b² = {}", number(edge.sigma_b2)), 12);
        lines.push(format!("  {bias} σ_w² = {}  {DIM}{q}{DIM:#}", padded(&number(edge.sigma_w2), 9)));
    }
    if diagram.unkept_at.is_some() {
        lines.push(format!("  {DIM}with biases χ₁ = 1 there too, but lengths grow{DIM:#}"));
    }
    lines
}

fn table(diagram: &Diagram, columns: Option<usize>) -> Vec<String> {
    let value = |x: Option<f64>| x.map_or("–".into(), brief);
    let row = |p: &Place| {
        let phase = p.phase.map_or("–".into(), |phase| phase.to_string());
        let here = coordinates(p).is_some_and(|at| inside(diagram, at));
        let names = p.names.join(", ");
        let names = if here { names } else { format!("{names} (outside)") };
        [value(p.sigma_w2), value(p.sigma_b2), phase, value(p.chi1), value(p.xi_c), names]
    };
    let rows: Vec<[String; 6]> = diagram.initializers.iter().map(row).collect();
    let head = ["σ_w²", "σ_b²", "phase", "χ₁", "ξ_c", "initializers"];
    let width = |c: usize| rows.iter().map(|r| r[c].width()).chain([head[c].width()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |fields: [&str; 6]| {
        let cells: Vec<String> = fields.iter().zip(&widths).map(|(f, w)| padded(f, *w)).collect();
        format!("{}  {}", cells.join("  "), fields[5])
    };
    let indent = widths.iter().sum::<usize>() + 10;
    let mut lines = vec![format!("{DIM}{}{DIM:#}", line(head))];
    for r in &rows {
        let fields = [&r[0], &r[1], &r[2], &r[3], &r[4], &r[5]].map(String::as_str);
        lines.push(wrap(&line(fields), columns, indent));
    }
    for place in &diagram.left_out {
        let why = place.why.clone().unwrap_or_default();
        lines.push(wrap(&format!("{DIM}no point: {} ({why}){DIM:#}", place.names.join(", ")), columns, 4));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::report::export::Presentation;
    use crate::theory::phase::grid;

    #[test]
    fn tables_fit_and_json_reads_back() {
        for name in ["relu", "softplus", "tanh"] {
            let act = Activation::parse(name).unwrap();
            let (w, b) = crate::theory::phase::ranges(&act, &crate::theory::phase::walk(&act));
            let diagram = Diagram::new(&act, grid(w, 5), grid(b, 4), 512);
            let text = terminal(&diagram, Some(70));
            assert!(text.lines().all(|l| super::super::wrap::shown(l) <= 70), "{text}");
            assert!(text.contains("critical line") && !text.contains("NaN") && !text.contains("inf"));
            let mut json = Vec::new();
            diagram.json(&mut json).unwrap();
            assert_eq!(
                serde_json::from_slice::<Diagram>(&json).unwrap().sigma_w2.len(),
                diagram.sigma_w2.len()
            );
            assert!(json.split(|byte| *byte == b'\n').count() < 900);
        }
        assert_eq!(brief(0.333_333), "0.333");
    }
}
