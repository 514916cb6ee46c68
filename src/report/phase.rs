//! The phase diagram for people and as JSON.

use crate::law::short;
use crate::report::terminal::padded;
use crate::report::theory::number;
use crate::report::wrap::wrap;
use crate::theory::phase::{Deviation, Diagram, Place};
use anstyle::Style;
use unicode_width::UnicodeWidthStr;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Pretty-printed but for the maps, of which every row is a line; ends in a newline.
pub fn json(diagram: &Diagram) -> String {
    let value = serde_json::to_value(diagram).expect("a diagram holds strings and finite numbers only");
    let mut text = String::new();
    lines(&value, 0, &mut text);
    text.push('\n');
    text
}

/// Arrays of numbers and small objects stay on a line.
fn lines(value: &serde_json::Value, depth: usize, text: &mut String) {
    use serde_json::Value;
    let flat = |v: &Value| !v.is_object() && !v.is_array();
    let indent = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    };
    match value {
        Value::Array(items) if !items.is_empty() && !items.iter().all(flat) => {
            text.push('[');
            for (k, item) in items.iter().enumerate() {
                if k > 0 {
                    text.push(',');
                }
                indent(text, depth + 1);
                lines(item, depth + 1, text);
            }
            indent(text, depth);
            text.push(']');
        }
        Value::Object(fields) if fields.len() > 4 || !fields.values().all(flat) => {
            text.push('{');
            for (k, (name, item)) in fields.iter().enumerate() {
                if k > 0 {
                    text.push(',');
                }
                indent(text, depth + 1);
                text.push_str(&format!("{}: ", Value::from(name.as_str())));
                lines(item, depth + 1, text);
            }
            indent(text, depth);
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}

/// Initialisers at one place of a figure.
pub struct Group {
    /// From 1.
    pub number: usize,
    /// (σ_w², σ_b²) of the first.
    pub at: (f64, f64),
    /// Places among the diagram's initialisers.
    pub members: Vec<usize>,
}

fn coordinates(place: &Place) -> Option<(f64, f64)> {
    place.sigma_w2.zip(place.sigma_b2)
}

fn inside(diagram: &Diagram, (w, b): (f64, f64)) -> bool {
    let within = |values: &[f64], x: f64| {
        values
            .first()
            .zip(values.last())
            .is_some_and(|(low, high)| (*low..=*high * (1.0 + 1e-12)).contains(&x))
    };
    within(&diagram.sigma_w2, w) && within(&diagram.sigma_b2, b)
}

/// The diagram's initialisers that lie within its ranges, grouped by what counts as one point.
pub fn groups(diagram: &Diagram, one: impl Fn((f64, f64), (f64, f64)) -> bool) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, place) in diagram.initialisers.iter().enumerate() {
        let Some(at) = coordinates(place).filter(|at| inside(diagram, *at)) else { continue };
        match groups.iter_mut().find(|g| one(g.at, at)) {
            Some(group) => group.members.push(index),
            None => groups.push(Group { number: groups.len() + 1, at, members: vec![index] }),
        }
    }
    groups
}

/// The lines of a key: the number of a group and its text; a line without a number for those outside.
pub fn key(diagram: &Diagram, groups: &[Group]) -> Vec<(Option<usize>, String)> {
    let text = |group: &Group| {
        let members: Vec<&Place> =
            group.members.iter().filter_map(|m| diagram.initialisers.get(*m)).collect();
        let names: Vec<&str> = members.iter().flat_map(|p| p.names.iter().map(String::as_str)).collect();
        let range = |of: fn(&Place) -> Option<f64>| {
            let values = members.iter().filter_map(|p| of(p));
            let (low, high) = values.fold((f64::INFINITY, 0.0f64), |r, v| (r.0.min(v), r.1.max(v)));
            if brief(low) == brief(high) { brief(low) } else { format!("{} to {}", brief(low), brief(high)) }
        };
        let mut text = format!("σ_w² {}, σ_b² {}", range(|p| p.sigma_w2), range(|p| p.sigma_b2));
        if let Some(phase) = members.first().and_then(|p| p.phase)
            && members.iter().all(|p| p.phase == Some(phase))
        {
            text.push_str(&format!(", {phase}"));
        }
        if members.iter().all(|p| p.chi1.is_some()) {
            text.push_str(&format!(", χ₁ {}", range(|p| p.chi1)));
        }
        format!("{text}: {}", names.join(", "))
    };
    let mut lines: Vec<(Option<usize>, String)> = groups.iter().map(|g| (Some(g.number), text(g))).collect();
    let outside: Vec<String> = diagram
        .initialisers
        .iter()
        .filter(|p| coordinates(p).is_some_and(|at| !inside(diagram, at)))
        .map(|p| format!("{} (σ_w² {})", p.names.join(", "), brief(p.sigma_w2.unwrap_or(0.0))))
        .collect();
    if !outside.is_empty() {
        lines.push((None, format!("outside the figure: {}", outside.join("; "))));
    }
    lines
}

/// Three significant digits.
pub fn brief(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return short(x);
    }
    let scale = 10f64.powf(2.0 - x.abs().log10().floor());
    short(if scale.is_finite() && scale > 0.0 { (x * scale).round() / scale } else { x })
}

/// The table with ANSI styles; the writer strips them where they do not belong.
pub fn terminal(diagram: &Diagram, columns: Option<usize>) -> String {
    let range = |values: &[f64]| {
        let ends = values.first().zip(values.last());
        ends.map_or(String::new(), |(low, high)| format!("{}..{}", number(*low), number(*high)))
    };
    let title = format!(
        "{BOLD}{}{BOLD:#}  {DIM}σ_w² {} · σ_b² {} · initialisers at width {}{DIM:#}",
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
    let rows: Vec<[String; 6]> = diagram.initialisers.iter().map(row).collect();
    let head = ["σ_w²", "σ_b²", "phase", "χ₁", "ξ_c", "initialisers"];
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
    use crate::theory::phase::grid;

    #[test]
    fn tables_fit_and_json_reads_back() {
        for name in ["relu", "softplus", "tanh"] {
            let act = Activation::parse(name).unwrap();
            let (w, b) = crate::theory::phase::ranges(&act, &crate::theory::phase::walk(&act));
            let diagram = Diagram::new(&act, grid(w, 5), grid(b, 4), 512);
            let text = terminal(&diagram, Some(70));
            assert!(text.lines().all(|l| crate::report::wrap::shown(l) <= 70), "{text}");
            assert!(text.contains("critical line") && !text.contains("NaN") && !text.contains("inf"));
            let json = json(&diagram);
            assert_eq!(
                serde_json::from_str::<Diagram>(&json).unwrap().sigma_w2.len(),
                diagram.sigma_w2.len()
            );
            assert!(json.lines().count() < 900);
        }
        assert_eq!(brief(0.333_333), "0.333");
    }
}
