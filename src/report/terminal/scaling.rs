//! A sweep over widths as a table.

use super::wrap::wrap;
use super::{BAD, BOLD, DIM, GOOD, WARN, padded};
use crate::result::Recorded;
use crate::study::scaling::words::called;
use crate::study::scaling::{Exponent, Scaling, ScalingCell};
use unicode_width::UnicodeWidthStr;

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
