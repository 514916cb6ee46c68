//! The result for people: a table with inline trends, then the verdict in words.

use crate::measure::summary::BEYOND;
use crate::result::{Cell, Direction, Layer, Report, Verdict};
use anstyle::{AnsiColor, Style};
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const WARN: Style = AnsiColor::Yellow.on_default();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Characters of an inline trend.
const TREND: usize = 12;
/// A trend that moves less than this is drawn level: half a decade either way.
const LEVEL: f64 = 1.0;

/// Renders the report with ANSI styles; the writer strips them where they do not belong.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let spec = &report.spec;
    let _ = writeln!(
        text,
        "{BOLD}initdiag{BOLD:#} {DIM}depth {} · width {} · batch {} · {} trial{} · input {} · seed {}{DIM:#}\n",
        spec.depth,
        widths(&spec.widths),
        spec.batch,
        spec.trials,
        if spec.trials == 1 { "" } else { "s" },
        spec.input,
        spec.seed
    );
    let rows: Vec<[Field; 7]> = report.cells.iter().map(row).collect();
    let head = ["init", "act", "forward", "signal, log10 var", "backward", "gradient, log10 var", "flags"];
    let columns: Vec<usize> = (0..head.len())
        .map(|c| rows.iter().map(|r| r[c].text.width()).chain([head[c].width()]).max().unwrap_or(0))
        .collect();
    for (title, width) in head.iter().zip(&columns) {
        let _ = write!(text, "{DIM}{}{DIM:#}  ", padded(title, *width));
    }
    text.push('\n');
    for row in &rows {
        for (field, width) in row.iter().zip(&columns) {
            let style = field.style;
            let _ = write!(text, "{style}{}{style:#}  ", padded(&field.text, *width));
        }
        text.push('\n');
    }
    let mut lines: Vec<String> = text.lines().map(|l| l.trim_end().to_string()).collect();
    for cell in &report.cells {
        lines.push(String::new());
        lines.push(format!("{BOLD}{} × {}{BOLD:#}{}", cell.init, cell.act, completed(cell, spec.trials)));
        lines.extend(cell.words.iter().map(|words| format!("  {words}")));
    }
    if let [cell] = report.cells.as_slice() {
        lines.push(String::new());
        let (forward, backward) = (styled(&cell.forward), styled(&cell.backward));
        lines.push(format!("{BOLD}verdict{BOLD:#}: forward {forward}, backward {backward}"));
    } else {
        let stable = |c: &&Cell| [&c.forward, &c.backward].iter().all(|d| d.verdict == Verdict::Stable);
        let good = report.cells.iter().filter(stable).count();
        lines.push(String::new());
        lines.push(format!("{BOLD}verdict{BOLD:#}: {good} of {} cells stable both ways", report.cells.len()));
    }
    lines.join("\n") + "\n"
}

fn completed(cell: &Cell, asked: usize) -> String {
    if cell.trials == asked { String::new() } else { format!(" ({} of {asked} trials)", cell.trials) }
}

/// `512` for equal widths, else the first few of them.
pub fn widths(widths: &[usize]) -> String {
    match widths {
        [first, rest @ ..] if rest.iter().all(|w| w == first) => first.to_string(),
        [input, first, rest @ ..] if rest.iter().all(|w| w == first) => format!("{input}→{first}"),
        all if all.len() <= 6 => all.iter().map(usize::to_string).collect::<Vec<_>>().join("→"),
        all => format!("{}→{}→…→{}", all[0], all[1], all[all.len() - 1]),
    }
}

struct Field {
    text: String,
    style: Style,
}

fn row(cell: &Cell) -> [Field; 7] {
    let plain = |text: String| Field { text, style: Style::new() };
    let verdict = |d: &Direction| Field { text: d.verdict.name().into(), style: style(d.verdict) };
    let forward: Vec<_> = cell.layers.iter().map(|l| l.activation.log10_variance.median).collect();
    // From the last layer down, as the gradient flows.
    let backward: Vec<_> =
        cell.layers.iter().rev().map(|l: &Layer| l.gradient.log10_variance.median).collect();
    let flags = if cell.flags.is_empty() { "–".into() } else { cell.flags.join(" ") };
    [
        plain(cell.init.clone()),
        plain(cell.act.clone()),
        verdict(&cell.forward),
        plain(series(&forward)),
        verdict(&cell.backward),
        plain(series(&backward)),
        Field { text: flags, style: if cell.flags.is_empty() { DIM } else { WARN } },
    ]
}

/// `first ▇▆▅▄ last`.
fn series(values: &[Option<f64>]) -> String {
    let show = |v: &Option<f64>| match v {
        None => "0 var".to_string(),
        Some(x) if x.abs() >= BEYOND => (if *x > 0.0 { ">3e17" } else { "<-3e17" }).to_string(),
        Some(x) => format!("{:.1}", if x.abs() < 0.05 { 0.0 } else { *x }),
    };
    let (first, last) =
        (values.first().map(show).unwrap_or_default(), values.last().map(show).unwrap_or_default());
    format!("{first:>6} {} {last}", trend(values))
}

/// One block character for each of a few layers spread evenly; a space where the variance is zero.
fn trend(values: &[Option<f64>]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let count = TREND.min(values.len());
    let picked: Vec<Option<f64>> = (0..count)
        .map(|k| values[if count < 2 { 0 } else { k * (values.len() - 1) / (count - 1) }])
        .collect();
    let finite = || picked.iter().flatten().copied();
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let middle = f64::midpoint(low, high);
    let reach = (high - low).max(LEVEL);
    picked
        .iter()
        .map(|v| match v {
            None => ' ',
            Some(x) => BLOCKS[(((x - middle) / reach + 0.5) * 7.0).round().clamp(0.0, 7.0) as usize],
        })
        .collect()
}

fn style(verdict: Verdict) -> Style {
    if verdict == Verdict::Stable { GOOD } else { BAD }
}

fn styled(direction: &Direction) -> String {
    let style = style(direction.verdict);
    format!("{style}{}{style:#}", direction.verdict.name())
}

/// Padded by display width, not by characters.
pub fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trends_rise_fall_and_stay_level() {
        let line = |slope: f64| (0..50).map(|k| Some(slope * f64::from(k))).collect::<Vec<_>>();
        assert_eq!(trend(&line(1.0)), "▁▂▂▃▃▄▅▅▆▇▇█");
        assert_eq!(trend(&line(-1.0)).chars().next(), Some('█'));
        assert!(trend(&line(0.0)).chars().all(|c| c == '▅'));
        assert_eq!(trend(&[None, Some(1.0)]), " ▅");
        assert_eq!(trend(&[None]), " ");
    }

    #[test]
    fn widths_are_short() {
        assert_eq!(widths(&[512; 51]), "512");
        assert_eq!(widths(&[784, 512, 512]), "784→512");
        assert_eq!(widths(&[784, 128, 10]), "784→128→10");
    }
}
