//! What `train` reads: lists of names, and data.

use super::error::Failure;
use super::run::distinct;
use super::train::Scale;
use crate::activation::Activation;
use crate::data::{self, Column, Labelled};
use crate::frontend::toml::{Architecture, InputSpec};
use crate::initializer::Initializer;
use crate::law::call::printable;
use crate::law::call::split_list;
use crate::numeric::stream::{Key, Part, Role};
use crate::study::train::{About, Optimizer, Set};
use nalgebra::DMatrix;
use rand::seq::SliceRandom;
use std::path::Path;

/// Lists by their full names, each once.
pub struct Names {
    pub acts: Vec<String>,
    pub inits: Vec<String>,
    pub rules: Vec<String>,
}

/// Reads the lists.
pub fn names(act: &str, init: &str, optimizer: &str) -> Result<Names, Failure> {
    let acts = Activation::parse_list(act).map_err(|f| Failure::catalog("--act", act, &f))?;
    let inits = Initializer::parse_list_for_net(init).map_err(|f| Failure::catalog("--init", init, &f))?;
    let fault = |f| Failure::catalog("--optimizer", optimizer, &f);
    let rules = split_list(optimizer).map_err(fault)?;
    for rule in &rules {
        Optimizer::parse(rule).map_err(fault)?;
    }
    Ok(Names {
        acts: distinct(acts.into_iter().map(|a| a.name)),
        inits: distinct(inits.into_iter().map(|i| i.name)),
        rules: distinct(rules.into_iter().map(|rule| rule.to_lowercase())),
    })
}

/// Options that say where data are and what is done to them.
pub struct Source<'a> {
    pub data: Option<&'a Path>,
    pub test: Option<&'a Path>,
    pub label: Option<&'a str>,
    pub scale: Scale,
    pub samples: Option<usize>,
}

impl Source<'_> {
    /// The set, fit for this network where that needs no more than to enlarge the embedded digits.
    pub fn read(&self, net: &Architecture) -> Result<(Set, About), Failure> {
        let mut prepared = Vec::new();
        let fault = |fault: data::SetError| Failure::Set { option: "--data", reason: fault.to_string() };
        let of_test = |fault: data::SetError| Failure::Set { option: "--test", reason: fault.to_string() };
        let column = match self.label {
            None => Column::Auto,
            Some(name) if name.eq_ignore_ascii_case("first") => Column::First,
            Some(name) if name.eq_ignore_ascii_case("last") => Column::Last,
            Some(name) => Column::Named(name.into()),
        };
        let (train, test) = match self.data {
            None => {
                let mut digits = data::embedded();
                if let [(_, InputSpec { shape: Some(shape), .. })] = net.inputs.as_slice()
                    && shape == &[1, 28, 28]
                {
                    digits.samples = enlarged(&digits.samples);
                    prepared.push("each pixel drawn 3×3 in a frame of two: 8×8 to 28×28".into());
                }
                (digits, None)
            }
            Some(path) if path.is_dir() => {
                if self.label.is_some() {
                    return Err(Failure::Usage("--label: IDX files have no columns".into()));
                }
                let (train, test) = data::read_set(path).map_err(fault)?;
                (train, Some(test))
            }
            Some(path) => (data::read_labelled(path, &column).map_err(fault)?, None),
        };
        let (mut train, mut test) = match (self.test, test) {
            (Some(path), _) => (train, data::read_labelled(path, &column).map_err(of_test)?),
            (None, Some(test)) => (train, test),
            (None, None) => {
                prepared.push("a fifth of the samples, drawn at random, held back for the test".into());
                held_back(&train)
            }
        };
        let (own, other) = (train.samples.nrows(), test.samples.nrows());
        if own != other {
            let reason = format!("its samples have {other} features, those of the training data {own}");
            let path = self.test.or(self.data).map(|p| p.display().to_string()).unwrap_or_default();
            return Err(Failure::option("--test", &path, reason));
        }
        if let Some(count) = self.samples {
            if count > train.len() {
                let reason = format!("there are {} training samples", train.len());
                return Err(Failure::option("--samples", &count.to_string(), reason));
            }
            prepared.push(format!("the first {count} training samples alone"));
            train = train.select(&(0..count).collect::<Vec<_>>());
        }
        prepared.extend(scaled(self.scale, &mut train.samples, &mut test.samples));
        let name = self.data.map_or_else(|| "digits".into(), |path| path.display().to_string());
        let set = Set { train, test };
        let about = About {
            name: printable(&name),
            prepared,
            train: set.train.len(),
            test: set.test.len(),
            features: set.train.samples.nrows(),
            checksum: set.checksum(),
        };
        Ok((set, about))
    }
}

/// Training and test samples; the same ones whatever the seed.
fn held_back(all: &Labelled) -> (Labelled, Labelled) {
    let mut places: Vec<usize> = (0..all.len()).collect();
    let key = Key { seed: 0, trial: 0, layer: 0 };
    places.shuffle(&mut key.stream(Role::Order, Part::Block(1)));
    let (test, train) = places.split_at(all.len() / 5);
    (all.select(train), all.select(test))
}

/// 8 × 8 pixels as 28 × 28: three times as large, in a frame of two.
fn enlarged(small: &DMatrix<f32>) -> DMatrix<f32> {
    DMatrix::from_fn(784, small.ncols(), |place, sample| {
        let (row, column) = (place / 28, place % 28);
        match (row.checked_sub(2), column.checked_sub(2)) {
            (Some(y), Some(x)) if y < 24 && x < 24 => small[(y / 3 * 8 + x / 3, sample)],
            _ => 0.0,
        }
    })
}

/// Scales both by what the training samples say; what was done, in words.
fn scaled(how: Scale, train: &mut DMatrix<f32>, test: &mut DMatrix<f32>) -> Option<String> {
    match how {
        Scale::None => None,
        Scale::Max => {
            let top = train.iter().fold(0.0f32, |top, v| top.max(v.abs()));
            if top <= 1.0 {
                return None;
            }
            [train, test].into_iter().for_each(|m| *m /= top);
            Some(format!("features divided by {top}"))
        }
        Scale::Standard => {
            for (mut own, mut other) in train.row_iter_mut().zip(test.row_iter_mut()) {
                let count = own.len().max(1) as f64;
                let mean = own.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
                let variance = own.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
                // A feature that never varies says nothing.
                let scale = if variance > 0.0 { variance.sqrt().recip() } else { 0.0 };
                let standard = |v: &mut f32| *v = ((f64::from(*v) - mean) * scale) as f32;
                own.iter_mut().for_each(standard);
                other.iter_mut().for_each(standard);
            }
            Some("each feature to mean 0 and variance 1 over the training samples".into())
        }
    }
}
