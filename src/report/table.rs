//! The result as CSV: one row a cell, layer and quantity.

use crate::result::{Recorded, Report};
use serde::Serialize;

#[derive(Serialize)]
struct Row<'a> {
    init: &'a str,
    act: &'a str,
    layer: usize,
    /// Of a network: in every row or in none.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    kind: &'a str,
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
    /// Of the variance; of weight gradients, of the second moment.
    theory_log10_mean: Option<f64>,
    theory_log10_q05: Option<f64>,
    theory_log10_q95: Option<f64>,
    /// Of quantities that are one number a layer.
    value: Option<f64>,
}

/// Renders the table; an empty field stands for log₁₀ of an exact zero or for a quantity without that column.
///
/// # Errors
/// Never for a well-formed report; the writer's error type is passed on.
pub fn render(report: &Report) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for cell in &report.cells {
        for layer in &cell.layers {
            let theory = |quantity: Recorded| match (quantity, &layer.theory) {
                (Recorded::Preactivation, Some(t)) => (t.preactivation_log10_variance, t.preactivation_band),
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
                let (v, s) = (summary.map(|s| &s.log10_variance), summary.map(|s| &s.log10_second_moment));
                Row {
                    init: &cell.init,
                    act: &cell.act,
                    layer: layer.layer,
                    path: layer.path.as_deref(),
                    kind: &layer.kind,
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
                    theory_log10_mean: mean,
                    theory_log10_q05: band.map(|b| b[0]),
                    theory_log10_q95: band.map(|b| b[1]),
                    value,
                }
            };
            for recorded in Recorded::ALL {
                writer.serialize(row(recorded.name(), Some(*recorded), None))?;
            }
            writer.serialize(row("dead_fraction", None, Some(layer.dead_fraction)))?;
            writer.serialize(row("saturated_fraction", None, layer.saturated_fraction))?;
            writer.serialize(row("correlation", None, layer.correlation))?;
            writer.serialize(row("effective_rank", None, layer.effective_rank))?;
            writer.serialize(row("unit_symmetry", None, layer.unit_symmetry))?;
        }
    }
    finished(writer)
}

/// A table whose rows `rows` writes.
pub(super) fn written(
    rows: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> Result<(), csv::Error>,
) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows(&mut writer)?;
    finished(writer)
}

/// The text of a table.
pub(super) fn finished(writer: csv::Writer<Vec<u8>>) -> Result<String, csv::Error> {
    let bytes = writer.into_inner().map_err(|fault| fault.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
