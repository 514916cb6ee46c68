//! A training for people, as JSON and as CSV.

use super::table::written;
use super::terminal::padded;
use super::wrap::wrap;
use crate::study::train::outcome::{Spread, Trained, TrainedCell, Verdict};
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const WARN: Style = AnsiColor::Yellow.on_default();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Pretty-printed, ending in a newline.
pub fn json(trained: &Trained) -> String {
    let mut text =
        serde_json::to_string_pretty(trained).expect("a result holds strings and finite numbers only");
    text.push('\n');
    text
}

/// What tells the cells of a grid apart.
pub fn names(trained: &Trained) -> Vec<String> {
    let join = |(cell, rest): (&TrainedCell, String)| match rest.as_str() {
        "" => cell.init.clone(),
        rest => format!("{} × {rest}", cell.init),
    };
    trained.cells.iter().zip(beside_init(trained)).map(join).collect()
}

/// What tells the cells of an initialiser apart; nothing where it has one.
pub fn beside_init(trained: &Trained) -> Vec<String> {
    let spec = &trained.spec;
    let (rates, decays) = (spec.lr.len() > 1, spec.weight_decay.len() > 1);
    let name = |cell: &TrainedCell| {
        let mut parts = Vec::new();
        parts.extend((spec.act.len() > 1).then(|| cell.act.clone()));
        parts.extend((spec.optimizer.len() > 1).then(|| cell.optimizer.clone()));
        parts.extend(rates.then(|| format!("lr {}", cell.lr)));
        parts.extend(decays.then(|| format!("decay {}", cell.weight_decay)));
        parts.join(" × ")
    };
    trained.cells.iter().map(name).collect()
}

/// What was trained, in short facts.
pub fn facts(trained: &Trained) -> Vec<String> {
    let spec = &trained.spec;
    let plural = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let mut facts = vec![
        spec.net.name.clone().unwrap_or_else(|| "network".into()),
        format!("{}: {} training, {} test samples", spec.data.name, spec.data.train, spec.data.test),
    ];
    if spec.act.len() == 1 {
        facts.push(spec.act[0].clone());
    }
    if let (1, Some(cell)) = (spec.optimizer.len(), trained.cells.first()) {
        let rate = if spec.lr.len() > 1 { String::new() } else { format!(", lr {}", cell.lr) };
        facts.push(format!("{}{rate}", cell.optimizer));
    }
    if let [decay] = spec.weight_decay[..]
        && decay > 0.0
    {
        facts.push(format!("weight decay {decay}"));
    }
    if spec.schedule != "constant" {
        facts.push(spec.schedule.clone());
    }
    facts.extend((spec.warmup > 0).then(|| format!("warm-up {} steps", spec.warmup)));
    facts.extend([format!("batch {}", spec.batch), plural(spec.epochs, "epoch"), plural(spec.seeds, "seed")]);
    facts
}

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

/// `97.8 %`, with as many digits as tell.
pub fn percent(share: f64) -> String {
    let text = format!("{:.2}", 100.0 * share);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
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

#[derive(Serialize)]
struct CurveRow<'a> {
    init: &'a str,
    act: &'a str,
    optimizer: &'a str,
    lr: f64,
    weight_decay: f64,
    seed: usize,
    quantity: &'a str,
    step: u64,
    value: Option<f64>,
}

/// One row a run, quantity and step: training loss and accuracy along the way, test loss and accuracy after each epoch.
///
/// # Errors
/// Never for a well-formed result; the writer's error type is passed on.
pub fn curves(trained: &Trained) -> Result<String, csv::Error> {
    written(|writer| {
        for cell in &trained.cells {
            for run in &cell.runs {
                let mut put = |quantity: &str, step: u64, value: Option<f64>| {
                    writer.serialize(CurveRow {
                        init: &cell.init,
                        act: &cell.act,
                        optimizer: &cell.optimizer,
                        lr: cell.lr,
                        weight_decay: cell.weight_decay,
                        seed: run.seed,
                        quantity,
                        step,
                        value,
                    })
                };
                for point in &run.points {
                    put("train_loss", point.step, Some(point.loss))?;
                    put("train_accuracy", point.step, Some(point.accuracy))?;
                }
                for epoch in &run.epochs {
                    let step = epoch.epoch as u64 * trained.steps_per_epoch;
                    put("test_loss", step, epoch.test_loss)?;
                    put("test_accuracy", step, Some(epoch.test_accuracy))?;
                }
            }
        }
        Ok(())
    })
}

#[derive(Serialize)]
struct LayerRow<'a> {
    init: &'a str,
    act: &'a str,
    optimizer: &'a str,
    lr: f64,
    weight_decay: f64,
    seed: usize,
    step: u64,
    layer: usize,
    path: &'a str,
    activation_log10_variance: Option<f64>,
    gradient_log10_second_moment: Option<f64>,
    weight_gradient_log10_second_moment: Option<f64>,
}

/// One row a run, step and layer.
///
/// # Errors
/// Never for a well-formed result; the writer's error type is passed on.
pub fn layers(trained: &Trained) -> Result<String, csv::Error> {
    written(|writer| {
        for cell in &trained.cells {
            for (run, look) in cell.runs.iter().flat_map(|run| run.looks.iter().map(move |look| (run, look)))
            {
                for (index, (layer, path)) in look.layers.iter().zip(&cell.layers).enumerate() {
                    writer.serialize(LayerRow {
                        init: &cell.init,
                        act: &cell.act,
                        optimizer: &cell.optimizer,
                        lr: cell.lr,
                        weight_decay: cell.weight_decay,
                        seed: run.seed,
                        step: look.step,
                        layer: index + 1,
                        path,
                        activation_log10_variance: layer.activation,
                        gradient_log10_second_moment: layer.gradient,
                        weight_gradient_log10_second_moment: layer.weight_gradient,
                    })?;
                }
            }
        }
        Ok(())
    })
}
