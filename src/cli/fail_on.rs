//! `--fail-on`: what a user does not accept, and the exit code when a cell has it.

use super::error::note;
use crate::law::call;
use crate::result::{Cell, Flag, Verdict};
use crate::study::scaling::UNSTABLE;
use std::process::ExitCode;

/// What `--fail-on` of the main command can name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// A direction has this verdict.
    Verdict(Verdict),
    /// A cell carries this flag.
    Flag(Flag),
    /// A mean square scales with width.
    WidthUnstable,
}

impl Condition {
    fn all() -> impl Iterator<Item = Self> {
        let verdicts = Verdict::ALL.iter().copied().map(Self::Verdict);
        verdicts.chain(Flag::ALL.iter().copied().map(Self::Flag)).chain([Self::WidthUnstable])
    }

    /// As the user writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verdict(verdict) => verdict.name(),
            Self::Flag(flag) => flag.name(),
            Self::WidthUnstable => UNSTABLE,
        }
    }

    /// One of the list, by its name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().to_lowercase();
        Self::all().find(|c| c.name() == text).ok_or_else(|| unknown(&text, Self::all().map(Self::name)))
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
        let directions = [("forward", cell.forward.verdict), ("backward", cell.backward.verdict)];
        let verdicts = directions.into_iter().filter(|(_, v)| wanted.contains(&Condition::Verdict(*v)));
        let flags = cell.flags.iter().filter(|flag| wanted.contains(&Condition::Flag(**flag)));
        let verdicts = verdicts.map(|(direction, verdict)| format!("{direction} {verdict}"));
        Self::new(&cell.label(), &cell.act, verdicts.chain(flags.map(ToString::to_string)).collect())
    }
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
