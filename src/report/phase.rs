//! The phase diagram: the names of its files, its JSON, and the initializers on it in words.

use super::export::{Files, Format, Presentation};
#[cfg(feature = "figures")]
use super::figure::{self, Figure};
use crate::law::short;
use crate::theory::phase::{Diagram, Place};
use std::io::{self, Write};

/// The files that a diagram may be written to.
pub const FILES: &Files =
    &[(Format::Json, "phase.json"), (Format::Svg, "phase.svg"), (Format::Png, "phase.png")];

impl Presentation for Diagram {
    fn name(&self) -> &'static str {
        "phase"
    }

    fn json(&self, to: &mut dyn Write) -> io::Result<()> {
        to.write_all(json(self).as_bytes())
    }

    #[cfg(feature = "figures")]
    fn figures(&self) -> Vec<Figure> {
        vec![Figure { name: "phase", svg: figure::phase_svg(self) }]
    }
}

/// Pretty-printed but for the maps, of which every row is a line; ends in a newline.
fn json(diagram: &Diagram) -> String {
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

/// Initializers at one place of a figure.
pub struct Group {
    /// Number of the group in the figure, from 1.
    pub number: usize,
    /// (σ_w², σ_b²) of the first.
    pub at: (f64, f64),
    /// Places among the diagram's initializers.
    pub members: Vec<usize>,
}

pub(super) fn coordinates(place: &Place) -> Option<(f64, f64)> {
    place.sigma_w2.zip(place.sigma_b2)
}

pub(super) fn inside(diagram: &Diagram, (w, b): (f64, f64)) -> bool {
    let within = |values: &[f64], x: f64| {
        values
            .first()
            .zip(values.last())
            .is_some_and(|(low, high)| (*low..=*high * (1.0 + 1e-12)).contains(&x))
    };
    within(&diagram.sigma_w2, w) && within(&diagram.sigma_b2, b)
}

/// The diagram's initializers that lie within its ranges, grouped by what counts as one point.
pub fn groups(diagram: &Diagram, one: impl Fn((f64, f64), (f64, f64)) -> bool) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, place) in diagram.initializers.iter().enumerate() {
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
            group.members.iter().filter_map(|m| diagram.initializers.get(*m)).collect();
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
        .initializers
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
