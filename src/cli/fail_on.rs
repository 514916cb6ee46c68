//! `--fail-on`: what a user does not accept, and the exit code when a cell has it.

use super::error::note;
use crate::law::call;
use crate::result::{Cell, Direction, Flag, Report, Severity, Verdict};
use crate::study::scaling::UNSTABLE;
use std::process::ExitCode;

/// What `--fail-on` of the main command can name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// A direction has this verdict, and it is so severe at least.
    Verdict(Verdict, Severity),
    /// A cell carries this flag.
    Flag(Flag),
    /// As the flag `drift`, of what could be tested alone.
    TestedDrift,
    /// A mean square scales with width.
    WidthUnstable,
}

/// The condition that asks no more of a baseline than what could be tested.
const TESTED_DRIFT: &str = "drift:tested";

impl Condition {
    fn all() -> impl Iterator<Item = Self> {
        let graded = |verdict: Verdict| {
            let least = if verdict == Verdict::Stable { Severity::None } else { Severity::Severe };
            Self::Verdict(verdict, least)
        };
        let verdicts = Verdict::ALL.iter().copied().map(graded);
        verdicts
            .chain(Flag::ALL.iter().copied().map(Self::Flag))
            .chain([Self::TestedDrift, Self::WidthUnstable])
    }

    /// As the user writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verdict(verdict, _) => verdict.name(),
            Self::Flag(flag) => flag.name(),
            Self::TestedDrift => TESTED_DRIFT,
            Self::WidthUnstable => UNSTABLE,
        }
    }

    /// One of the list, by its name; `vanishing` and `exploding` with the least severity that is meant, as in `vanishing:mild`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().to_lowercase();
        if let Some((name, grade)) = text.split_once(':')
            && let Some(verdict) = Verdict::parse(name).filter(|v| *v != Verdict::Stable)
        {
            let grades = || Severity::ALL.iter().copied().filter(|s| *s != Severity::None);
            let found = grades().find(|severity| severity.name() == grade);
            let severity = found.ok_or_else(|| unknown(grade, grades().map(Severity::name)))?;
            return Ok(Self::Verdict(verdict, severity));
        }
        Self::all().find(|c| c.name() == text).ok_or_else(|| unknown(&text, Self::all().map(Self::name)))
    }

    /// A direction meets it.
    fn is_met(self, direction: &Direction) -> bool {
        matches!(self, Self::Verdict(verdict, least) if direction.verdict == verdict && direction.severity >= least)
    }
}

/// What to say of a name that is not among the known ones.
pub fn unknown(text: &str, known: impl Iterator<Item = &'static str>) -> String {
    let known: Vec<&str> = known.collect();
    let hint = call::nearest(text, known.iter().copied());
    let hint = hint.map_or(String::new(), |name| format!("did you mean `{name}`? "));
    format!("{hint}one of {} is needed", known.join(", "))
}

/// Cells that are named at most: a line of hundreds is read by nobody.
const NAMED: usize = 8;

/// A cell, and which of the conditions it meets.
pub struct Met {
    cell: String,
    conditions: Vec<String>,
}

impl Met {
    /// `None` where the cell meets no condition.
    pub fn new(init: &str, act: &str, conditions: Vec<String>) -> Option<Self> {
        (!conditions.is_empty()).then(|| Self { cell: format!("{init} × {act}"), conditions })
    }

    /// What a cell of the main command meets.
    pub fn of(cell: &Cell, wanted: &[Condition]) -> Option<Self> {
        let directions = [("forward", &cell.forward), ("backward", &cell.backward)];
        let verdicts = directions.into_iter().filter(|(_, d)| wanted.iter().any(|c| c.is_met(d)));
        let is_wanted = |flag: &&Flag| {
            let tested = **flag == Flag::Drift && wanted.contains(&Condition::TestedDrift);
            tested || wanted.contains(&Condition::Flag(**flag))
        };
        let flags = cell.flags.iter().filter(is_wanted);
        let verdicts = verdicts.map(|(name, found)| format!("{name} {}", found.graded()));
        let met = verdicts.chain(flags.map(ToString::to_string)).chain(untested(cell, wanted));
        Self::new(&cell.label(), &cell.act, met.collect())
    }
}

/// A guard that cannot judge does not let pass.
fn untested(cell: &Cell, wanted: &[Condition]) -> Option<String> {
    let reason = match &cell.baseline {
        None => "the baseline has no such cell",
        Some(found) if found.p.is_none() => "a spread needs two trials on either side",
        Some(_) => return None,
    };
    let strict = wanted.contains(&Condition::Flag(Flag::Drift));
    strict.then(|| format!("drift could not be tested, for {reason} ({TESTED_DRIFT} lets that pass)"))
}

/// Cells of the baseline that the run does not have: whether they have drifted nobody knows.
pub fn missing<'a>(report: &'a Report, wanted: &[Condition]) -> impl Iterator<Item = Met> + 'a {
    let strict = wanted.contains(&Condition::Flag(Flag::Drift));
    let missing = report.baseline.iter().flat_map(|baseline| &baseline.missing).filter(move |_| strict);
    missing.map(|cell| Met {
        cell: cell.clone(),
        conditions: vec![format!(
            "drift could not be tested, for the run has no such cell ({TESTED_DRIFT} lets that pass)"
        )],
    })
}

/// Says in one line what was met, whatever else the user wants to hear, and the exit code.
pub fn conclude(met: impl Iterator<Item = Met>) -> ExitCode {
    let met: Vec<Met> = met.collect();
    if met.is_empty() {
        return ExitCode::SUCCESS;
    }
    let one = |met: &Met| format!("{}: {}", met.cell, met.conditions.join(", "));
    let mut cells: Vec<String> = met.iter().take(NAMED).map(one).collect();
    if met.len() > NAMED {
        cells.push(format!("and {} more cells", met.len() - NAMED));
    }
    note(&format!("--fail-on met: {}", cells.join("; ")));
    ExitCode::from(3)
}
