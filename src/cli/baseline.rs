//! An earlier result, read from a file that may hold anything.

use super::error::Failure;
use crate::law::call::printable;
use crate::result::{Report, SCHEMA};
use crate::simulate::Plan;
use crate::study::baseline::{Pairing, compare, pair};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A result that the run can be compared with.
pub struct Earlier {
    path: PathBuf,
    report: Report,
    pairing: Pairing,
}

/// Reads it, and refuses what is of another experiment before any time is spent.
pub fn read(path: &Path, plan: &Plan) -> Result<Earlier, Failure> {
    let fault = |reason: String| Failure::Baseline { path: path.into(), reason: printable(&reason) };
    let bytes = std::fs::read(path).map_err(|f| fault(format!("cannot read it: {f}")))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|f| {
        let cut = if f.is_eof() && !bytes.is_empty() { "; it ends too early" } else { "" };
        fault(format!("is no JSON: {f}{cut}"))
    })?;
    let name = SCHEMA.split('/').next().unwrap_or(SCHEMA);
    match value.get("schema").and_then(Value::as_str) {
        Some(SCHEMA) => {}
        None => return Err(fault(format!("is no result of initdiag: the schema {SCHEMA} is not in it"))),
        Some(other) => {
            let newer = other.strip_prefix(name).and_then(|rest| rest.strip_prefix('/'));
            let reason = match newer.and_then(|version| version.parse::<u64>().ok()) {
                Some(2..) => format!("has the schema {other}, of a newer initdiag; this one reads {SCHEMA}"),
                _ => format!("has the schema {other}; a run's result has {SCHEMA}"),
            };
            return Err(fault(reason));
        }
    }
    let report: Report =
        serde_json::from_value(value).map_err(|f| fault(format!("is no whole {SCHEMA} result: {f}")))?;
    let pairing = pair(plan, &report)
        .map_err(|f| Failure::option("--baseline", &path.display().to_string(), printable(&f.to_string())))?;
    Ok(Earlier { path: path.into(), report, pairing })
}

impl Earlier {
    /// Adds the comparison to a report.
    pub fn compare(&self, report: &mut Report) {
        compare(report, &self.report, &self.pairing, &self.path.display().to_string());
    }
}
