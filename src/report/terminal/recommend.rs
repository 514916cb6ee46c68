//! A recommendation as tables and lines of code.

use super::wrap::wrap;
use super::{BAD, BOLD, DIM, GOOD, joined, padded};
use crate::diagnose::recommend::{Change, Recommendation, Row};
use crate::law::short;
use crate::report::phase::brief;
use crate::report::run::widths;
use crate::report::theory::number;
use unicode_width::UnicodeWidthStr;

/// Rows of the ranking that the table shows; the user's own is always among them.
const SHOWN: usize = 12;

/// The answer with ANSI styles; the writer strips them where they do not belong.
pub fn terminal(r: &Recommendation, columns: Option<usize>) -> String {
    let shape = match (&r.net, r.widths.as_slice()) {
        (Some(net), _) => {
            let of = |count: usize, what: &str| match count {
                0 => String::new(),
                1 => format!(" · 1 {what}"),
                n => format!(" · {n} {what}{}", if what.ends_with('h') { "es" } else { "s" }),
            };
            let (branches, norms) = (of(net.branches, "residual branch"), of(net.norms, "norm"));
            format!("{} · {} weight matrices{branches}{norms}", net.name, net.matrices)
        }
        (None, [one]) => format!("depth {} · width {one}", r.depth),
        (None, many) => format!("depth {} · width {}", r.depth, widths(many)),
    };
    let title = format!("{BOLD}{}{BOLD:#}  {DIM}{shape}{DIM:#}", r.act);
    let style = if r.recommended.stable { GOOD } else { BAD };
    let mut lines = vec![
        wrap(&title, columns, 2),
        String::new(),
        wrap(
            &format!("{BOLD}take{BOLD:#}  {style}{}{style:#}: {}", r.recommended.init, r.recommended.law),
            columns,
            6,
        ),
        wrap(&format!("      {}", r.recommended.why), columns, 6),
    ];
    lines.extend(r.recommended.set.iter().map(|set| format!("      --set '{set}'")));
    let notes = r.net.iter().flat_map(|net| &net.notes);
    lines.extend(notes.map(|note| wrap(&format!("      {note}"), columns, 6)));
    lines.push(String::new());
    lines.extend(now(r).into_iter().map(|line| wrap(&line, columns, 10)));
    lines.push(String::new());
    lines.extend(theory(r).into_iter().map(|line| wrap(&line, columns, 16)));
    lines.push(String::new());
    lines.extend(ranking(r, columns));
    for (name, _, code) in r.code.all() {
        lines.push(String::new());
        lines.push(format!("{BOLD}{name}{BOLD:#}"));
        // As printed they run: nothing is wrapped.
        lines.extend(code.lines().map(|line| format!("    {line}").trim_end().to_string()));
    }
    lines.join("\n") + "\n"
}

fn power(x: f64) -> String {
    format!("10^{:.1}", if x.abs() < 0.05 { 0.0 } else { x }).replace('-', "−")
}

fn now(r: &Recommendation) -> Vec<String> {
    let n = &r.now;
    let mut lines = Vec::new();
    let place = match (n.sigma_w2, n.sigma_b2) {
        (Some(w), Some(b)) => format!("σ_w² = {}, σ_b² = {}", brief(w), brief(b)),
        _ => n.why.get("sigma_w2").cloned().unwrap_or_default(),
    };
    let phase = n.phase.as_ref().map_or(String::new(), |p| format!(": {p}"));
    lines.push(format!("{BOLD}you have{BOLD:#}  {} ({place}){phase}", n.init));
    if let (Some(chi), Some(decades)) = (n.chi1, n.decades) {
        lines.push(format!(
            "          in the end squared gradients change by ×{} a layer: {} decades, {} over {} layers",
            brief(chi),
            short((decades * 1e4).round() / 1e4).replace('-', "−"),
            power(decades * r.depth as f64),
            r.depth
        ));
    }
    let scale = |name: &str, value: Option<f64>, what: &str| match value {
        Some(x) => format!(
            "{name} = {} layers ({what}), depth {} is {} of them",
            brief(x),
            r.depth,
            brief(r.depth as f64 / x)
        ),
        None => format!(
            "{name}: none ({})",
            n.why.get(if name == "ξ_c" { "xi_c" } else { "xi_q" }).map_or("not known", String::as_str)
        ),
    };
    if r.net.is_some() {
        lines.push(format!(
            "          signal {} forward, gradient {} backward",
            n.forward.words(),
            n.backward.words()
        ));
    }
    if n.sigma_w2.is_some() {
        lines.push(format!("          {}", scale("ξ_c", n.xi_c, "angles and gradients")));
        lines.push(format!("          {}", scale("ξ_q", n.xi_q, "lengths")));
    }
    lines
}

