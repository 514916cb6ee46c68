//! A sweep over widths: the names of its files, and its result as CSV.

use super::export::{Files, Format, Presentation, Table, pretty};
#[cfg(feature = "figures")]
use super::figure::{self, Figure};
use super::table::written;
use crate::result::Recorded;
use crate::study::scaling::Scaling;
use serde::Serialize;
use std::io::{self, Write};

/// The files that a sweep over widths may be written to.
pub const FILES: &Files = &[
    (Format::Json, "widths.json"),
    (Format::Csv, "widths.csv"),
    (Format::Svg, "widths.svg"),
    (Format::Png, "widths.png"),
];

impl Presentation for Scaling {
    fn name(&self) -> &'static str {
        "widths"
    }

    fn json(&self, to: &mut dyn Write) -> io::Result<()> {
        pretty(self, to)
    }

    fn tables(&self) -> Vec<Table<'_>> {
        vec![Table { name: "widths", csv: Box::new(|to| table(self, to)) }]
    }

    #[cfg(feature = "figures")]
    fn figures(&self) -> Vec<Figure> {
        vec![Figure { name: "widths", svg: figure::scaling_svg(self) }]
    }
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
fn table(scaling: &Scaling, to: &mut dyn Write) -> io::Result<()> {
    written(to, |writer| {
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
        Ok(())
    })
}
