//! A training: the names of its files, its facts in words, and its result as CSV.

use super::export::{Files, Format, Presentation, Table, pretty};
#[cfg(feature = "figures")]
use super::figure::{self, Figure};
use super::table::written;
use crate::study::train::outcome::{Trained, TrainedCell};
use serde::Serialize;
use std::io::{self, Write};

/// The files that a training may be written to.
pub const FILES: &Files = &[
    (Format::Json, "train.json"),
    (Format::Csv, "train-curves.csv"),
    (Format::Csv, "train-layers.csv"),
    (Format::Svg, "train-curves.svg"),
    (Format::Svg, "train-layers.svg"),
    (Format::Png, "train-curves.png"),
    (Format::Png, "train-layers.png"),
];

impl Presentation for Trained {
    fn name(&self) -> &'static str {
        "train"
    }

    fn json(&self, to: &mut dyn Write) -> io::Result<()> {
        pretty(self, to)
    }

    fn tables(&self) -> Vec<Table<'_>> {
        let curves = Table { name: "train-curves", csv: Box::new(|to| curves(self, to)) };
        vec![curves, Table { name: "train-layers", csv: Box::new(|to| layers(self, to)) }]
    }

    #[cfg(feature = "figures")]
    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![Figure { name: "train-curves", svg: figure::curves_svg(self) }];
        // A single look at the layers is no course of training.
        if self.cells.iter().any(|cell| cell.runs.iter().any(|run| run.snapshots.len() > 1)) {
            figures.push(Figure { name: "train-layers", svg: figure::looks_svg(self) });
        }
        figures
    }
}

/// What tells the cells of a grid apart.
pub fn names(trained: &Trained) -> Vec<String> {
    let join = |(cell, rest): (&TrainedCell, String)| match rest.as_str() {
        "" => cell.init.clone(),
        rest => format!("{} × {rest}", cell.init),
    };
    trained.cells.iter().zip(beside_init(trained)).map(join).collect()
}

/// What tells the cells of an initializer apart; nothing where it has one.
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

/// `97.8 %`, with as many digits as tell.
pub fn percent(share: f64) -> String {
    let text = format!("{:.2}", 100.0 * share);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
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
fn curves(trained: &Trained, to: &mut dyn Write) -> io::Result<()> {
    written(to, |writer| {
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
fn layers(trained: &Trained, to: &mut dyn Write) -> io::Result<()> {
    written(to, |writer| {
        for cell in &trained.cells {
            for (run, look) in
                cell.runs.iter().flat_map(|run| run.snapshots.iter().map(move |look| (run, look)))
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
