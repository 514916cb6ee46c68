//! A training under way as bytes, from which it goes on to the same end.

use super::{Plan, Saved, State, TrainedParameters, Training};
use crate::op::{Arrays, ParameterArrays};
use crate::spec::compare::differences;
use crate::tensorfile::safetensors::{Tensor, decode as arrays, encode as file};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Name and version of the text beside the arrays.
const SCHEMA: &str = "initdiag-checkpoint/2";

/// Why a file is not where this training was left.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
#[non_exhaustive]
pub enum CheckpointError {
    #[error("no checkpoint: {0}")]
    File(String),
    #[error("it is of another training: {0}")]
    Other(String),
    #[error("its bytes are not those that were written: the checksum differs")]
    Damaged,
    #[error("it holds what no training comes to: {0}")]
    Impossible(String),
}

/// What the arrays do not say.
#[derive(Serialize, Deserialize)]
struct Head {
    training: Training,
    runs: Vec<Option<State>>,
}

/// The bytes of a checkpoint. Runs that have come to their end keep no weights.
pub fn encode(plan: &Plan, runs: &[Saved]) -> Vec<u8> {
    let mut all = Vec::new();
    for (number, run) in runs.iter().enumerate() {
        let Some((state, weights)) = run else { continue };
        if state.is_done(plan.steps()) {
            continue;
        }
        for (stream, parameter) in &weights.parameters {
            let mut put = |what: String, values| {
                let tensor = Tensor { shape: vec![<[f32]>::len(values)], values: Cow::Borrowed(values) };
                all.push((format!("{number}/{stream}/{what}"), tensor));
            };
            put("weights".into(), parameter.weights.as_slice());
            if let Some(bias) = &parameter.bias {
                put("biases".into(), bias.as_slice());
            }
            let Some([of_weights, of_biases]) = weights.moments.get(stream) else { continue };
            of_weights.iter().enumerate().for_each(|(k, values)| put(format!("weights/{k}"), values));
            of_biases.iter().enumerate().for_each(|(k, values)| put(format!("biases/{k}"), values));
        }
    }
    let states = runs.iter().map(|run| run.as_ref().map(|(state, _)| state.clone())).collect();
    let head = Head { training: plan.training.clone(), runs: states };
    let text = serde_json::to_string(&head).expect("a state holds strings and finite numbers only");
    all.sort_by(|one, other| one.0.cmp(&other.0));
    let sum = checksum(&text, all.iter().map(|(name, tensor)| (name.as_str(), &*tensor.values)));
    file(all, (SCHEMA, format!("{sum:08x} {text}")))
}

/// CRC-32 of the text and of all names and arrays, sorted by name.
fn checksum<'a>(text: &str, arrays: impl Iterator<Item = (&'a str, &'a [f32])>) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    let mut add = |bytes: &[u8]| {
        sum.update(&(bytes.len() as u64).to_le_bytes());
        sum.update(bytes);
    };
    add(text.as_bytes());
    for (name, values) in arrays {
        add(name.as_bytes());
        add(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    }
    sum.finalize()
}

