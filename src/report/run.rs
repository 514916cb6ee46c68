//! A run: the names of its files, and its result as CSV, one row a cell, layer and quantity.

use super::export::{Files, Format, Presentation, Table, pretty};
#[cfg(feature = "figures")]
use super::figure::{self, Figure, FigureOptions};
use super::table::written;
use crate::law::call::printable;

use crate::result::{Recorded, Report};
use crate::spec::Experiment;
use serde::Serialize;
use std::io::{self, Write};

/// The files that a run may be written to.
pub const FILES: &Files = &[
    (Format::Json, "result.json"),
    (Format::Csv, "layers.csv"),
    (Format::Svg, "signal.svg"),
    (Format::Svg, "jacobian.svg"),
    (Format::Png, "signal.png"),
    (Format::Png, "jacobian.png"),
];

impl Presentation for Report {
    fn name(&self) -> &'static str {
        "result"
    }

    fn json(&self, to: &mut dyn Write) -> io::Result<()> {
        pretty(self, to)
    }

    fn tables(&self) -> Vec<Table<'_>> {
        vec![Table { name: "layers", csv: Box::new(|to| layers(self, to)) }]
    }

    #[cfg(feature = "figures")]
    fn figures(&self) -> Vec<Figure> {
        figures(self, &FigureOptions::default())
    }
}

/// A run whose figure is drawn as a user wants it.
#[cfg(feature = "figures")]
pub struct Illustrated<'a> {
    /// The result.
    pub report: &'a Report,
    /// How its figure is drawn.
    pub options: &'a FigureOptions,
}

#[cfg(feature = "figures")]
impl Presentation for Illustrated<'_> {
    fn name(&self) -> &'static str {
        self.report.name()
    }

    fn json(&self, to: &mut dyn Write) -> io::Result<()> {
        self.report.json(to)
    }

    fn tables(&self) -> Vec<Table<'_>> {
        self.report.tables()
    }

    fn figures(&self) -> Vec<Figure> {
        figures(self.report, self.options)
    }
}

#[cfg(feature = "figures")]
fn figures(report: &Report, options: &FigureOptions) -> Vec<Figure> {
    let mut figures = vec![Figure { name: "signal", svg: figure::styled_svg(report, options) }];
    if report.cells.iter().any(|cell| cell.jacobian.is_some()) {
        figures.push(Figure { name: "jacobian", svg: figure::jacobian_svg(report) });
    }
    figures
}

/// What is simulated: depth and width, or the network's name.
pub fn size(spec: &Experiment) -> [String; 2] {
    match &spec.net {
        None => [format!("depth {}", spec.depth), format!("width {}", widths(&spec.widths))],
        Some(net) => {
            let name = net.name.as_deref().map_or("network".into(), printable);
            [name, format!("{} recorded layer{}", spec.depth, if spec.depth == 1 { "" } else { "s" })]
        }
    }
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

#[derive(Serialize)]
struct Row<'a> {
    init: &'a str,
    act: &'a str,
    /// Of a grid over several stacks: in every row or in none.
    #[serde(skip_serializing_if = "Option::is_none")]
    depth: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<usize>,
    layer: usize,
    /// Of a network: in every row or in none.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    kind: &'a str,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    fan_in: usize,
    fan_out: usize,
    quantity: &'a str,
    mean: Option<f64>,
    log10_variance_median: Option<f64>,
    log10_variance_q05: Option<f64>,
    log10_variance_q25: Option<f64>,
    log10_variance_q75: Option<f64>,
    log10_variance_q95: Option<f64>,
    log10_variance_of_mean: Option<f64>,
    log10_second_moment_median: Option<f64>,
    log10_second_moment_q05: Option<f64>,
    log10_second_moment_q25: Option<f64>,
    log10_second_moment_q75: Option<f64>,
    log10_second_moment_q95: Option<f64>,
    log10_second_moment_of_mean: Option<f64>,
    zero_trials: Option<usize>,
    /// Trials in which rounding hides the quantity, and log₁₀ of the second moment below which it does.
    below_trials: Option<usize>,
    floor: Option<f64>,
    /// What the layer was computed in.
    rounding: &'static str,
    /// Of the variance; of weight gradients, of the second moment.
    theory_log10_mean: Option<f64>,
    theory_log10_q05: Option<f64>,
    theory_log10_q95: Option<f64>,
    /// Of quantities that are one number a layer.
    value: Option<f64>,
}