fn theory(r: &Recommendation) -> Vec<String> {
    let mut lines = Vec::new();
    let point = |c: &crate::diagnose::recommend::Critical| {
        format!("σ_w² = {}, σ_b² = {}, q* = {}", number(c.sigma_w2), number(c.sigma_b2), number(c.q_star))
    };
    lines.push(match (&r.critical, &r.critical_why) {
        (Some(c), _) => {
            let slope = match r.critical_length_slope {
                Some(s) if s > 1.0 + 1e-9 => format!("; lengths leave it, by ×{} a layer", brief(s)),
                _ => String::new(),
            };
            format!("{BOLD}critical{BOLD:#}      {}{slope}", point(c))
        }
        (None, why) => format!("{BOLD}critical{BOLD:#}      none: {}", why.clone().unwrap_or_default()),
    });
    if let Some(half) = &r.half_stable {
        lines.push(format!(
            "{BOLD}half-stable{BOLD:#}   {}: lengths and gradients kept to first order",
            point(half)
        ));
    }
    let gain =
        |x: Option<f64>| x.map_or("none".into(), |g| format!("{} (σ_w² = {})", brief(g), brief(g * g)));
    lines.push(format!(
        "{BOLD}gains{BOLD:#}         forward 1/√Eφ² = {}, backward 1/√Eφ′² = {}, between them {}  {DIM}at q = 1{DIM:#}",
        gain(r.gain_forward),
        gain(r.gain_backward),
        gain(r.gain_compromise)
    ));
    lines
}

fn ranking(r: &Recommendation, columns: Option<usize>) -> Vec<String> {
    let mut shown: Vec<&Row> = r.ranking.iter().take(SHOWN).collect();
    shown.extend(r.ranking.iter().skip(SHOWN).filter(|row| row.now));
    let value = |x: Option<f64>| {
        x.map_or("–".into(), |v| format!("{:+.2}", if v.abs() < 0.005 { 0.0 } else { v }).replace('-', "−"))
    };
    let pair = |c: Change| [value(c.predicted), value(c.measured)];
    let head = ["forward", "measured", "backward", "measured"];
    let cells: Vec<[String; 4]> = shown
        .iter()
        .map(|row| {
            let ([a, b], [c, d]) = (pair(row.forward), pair(row.backward));
            [a, b, c, d]
        })
        .collect();
    let width = |c: usize| cells.iter().map(|r| r[c].width()).chain([head[c].width()]).max().unwrap_or(0);
    let all: Vec<usize> = (0..4).map(width).collect();
    let right =
        |text: &str, width: usize| format!("{}{text}", " ".repeat(width.saturating_sub(text.width())));
    let through = if r.net.is_some() { "network" } else { "stack" };
    let title = format!(
        "{BOLD}ranking{BOLD:#}  {DIM}decades of variance through the {through}, predicted and measured ({}){DIM:#}",
        r.measured
    );
    let head: Vec<String> = head.iter().zip(&all).map(|(t, w)| right(t, *w)).collect();
    let mut lines =
        vec![wrap(&title, columns, 2), format!("{DIM}  {}  initializers{DIM:#}", head.join("  "))];
    let indent = all.iter().sum::<usize>() + 10;
    for (row, cells) in shown.iter().zip(&cells) {
        let numbers: Vec<String> = cells.iter().zip(&all).map(|(t, w)| right(t, *w)).collect();
        let style = if row.stable { GOOD } else { BAD };
        let mut names = row.names.join(", ");
        if !row.aliases.is_empty() {
            names.push_str(&format!(" {DIM}(also {}){DIM:#}", row.aliases.join(", ")));
        }
        if row.now {
            names.push_str(" ← you have");
        }
        if !row.flags.is_empty() {
            names.push_str(&format!(" {DIM}[{}]{DIM:#}", joined(&row.flags)));
        }
        let line = format!("  {style}{}{style:#}  {names}", numbers.join("  "));
        lines.push(wrap(&line, columns, indent));
    }
    let rest = r.ranking.len().saturating_sub(shown.len());
    if rest > 0 {
        lines.push(format!(
            "{DIM}  {} in all; the rest change by more{DIM:#}",
            padded(&format!("{} laws", r.ranking.len()), 0)
        ));
    }
    lines
}