/// Where the runs of this training were left.
///
/// # Errors
/// Bytes that are no checkpoint, or one of another training.
pub fn decode(plan: &Plan, bytes: &[u8]) -> Result<Vec<Saved>, CheckpointError> {
    let (mut all, text) = arrays(bytes, SCHEMA).map_err(CheckpointError::File)?;
    let no_sum = || CheckpointError::File("no checksum is in it".into());
    let (sum, text) = text.split_once(' ').ok_or_else(no_sum)?;
    let sum = u32::from_str_radix(sum, 16).map_err(|_| no_sum())?;
    if sum != checksum(text, all.iter().map(|(name, values)| (name.as_str(), values.as_slice()))) {
        return Err(CheckpointError::Damaged);
    }
    let head: Head = serde_json::from_str(text).map_err(|fault| CheckpointError::File(fault.to_string()))?;
    if let Some(difference) = difference(&head.training, &plan.training) {
        return Err(CheckpointError::Other(difference));
    }
    let seeds = plan.training.seeds;
    possible(plan, &head.runs)?;
    // A square of a gradient may be beyond all numbers while its weight is not.
    let sound = |name: &str, v: &f32| v.is_finite() || v.is_infinite() && name.split('/').count() > 3;
    if let Some((name, _)) = all.iter().find(|(name, values)| !values.iter().all(|v| sound(name, v))) {
        return Err(CheckpointError::Impossible(format!("`{name}` has entries that are no finite numbers")));
    }
    let mut saved = Vec::with_capacity(head.runs.len());
    for (number, state) in head.runs.into_iter().enumerate() {
        let Some((state, cell)) = state.zip(plan.cells.get(number / seeds)) else {
            saved.push(None);
            continue;
        };
        let mut weights = TrainedParameters { parameters: Arrays::new(), moments: BTreeMap::new() };
        if !state.is_done(plan.steps()) {
            for like in cell.net.own_parameters() {
                let mut take = |what: &str, count: usize| {
                    take(&mut all, &format!("{number}/{}/{what}", like.stream), count)
                };
                let (rows, columns) = like.shape;
                let matrix = DMatrix::from_vec(rows, columns, take("weights", rows * columns)?);
                let mut moments = [Vec::new(), Vec::new()];
                for k in 0..cell.rule.moments() {
                    moments[0].push(take(&format!("weights/{k}"), rows * columns)?);
                }
                let mut bias = None;
                if like.is_biased() {
                    bias = Some(DMatrix::from_vec(like.biases, 1, take("biases", like.biases)?));
                }
                for k in 0..cell.rule.moments() {
                    let count = if like.is_biased() { like.biases } else { 0 };
                    moments[1].push(if count == 0 {
                        Vec::new()
                    } else {
                        take(&format!("biases/{k}"), count)?
                    });
                }
                weights.parameters.insert(like.stream, ParameterArrays { weights: Arc::new(matrix), bias });
                weights.moments.insert(like.stream, moments);
            }
            for like in &cell.net.vectors {
                let mut take =
                    |what: &str| take(&mut all, &format!("{number}/{}/{what}", like.stream), like.length);
                let values = Arc::new(DMatrix::from_vec(like.length, 1, take("weights")?));
                let mut moments = [Vec::new(), Vec::new()];
                for k in 0..cell.rule.moments() {
                    moments[0].push(take(&format!("weights/{k}"))?);
                    moments[1].push(Vec::new());
                }
                weights.parameters.insert(like.stream, ParameterArrays { weights: values, bias: None });
                weights.moments.insert(like.stream, moments);
            }
        }
        saved.push(Some((state, weights)));
    }
    Ok(saved)
}

/// Takes an array of so many entries.
fn take(all: &mut BTreeMap<String, Vec<f32>>, name: &str, count: usize) -> Result<Vec<f32>, CheckpointError> {
    let fault = || CheckpointError::File(format!("`{name}` is missing or of another size"));
    all.remove(name).filter(|values| values.len() == count).ok_or_else(fault)
}

/// Every run is at a place that this plan leads to.
fn possible(plan: &Plan, runs: &[Option<State>]) -> Result<(), CheckpointError> {
    let (steps, epoch) = (plan.steps(), plan.epoch());
    let most = plan.cells.len() * plan.training.seeds;
    if runs.len() > most {
        return Err(CheckpointError::Impossible(format!("{} runs where there are {most}", runs.len())));
    }
    for (number, state) in runs.iter().enumerate() {
        let Some(state) = state else { continue };
        let fault = |what: String| Err(CheckpointError::Impossible(format!("run {}: {what}", number + 1)));
        let step = state.step;
        if step > steps {
            return fault(format!("step {step} of {steps}"));
        }
        if state.epochs.len() as u64 != step / epoch.max(1) {
            return fault(format!("{} epochs after step {step}", state.epochs.len()));
        }
        if state.diverged.into_iter().chain(state.reached).any(|at| at > step.saturating_add(1)) {
            return fault(format!("what it came to is said of a step behind its own, {step}"));
        }
        let ahead = |at: u64| at > step;
        if state.points.iter().any(|p| ahead(p.step)) || state.snapshots.iter().any(|s| ahead(s.step)) {
            return fault(format!("its curves go on behind its step, {step}"));
        }
        if !state.sums_are_possible() {
            return fault("more hits than samples".into());
        }
    }
    Ok(())
}

/// The first thing that differs, in words.
fn difference(then: &Training, now: &Training) -> Option<String> {
    let first = differences(then, now).into_iter().next()?;
    let short = |value: Option<Value>| {
        let text = value.map_or_else(|| "nothing".into(), |value| value.to_string());
        if text.chars().count() > 60 { text.chars().take(57).chain("…".chars()).collect() } else { text }
    };
    Some(format!("its {} is {}, not {}", first.path, short(first.earlier), short(first.now)))
}