/// One row a cell, layer and quantity; an empty field stands for log₁₀ of an exact zero or for a quantity without that column.
fn layers(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    written(to, |writer| {
        for cell in &report.cells {
            for layer in &cell.layers {
                let theory = |quantity: Recorded| match (quantity, &layer.theory) {
                    (Recorded::Preactivation, Some(t)) => {
                        (t.preactivation_log10_variance, t.preactivation_band)
                    }
                    (Recorded::Activation, Some(t)) => (t.activation_log10_variance, t.band),
                    (Recorded::Gradient, Some(t)) => (t.gradient_log10_variance, t.gradient_band),
                    (Recorded::WeightGradient, Some(t)) => {
                        (t.weight_gradient_log10_second_moment, t.weight_gradient_band)
                    }
                    _ => (None, None),
                };
                let row = |quantity: &'static str, recorded: Option<Recorded>, value| {
                    let summary = recorded.map(|recorded| recorded.of(layer));
                    let (mean, band) = recorded.map_or((None, None), theory);
                    let (v, s) =
                        (summary.map(|s| &s.log10_variance), summary.map(|s| &s.log10_second_moment));
                    Row {
                        init: &cell.init,
                        act: &cell.act,
                        depth: cell.stack.map(|stack| stack.depth),
                        width: cell.stack.map(|stack| stack.width),
                        layer: layer.layer,
                        path: layer.path.as_deref(),
                        kind: &layer.kind,
                        role: layer.role.as_deref(),
                        fan_in: layer.fan_in,
                        fan_out: layer.fan_out,
                        quantity,
                        mean: summary.and_then(|s| s.mean),
                        log10_variance_median: v.and_then(|q| q.median),
                        log10_variance_q05: v.and_then(|q| q.q05),
                        log10_variance_q25: v.and_then(|q| q.q25),
                        log10_variance_q75: v.and_then(|q| q.q75),
                        log10_variance_q95: v.and_then(|q| q.q95),
                        log10_variance_of_mean: v.and_then(|q| q.log10_of_mean),
                        log10_second_moment_median: s.and_then(|q| q.median),
                        log10_second_moment_q05: s.and_then(|q| q.q05),
                        log10_second_moment_q25: s.and_then(|q| q.q25),
                        log10_second_moment_q75: s.and_then(|q| q.q75),
                        log10_second_moment_q95: s.and_then(|q| q.q95),
                        log10_second_moment_of_mean: s.and_then(|q| q.log10_of_mean),
                        zero_trials: summary.map(|s| s.zero_trials),
                        below_trials: summary.map(|s| s.below_trials),
                        floor: summary.and_then(|s| s.floor),
                        rounding: layer.rounding.name(),
                        theory_log10_mean: mean,
                        theory_log10_q05: band.and_then(|b| b[0]),
                        theory_log10_q95: band.and_then(|b| b[1]),
                        value,
                    }
                };
                for recorded in Recorded::ALL {
                    writer.serialize(row(recorded.name(), Some(*recorded), None))?;
                }
                writer.serialize(row("dead_fraction", None, Some(layer.dead_fraction)))?;
                writer.serialize(row("saturated_fraction", None, layer.saturated_fraction))?;
                writer.serialize(row("correlation", None, layer.correlation))?;
                // Of a plain stack in no row.
                if let Some(cosine) = layer.position_correlation {
                    writer.serialize(row("position_correlation", None, Some(cosine)))?;
                }
                writer.serialize(row("effective_rank", None, layer.effective_rank))?;
                writer.serialize(row("unit_symmetry", None, layer.unit_symmetry))?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_short() {
        assert_eq!(widths(&[512; 51]), "512");
        assert_eq!(widths(&[784, 512, 512]), "784→512");
        assert_eq!(widths(&[784, 128, 10]), "784→128→10");
    }
}
