//! A run: a table with inline trends, then the verdict in words.

use super::wrap::{shown, wrap};
use super::{BAD, BOLD, DIM, GOOD, WARN, joined, padded, roles};
use crate::measure::summary::BEYOND;
use crate::report::jacobian;
use crate::report::run::size;
use crate::result::{Cell, Direction, Layer, Report, Severity, Verdict};
use anstyle::Style;
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

/// Characters of an inline trend where there is room.
pub const TREND: usize = 12;
/// A trend that moves less than this is drawn level: half a decade either way.
const LEVEL: f64 = 1.0;

/// Renders the report with ANSI styles; the writer strips them where they do not belong.
///
/// For a terminal of so many `columns` the table narrows and sentences wrap; without, each stays in one line.
pub fn render(report: &Report, columns: Option<usize>) -> String {
    if report.cells.is_empty() {
        return String::new();
    }
    let spec = &report.spec;
    let laws = spec.bias.iter().map(|law| format!("bias {law}"));
    let laws = laws.chain(spec.set.iter().map(|law| format!("set {law}")));
    let head = format!(
        "{BOLD}initdiag{BOLD:#} {DIM}{} · batch {} · {} trial{} · input {} · seed {}{DIM:#}",
        size(spec).into_iter().chain(laws).collect::<Vec<_>>().join(" · "),
        spec.batch,
        spec.trials,
        if spec.trials == 1 { "" } else { "s" },
        spec.input_in_words(),
        spec.seed
    );
    let mut lines = vec![wrap(&head, columns, 2), String::new()];
    lines.extend(overview(&report.cells, columns));
    for cell in &report.cells {
        lines.push(String::new());
        let name = format!("{BOLD}{} × {}{BOLD:#}{}", cell.label(), cell.act, completed(cell, spec.trials));
        lines.push(wrap(&name, columns, 2));
        lines.extend(cell.words.iter().map(|words| wrap(&format!("  {words}"), columns, 4)));
        if report.cells.len() <= roles::MOST_CELLS {
            lines.extend(roles::table(cell, columns));
        }
        lines.extend(cell.jacobian.iter().map(|j| wrap(&format!("  {}", jacobian::sentence(j)), columns, 4)));
    }
    lines.extend(unpaired(report, columns));
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

/// Cells that only one of a run and its baseline has.
fn unpaired(report: &Report, columns: Option<usize>) -> Vec<String> {
    let Some(baseline) = &report.baseline else { return Vec::new() };
    let sides = [("not in the baseline", &baseline.new), ("in the baseline alone", &baseline.missing)];
    let line = |(what, names): &(&str, &Vec<String>)| {
        wrap(&format!("{WARN}{what}{WARN:#}: {}", names.join(", ")), columns, 2)
    };
    let mut lines: Vec<String> = sides.iter().filter(|side| !side.1.is_empty()).map(line).collect();
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

fn completed(cell: &Cell, asked: usize) -> String {
    if cell.trials == asked { String::new() } else { format!(" ({} of {asked} trials)", cell.trials) }
}

struct Field {
    text: String,
    style: Style,
}

/// The table, as wide as there is room for: with shorter trends, with flags below their row, at last a list.
fn overview(cells: &[Cell], columns: Option<usize>) -> Vec<String> {
    let fits = |lines: &Vec<String>| columns.is_none_or(|c| lines.iter().all(|l| shown(l) <= c));
    let shapes = [(TREND, true), (8, true), (TREND, false), (5, false)];
    shapes.into_iter().map(|(trend, flags)| table(cells, trend, flags, columns)).find(fits).unwrap_or_else(
        || {
            let mut lines = Vec::new();
            for cell in cells {
                let [init, act, forward, signal, backward, gradient, flags] = row(cell, 5);
                lines.push(wrap(&format!("{} × {}", init.text, act.text), columns, 2));
                for (name, fields) in [("forward", [forward, signal]), ("backward", [backward, gradient])] {
                    let fields = fields.map(|f| format!("{}{}{:#}", f.style, f.text, f.style));
                    lines.push(format!("  {DIM}{name:8}{DIM:#}  {}", fields.join("  ")));
                }
                lines.push(flag_line(&flags, columns));
            }
            lines
        },
    )
}

fn flag_line(flags: &Field, columns: Option<usize>) -> String {
    let style = flags.style;
    wrap(&format!("  {DIM}flags{DIM:#}     {style}{}{style:#}", flags.text), columns, 12)
}

fn table(cells: &[Cell], trend: usize, with_flags: bool, columns: Option<usize>) -> Vec<String> {
    let rows: Vec<[Field; 7]> = cells.iter().map(|cell| row(cell, trend)).collect();
    let (signal, gradient) = if trend == TREND {
        ("signal, log10 var", "gradient, log10 var")
    } else {
        ("signal, log10", "gradient, log10")
    };
    let head = ["init", "act", "forward", signal, "backward", gradient, "flags"];
    let count = if with_flags { head.len() } else { head.len() - 1 };
    let widths: Vec<usize> = (0..count)
        .map(|c| rows.iter().map(|r| r[c].text.width()).chain([head[c].width()]).max().unwrap_or(0))
        .collect();
    let line = |fields: Vec<(&str, Style)>| {
        let mut text = String::new();
        let last = fields.len() - 1;
        for (place, ((field, style), width)) in fields.into_iter().zip(&widths).enumerate() {
            let _ = match place == last {
                true => write!(text, "{style}{field}{style:#}"),
                false => write!(text, "{style}{}{style:#}  ", padded(field, *width)),
            };
        }
        text
    };
    let mut lines = vec![line(head[..count].iter().map(|title| (*title, DIM)).collect())];
    for (fields, cell) in rows.iter().zip(cells) {
        lines.push(line(fields[..count].iter().map(|f| (f.text.as_str(), f.style)).collect()));
        if !with_flags && !cell.flags.is_empty() {
            lines.push(flag_line(&fields[6], columns));
        }
    }
    lines
}

fn row(cell: &Cell, trend: usize) -> [Field; 7] {
    let plain = |text: String| Field { text, style: Style::new() };
    let verdict = |d: &Direction| Field { text: d.verdict.name().into(), style: style(d) };
    // What every signal passes: a residual branch would make the line jump.
    let trunk = cell.layers.iter().any(|l| !l.branch);
    let layers = || cell.layers.iter().filter(|l| !(trunk && l.branch));
    let judged = |direction: &Direction| direction.judged.iter().map(|point| point.log10).collect();
    let forward: Vec<_> = match cell.forward.judged.is_empty() {
        true => layers().map(|l| l.activation.log10_variance.median).collect(),
        false => judged(&cell.forward),
    };
    // From the last layer down, as the gradient flows.
    let backward: Vec<_> = match cell.backward.judged.is_empty() {
        true => layers().rev().map(|l: &Layer| l.gradient.log10_variance.median).collect(),
        false => judged(&cell.backward),
    };
    let flags = if cell.flags.is_empty() { "–".into() } else { joined(&cell.flags) };
    [
        plain(cell.label()),
        plain(cell.act.clone()),
        verdict(&cell.forward),
        plain(series(&forward, trend)),
        verdict(&cell.backward),
        plain(series(&backward, trend)),
        Field { text: flags, style: if cell.flags.is_empty() { DIM } else { WARN } },
    ]
}

/// `first ▇▆▅▄ last`.
pub fn series(values: &[Option<f64>], length: usize) -> String {
    let show = |v: &Option<f64>| match v {
        None => "0 var".to_string(),
        Some(x) if x.abs() >= BEYOND => (if *x > 0.0 { ">3e17" } else { "<-3e17" }).to_string(),
        Some(x) => format!("{:.1}", if x.abs() < 0.05 { 0.0 } else { *x }),
    };
    let (first, last) =
        (values.first().map(show).unwrap_or_default(), values.last().map(show).unwrap_or_default());
    format!("{first:>6} {} {last}", trend(values, length))
}

/// One block character for each of a few layers spread evenly; a space where the variance is zero.
fn trend(values: &[Option<f64>], length: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let count = length.min(values.len());
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

fn style(direction: &Direction) -> Style {
    match direction.severity {
        Severity::None => GOOD,
        Severity::Mild => WARN,
        _ => BAD,
    }
}

fn styled(direction: &Direction) -> String {
    let style = style(direction);
    format!("{style}{}{style:#}", direction.graded())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::run;
    use crate::simulate::{Control, Input, Plan};
    use crate::spec::Experiment;

    #[test]
    fn trends_rise_fall_and_stay_level() {
        let line = |slope: f64| (0..50).map(|k| Some(slope * f64::from(k))).collect::<Vec<_>>();
        assert_eq!(trend(&line(1.0), TREND), "▁▂▂▃▃▄▅▅▆▇▇█");
        assert_eq!(trend(&line(-1.0), TREND).chars().next(), Some('█'));
        assert!(trend(&line(0.0), TREND).chars().all(|c| c == '▅'));
        assert_eq!(trend(&[None, Some(1.0)], TREND), " ▅");
        assert_eq!(trend(&[None], TREND), " ");
    }

    #[test]
    fn a_terminal_gets_lines_that_fit_and_a_pipe_gets_whole_ones() {
        let e = Experiment { act: vec!["relu".into(), "tanh".into()], ..Experiment::plain(12, 8) };
        let e = Experiment { init: vec!["xavier".into(), "ones".into()], batch: 4, trials: 2, ..e };
        let stop = std::sync::atomic::AtomicBool::new(false);
        let control = Control { threads: 1, stop: &stop, progress: &|_| (), trace: false };
        let report = run(&Plan::new(&e, Input::Normal).unwrap(), &control).unwrap();
        let plain = |columns| anstream::adapter::strip_str(&render(&report, columns)).to_string();
        let whole = plain(None);
        assert!(whole.lines().any(|l| l.width() > 120) && whole.lines().all(|l| !l.ends_with(' ')));
        let words = |text: &str| {
            let mut words: Vec<_> = text.split_whitespace().map(str::to_string).collect();
            words.retain(|w| !w.contains(['▁', '▅', '█']));
            words
        };
        assert_eq!(words(&plain(Some(1000))), words(&whole));
        for columns in [48, 60, 80, 100, 120] {
            let text = plain(Some(columns));
            assert!(text.lines().all(|l| l.width() <= columns), "{columns}:\n{text}");
            assert!(text.contains("exploding") && text.contains("symmetric-units"));
        }
    }
}
