//! A training as a table.

use super::wrap::wrap;
use super::{BAD, BOLD, DIM, GOOD, WARN, padded};
use crate::report::train::{facts, names, percent};
use crate::study::train::outcome::{Spread, Trained, Verdict};
use unicode_width::UnicodeWidthStr;

/// A table of all cells.
pub fn table(trained: &Trained, columns: Option<usize>) -> String {
    let spec = &trained.spec;
    let head = format!("{BOLD}initdiag train{BOLD:#} {DIM}{}{DIM:#}", facts(trained).join(" · "));
    let mut lines = vec![wrap(&head, columns, 2)];
    if !spec.data.prepared.is_empty() {
        lines.push(wrap(&format!("{DIM}{}{DIM:#}", spec.data.prepared.join("; ")), columns, 2));
    }
    lines.push(String::new());
    let mut rows = vec![[
        String::new(),
        "epoch 1".into(),
        format!("epoch {}", spec.epochs),
        format!("steps to {}", percent(spec.target)),
        "diverged".into(),
        String::new(),
    ]];
    if spec.epochs == 1 {
        rows[0][1].clear();
    }
    for (cell, name) in trained.cells.iter().zip(names(trained)) {
        let s = &cell.summary;
        let first = if spec.epochs == 1 { String::new() } else { accuracy(s.first.as_ref()) };
        rows.push([
            name,
            first,
            accuracy(s.last.as_ref()),
            steps(s.steps_to_target.as_ref(), (s.reached, cell.runs.len())),
            format!("{} of {}", s.diverged, cell.runs.len()),
            verdict(s.verdict),
        ]);
    }
    let width = |c: usize| rows.iter().map(|r| r[c].width()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3, 4].map(width);
    for (k, row) in rows.iter().enumerate() {
        let fields = row.iter().zip(widths).filter(|(_, width)| *width > 0);
        let fields: Vec<String> = fields.map(|(field, width)| padded(field, width)).collect();
        let text = format!("{}  {}", fields.join("  "), row[5]);
        let text = text.trim_end();
        let line = if k == 0 { format!("  {DIM}{text}{DIM:#}") } else { format!("  {text}") };
        lines.push(wrap(&line, columns, 4));
    }
    let words = "accuracy on the test samples, the median over seeds with least and most; steps until the last 1000 training samples, each \
                 seen before it was learnt from, met the target";
    lines.extend([String::new(), wrap(&format!("{DIM}{words}{DIM:#}"), columns, 2)]);
    let count = |wanted: Verdict| trained.cells.iter().filter(|c| c.summary.verdict == wanted).count();
    let mut parts = Vec::new();
    for (wanted, words) in [
        (Verdict::Learns, "learns"),
        (Verdict::AboveChance, "above chance"),
        (Verdict::Chance, "no better than chance"),
        (Verdict::Diverged, "diverged"),
        (Verdict::Unfinished, "unfinished"),
    ] {
        if count(wanted) > 0 {
            parts.push(format!("{} {words}", count(wanted)));
        }
    }
    let chance = format!("the most frequent class alone: {}", percent(trained.chance));
    lines.push(wrap(&format!("{BOLD}verdict{BOLD:#}: {}; {chance}", parts.join(", ")), columns, 2));
    lines.join("\n") + "\n"
}

fn verdict(verdict: Verdict) -> String {
    let (style, text) = match verdict {
        Verdict::Learns => (GOOD, "learns"),
        Verdict::AboveChance => (WARN, "above chance"),
        Verdict::Chance => (BAD, "no better than chance"),
        Verdict::Diverged => (BAD, "diverged"),
        Verdict::Unfinished => (WARN, "unfinished"),
    };
    format!("{style}{text}{style:#}")
}

fn accuracy(spread: Option<&Spread>) -> String {
    let Some(s) = spread else { return "–".into() };
    let value = |v: f64| format!("{:.2}", 100.0 * v);
    if s.least == s.most {
        return format!("{} %", value(s.median));
    }
    format!("{} % ({}–{})", value(s.median), value(s.least), value(s.most))
}

fn steps(spread: Option<&Spread>, (reached, runs): (usize, usize)) -> String {
    let Some(s) = spread else { return "never".into() };
    let range = if s.least == s.most { String::new() } else { format!(" ({}–{})", s.least, s.most) };
    let some = if reached < runs { format!(", {reached} of {runs}") } else { String::new() };
    format!("{:.0}{range}{some}", s.median)
}
