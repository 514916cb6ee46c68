//! A sweep over widths for people, as JSON and as CSV.

use super::table::finished;
use super::terminal::padded;
use super::wrap::wrap;
use crate::result::Recorded;
use crate::study::scaling::words::called;
use crate::study::scaling::{Exponent, Scaling, ScalingCell};
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const WARN: Style = AnsiColor::Yellow.on_default();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Pretty-printed, ending in a newline.
pub fn json(scaling: &Scaling) -> String {
    let mut text =
        serde_json::to_string_pretty(scaling).expect("a result holds strings and finite numbers only");
    text.push('\n');
    text
}

/// A table of exponents at the first and the last layer, and the verdicts.
pub fn render(scaling: &Scaling, columns: Option<usize>) -> String {
    let spec = &scaling.spec;
    let e = &spec.experiment;
    let widths: Vec<String> = spec.hidden_widths.iter().map(usize::to_string).collect();
    let head = format!(
        "{BOLD}initdiag{BOLD:#} {DIM}depth {} · widths {} · input width {} · batch {} · {} trial{} · input {} · seed {}{DIM:#}",
        e.depth,
        widths.join(","),
        spec.input_width,
        e.batch,
        e.trials,
        if e.trials == 1 { "" } else { "s" },
        e.input,
        e.seed
    );
    let about = format!("{DIM}a in mean square ∝ widthᵃ, with its 95 % interval{DIM:#}");
    let mut lines = vec![wrap(&head, columns, 2), wrap(&about, columns, 2)];
    for cell in &scaling.cells {
        lines.push(String::new());
        let name = format!("{BOLD}{} × {}{BOLD:#}: {}", cell.init, cell.act, styled(cell.stable));
        lines.push(wrap(&name, columns, 2));
        lines.extend(table(cell).iter().map(|line| wrap(line, columns, 4)));
        // The first sentence is the verdict, which stands in the cell's own line.
        lines.extend(cell.words.iter().skip(1).map(|words| wrap(&format!("  {words}"), columns, 4)));
    }
    let count = |verdict| scaling.cells.iter().filter(|c| c.stable == verdict).count();
    let mut verdict = format!(
        "{BOLD}verdict{BOLD:#}: {} of {} cell{} width-stable",
        count(Some(true)),
        scaling.cells.len(),
        if scaling.cells.len() == 1 { "" } else { "s" }
    );
    if count(None) > 0 {
        verdict.push_str(&format!(", {} unclear", count(None)));
    }
    lines.extend([String::new(), wrap(&verdict, columns, 2)]);
    lines.join("\n") + "\n"
}

fn styled(stable: Option<bool>) -> String {
    let (style, text) = match stable {
        Some(true) => (GOOD, "width-stable"),
        Some(false) => (BAD, "not width-stable"),
        None => (WARN, "unclear"),
    };
    format!("{style}{text}{style:#}")
}

fn table(cell: &ScalingCell) -> Vec<String> {
    let (Some(first), Some(last)) = (cell.layers.first(), cell.layers.last()) else { return Vec::new() };
    let one = cell.layers.len() == 1;
    let mut rows = vec![[String::new(), "layer 1".into(), format!("layer {}", last.layer), "a layer".into()]];
    for ((name, at_first), (_, at_last)) in first.quantities().into_iter().zip(last.quantities()) {
        let a_layer = match name {
            Recorded::Activation => cell.forward_per_layer,
            Recorded::Gradient => cell.backward_per_layer,
            _ => None,
        };
        let a_layer = a_layer.map_or(String::new(), signed);
        rows.push([called(name).into(), shown(at_first), shown(at_last), a_layer]);
    }
    if one {
        rows.iter_mut().for_each(|row| row[2..].iter_mut().for_each(String::clear));
    }
    let width = |c: usize| rows.iter().map(|r| r[c].width()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |(k, row): (usize, &[String; 4])| {
        let fields: Vec<String> = row.iter().zip(widths).map(|(field, width)| padded(field, width)).collect();
        let text = fields.join("  ");
        if k == 0 { format!("  {DIM}{}{DIM:#}", text.trim_end()) } else { format!("  {}", text.trim_end()) }
    };
    rows.iter().enumerate().map(line).collect()
}

/// `+1.00 [+0.98, +1.02]`, or that there is none.
fn shown(e: &Exponent) -> String {
    match (e.exponent, e.ci95) {
        (None, _) => "zero".into(),
        (Some(a), None) => signed(a),
        (Some(a), Some([low, high])) => format!("{} [{}, {}]", signed(a), signed(low), signed(high)),
    }
}

/// Two decimals with their sign; what rounds to nothing has none of its own.
fn signed(x: f64) -> String {
    format!("{:+.2}", (x * 100.0).round() / 100.0 + 0.0)
}

#[derive(Serialize)]
struct Row<'a> {
    init: &'a str,
    act: &'a str,
    layer: usize,
    quantity: Recorded,
    exponent: Option<f64>,
    ci95_low: Option<f64>,
    ci95_high: Option<f64>,
    stable: Option<bool>,
    misfit: Option<f64>,
    width: usize,
    log10_mean_square: Option<f64>,
    standard_error: Option<f64>,
}

/// One row a cell, layer, quantity and width; an empty field stands for log₁₀ of zero or for what cannot be told.
///
/// # Errors
/// Never for a well-formed result; the writer's error type is passed on.
pub fn csv(scaling: &Scaling) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for cell in &scaling.cells {
        for layer in &cell.layers {
            for (quantity, e) in layer.quantities() {
                for (k, width) in scaling.spec.hidden_widths.iter().enumerate() {
                    writer.serialize(Row {
                        init: &cell.init,
                        act: &cell.act,
                        layer: layer.layer,
                        quantity,
                        exponent: e.exponent,
                        ci95_low: e.ci95.map(|i| i[0]),
                        ci95_high: e.ci95.map(|i| i[1]),
                        stable: e.stable,
                        misfit: e.misfit,
                        width: *width,
                        log10_mean_square: e.log10_mean_square.get(k).copied().flatten(),
                        standard_error: e.standard_error.get(k).copied().flatten(),
                    })?;
                }
            }
        }
    }
    finished(writer)
}
