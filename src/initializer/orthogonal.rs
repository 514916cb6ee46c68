//! Initializers whose entries are not independent.

use super::catalog::{Entry, Procedure};
use super::classic::number;
use crate::law::Law;

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "orthogonal",
        aliases: &["ortho", "haar"],
        parameters: &[number("gain", "1")],
        law: "gain × Haar: QR of a Gaussian with the signs of R's diagonal",
        source: "Saxe et al. 2014; Mezzadri 2007",
        weights: |v, _| Ok(Law::Haar { gain: v.number(0) }),
        nominal: Some(|v, s| v.number(0).powi(2) * s.fan_in as f64 / s.fan_in.max(s.fan_out) as f64),
        ..Entry::BASE
    },
    Entry {
        name: "lsuv",
        law: "orthogonal, then each layer scaled to unit output variance on the batch",
        source: "Mishkin & Matas 2016",
        weights: |_, _| Ok(Law::Haar { gain: 1.0 }),
        procedure: Some(Procedure::UnitVariance),
        ..Entry::BASE
    },
    Entry {
        name: "identity",
        aliases: &["eye", "dirac"],
        parameters: &[number("gain", "1")],
        law: "gain on the diagonal, 0 elsewhere",
        source: "PyTorch eye_, Keras Identity",
        weights: |v, _| Ok(Law::Identity { gain: v.number(0) }),
        nominal: Some(|v, _| v.number(0).powi(2)),
        center: true,
        ..Entry::BASE
    },
    Entry {
        name: "sparse",
        parameters: &[number("sparsity", "0.1"), number("std", "0.01")],
        law: "N(0, std²), ⌈sparsity·fan_out⌉ entries of each column 0",
        source: "Martens 2010; PyTorch sparse_",
        weights: |v, _| Ok(Law::Sparse { sparsity: v.number(0), std: v.number(1) }),
        nominal: Some(|v, s| s.fan_in as f64 * v.number(1).powi(2) * (1.0 - v.number(0))),
        ..Entry::BASE
    },
    Entry {
        name: "delta-orthogonal",
        parameters: &[number("gain", "1")],
        law: "convolution: gain × Haar in the center tap, 0 elsewhere",
        source: "Xiao et al. 2018",
        weights: |v, _| Ok(Law::Haar { gain: v.number(0) }),
        center: true,
        not_dense: Some("is defined for convolutions; on a dense layer it is `orthogonal`"),
        ..Entry::BASE
    },
];
