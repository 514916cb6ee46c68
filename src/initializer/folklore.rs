//! Formulas of widely copied articles, reproduced as they stand so that users can see what copied code does.
//! `nominal` is n·Var of the initializer whose name the formula goes by.

use super::Site;
use super::catalog::{Entry, Group};
use super::classic::{he_nominal, normal, number, symmetric, xavier_nominal};
use crate::law::Law;

fn fans(site: &Site) -> f64 {
    site.fan_in as f64 + site.fan_out as f64
}

const BASE: Entry = Entry { group: Group::Folklore, source: "articles, as written", ..Entry::BASE };

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "xavier-limit-as-std",
        law: "N(0, std = √6/√(fan_in + fan_out)): the limit of the uniform law taken for a std",
        weights: |_, s| normal(6.0 / fans(s)),
        nominal: Some(xavier_nominal),
        ..BASE
    },
    Entry {
        name: "he-over-both-fans",
        law: "N(0, std = √2/√(fan_in + fan_out)): called He, is Xavier",
        weights: |_, s| normal(2.0 / fans(s)),
        nominal: Some(he_nominal),
        ..BASE
    },
    Entry {
        name: "ratio-std",
        law: "N(0, std = √(fan_in + fan_out)/fan_in)",
        weights: |_, s| normal(fans(s) / (s.fan_in as f64).powi(2)),
        nominal: Some(xavier_nominal),
        ..BASE
    },
    Entry {
        name: "ratio-var",
        law: "N(0, variance = √(fan_in + fan_out)/fan_in)",
        weights: |_, s| normal(fans(s).sqrt() / s.fan_in as f64),
        nominal: Some(xavier_nominal),
        ..BASE
    },
    Entry {
        name: "constant-0.02",
        law: "every weight 0.02, offered as Xavier and as He",
        weights: |_, _| Ok(Law::Constant(0.02)),
        nominal: Some(xavier_nominal),
        ..BASE
    },
    Entry {
        name: "xavier-uniform-6-over-n",
        parameters: &[number("f1", "1")],
        law: "U(±√(6/(f1·fan_in))); f1 stands for the text's f′, which is no constant of a weight",
        weights: |v, s| root_limit(6.0 / (v.number(0) * s.fan_in as f64)),
        nominal: Some(xavier_nominal),
        ..BASE
    },
    Entry {
        name: "he-uniform-2-over-n",
        parameters: &[number("f2", "1")],
        law: "U(±√(2/(f2·fan_in))); f2 stands for the text's f″, which is 0 for ReLU",
        weights: |v, s| root_limit(2.0 / (v.number(0) * s.fan_in as f64)),
        nominal: Some(he_nominal),
        ..BASE
    },
    Entry {
        name: "xavier-inverse-sqrt-sum",
        law: "N(0, std = 1/√(fan_in + fan_out))",
        weights: |_, s| normal(1.0 / fans(s)),
        nominal: Some(xavier_nominal),
        ..BASE
    },
    Entry {
        name: "xavier-constant-weight",
        law: "every weight exactly 1/√(fan_in + fan_out)",
        weights: |_, s| Ok(Law::Constant(1.0 / fans(s).sqrt())),
        nominal: Some(xavier_nominal),
        ..BASE
    },
    Entry {
        name: "he-constant-weight",
        law: "every weight exactly √(2/fan_in)",
        weights: |_, s| Ok(Law::Constant((2.0 / s.fan_in as f64).sqrt())),
        nominal: Some(he_nominal),
        ..BASE
    },
    Entry {
        name: "xavier-square-fans",
        law: "U(±√(2/F)), F = max(fan_in·fan_in, fan_in·fan_out)",
        weights: |_, s| root_limit(2.0 / (s.fan_in as f64 * s.fan_in.max(s.fan_out) as f64)),
        nominal: Some(xavier_nominal),
        ..BASE
    },
    Entry {
        name: "he-uniform-over-both-fans",
        law: "U(±√(2/(fan_in + fan_out)))",
        weights: |_, s| root_limit(2.0 / fans(s)),
        nominal: Some(he_nominal),
        ..BASE
    },
    Entry {
        name: "he-alpha",
        parameters: &[number("alpha", "2")],
        law: "N(0, std = √(alpha/fan_in))",
        weights: |v, s| normal(v.number(0) / s.fan_in as f64),
        nominal: Some(he_nominal),
        ..BASE
    },
    Entry {
        name: "xavier-divided",
        parameters: &[number("c", "2")],
        law: "N(0, std = √(2/(fan_in + fan_out)/c))",
        weights: |v, s| normal(2.0 / fans(s) / v.number(0)),
        nominal: Some(xavier_nominal),
        ..BASE
    },
    Entry {
        name: "unit-uniform",
        law: "U(−1, 1)",
        weights: |_, _| symmetric(1.0),
        nominal: Some(|_, s| s.fan_in as f64 / 3.0),
        ..BASE
    },
    Entry {
        name: "unit-mean",
        law: "N(1, 1)",
        weights: |_, _| Ok(Law::Normal { mean: 1.0, std: 1.0 }),
        nominal: Some(|_, s| s.fan_in as f64),
        ..BASE
    },
    Entry {
        name: "small-normal",
        law: "N(0, 0.01²)",
        weights: |_, _| Ok(Law::Normal { mean: 0.0, std: 0.01 }),
        nominal: Some(|_, s| s.fan_in as f64 * 1e-4),
        ..BASE
    },
];

/// U(±√square).
fn root_limit(square: f64) -> Result<Law, String> {
    if square < 0.0 {
        Err(format!("the limit is the root of {square}, which is negative"))
    } else {
        symmetric(square.sqrt())
    }
}
