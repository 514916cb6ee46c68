//! Faults as a person meets them: one line on standard error, and an exit code.

use crate::graph::{GraphError, Origin};
use crate::law::call::CatalogError;
use crate::law::expression::mentions;
use crate::report::export::ExportError;
use crate::simulate::{InputError, PlanError, RunError};
use crate::study::train::TrainError;
use clap::error::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

/// Why a command could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A value of an option is wrong.
    #[error("{option} `{value}`: {reason}")]
    Option { option: &'static str, value: String, reason: String },
    #[error("{0}")]
    Usage(String),
    #[error("{}", in_options(.0))]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error("this run needs {needed} of memory and {available} are free; {remedy}")]
    Memory { needed: String, available: String, remedy: String },
    #[error("--out `{}`: cannot write there: {reason}", .directory.display())]
    Directory { directory: PathBuf, reason: String },
    #[error("cannot write `{}`: {reason}", .path.display())]
    File { path: PathBuf, reason: String },
    #[error("--input `{}`: {reason}", .path.display())]
    Data { path: PathBuf, reason: String },
    #[error("--net `{}`: {reason}", .path.display())]
    Net { path: PathBuf, reason: String },
    #[error("{option}: {reason}")]
    Set { option: &'static str, reason: String },
    #[error("{}", of_training(.0))]
    Train(#[from] TrainError),
    #[error("--checkpoint `{}`: {reason}", .path.display())]
    Checkpoint { path: PathBuf, reason: String },
    #[error("cannot start threads: {0}")]
    Threads(String),
    #[error("--baseline `{}`: {reason}", .path.display())]
    Baseline { path: PathBuf, reason: String },
    #[error("cannot write to standard output: {0}")]
    Stdout(String),
    /// The reader of standard output went away, as `head` does: not a fault.
    #[error("standard output was closed")]
    Closed,
}

impl Failure {
    pub fn option(option: &'static str, value: &str, reason: impl Into<String>) -> Self {
        Self::Option { option, value: value.into(), reason: reason.into() }
    }

    pub fn catalog(option: &'static str, value: &str, fault: &CatalogError) -> Self {
        match fault {
            CatalogError::Unknown { what: "activation", .. } if mentions(value, "X") => {
                Self::option(option, value, "an expression is written in the lower-case variable x")
            }
            _ => Self::option(option, value, fault.to_string()),
        }
    }

    pub fn input(value: &str, fault: &InputError) -> Self {
        Self::option("--input", value, fault.to_string())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Option { .. } | Self::Usage(_) | Self::Plan(_) | Self::Train(_) => 2,
            _ => 1,
        }
    }

    /// Says it, once and in one line.
    pub fn report(&self) -> ExitCode {
        if !matches!(self, Self::Closed) {
            say(&self.to_string());
        }
        ExitCode::from(self.code())
    }
}

/// A fault of the plan, with the option that brings it.
fn in_options(fault: &PlanError) -> String {
    match fault {
        PlanError::Activation(fault) => format!("--act {fault}"),
        PlanError::Initializer(fault) => format!("--init {fault}"),
        PlanError::Bias(fault) => format!("--bias {fault}"),
        PlanError::Override(fault) => format!("--set {fault}"),
        PlanError::DependentBias(_) => format!("--bias: {fault}"),
        PlanError::Net(fault) => of_graph(fault),
        PlanError::Features { .. }
        | PlanError::Entries { .. }
        | PlanError::Tokens
        | PlanError::NoTokens(_)
        | PlanError::Vocabulary { .. }
        | PlanError::Short { .. }
        | PlanError::Row { .. }
        | PlanError::Input { .. }
        | PlanError::UnknownInput { .. }
        | PlanError::WhichInput(_)
        | PlanError::Counts { .. } => format!("--input: {fault}"),
        PlanError::Samples { samples, batch } => {
            let plural = if *samples == 1 { "" } else { "s" };
            format!("--input: the data has {samples} sample{plural}, fewer than a batch of {batch}")
        }
        other => other.to_string(),
    }
}

fn of_graph(fault: &GraphError) -> String {
    let option = match fault.origin {
        Origin::Network => "--net",
        Origin::Initializer => "--init",
        Origin::Biases => "--bias",
        Origin::Override => "--set",
    };
    format!("{option}: {fault}")
}

fn of_training(fault: &TrainError) -> String {
    match fault {
        TrainError::Activation(fault) => format!("--act {fault}"),
        TrainError::Initializer(fault) => format!("--init {fault}"),
        TrainError::Bias(fault) => format!("--bias {fault}"),
        TrainError::Override(fault) => format!("--set {fault}"),
        TrainError::Optimizer(fault) => format!("--optimizer {fault}"),
        TrainError::Schedule(fault) => format!("--schedule {fault}"),
        TrainError::Net(fault) => of_graph(fault),
        TrainError::Inputs(_) | TrainError::Tied(_) | TrainError::Tokens | TrainError::Output { .. } => {
            format!("--net: {fault}")
        }
        TrainError::Features { .. } | TrainError::Class { .. } | TrainError::Empty(_) => {
            format!("--data: {fault}")
        }
        TrainError::Nothing => fault.to_string(),
    }
}

/// `initdiag: error: …` on standard error; a closed one is no reason to stop.
pub fn say(message: &str) {
    line(&format!("error: {message}"));
}

/// `initdiag: …` on standard error: nothing is wrong.
pub fn note(message: &str) {
    line(message);
}

/// Characters of what a message quotes.
const QUOTED: usize = 160;

/// What stands in backticks, and the whole line, no longer than anybody reads.
fn shortened(message: &str) -> String {
    let middle = |text: &str, most: usize| -> String {
        let count = text.chars().count();
        if count <= most {
            return text.into();
        }
        let half = most / 2;
        text.chars().take(half).chain(['…']).chain(text.chars().skip(count - half)).collect()
    };
    let parts: Vec<String> = message.split('`').map(|part| middle(part, 10 * QUOTED)).collect();
    let quoted = |(place, part): (usize, &String)| match place % 2 {
        1 => middle(part, QUOTED),
        _ => part.clone(),
    };
    parts.iter().enumerate().map(quoted).collect::<Vec<_>>().join("`")
}

fn line(message: &str) {
    use std::io::Write;
    let line: String = shortened(message).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(std::io::stderr().lock(), "initdiag: {line}");
}

/// clap's own faults, in the same form as ours; help and version go to standard output.
pub fn of_parser(fault: &clap::Error) -> ExitCode {
    match fault.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = fault.render().ansi().to_string();
            match super::output::print(&text, super::output::When::Auto) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => failure.report(),
            }
        }
        _ => {
            let text = fault.render().to_string();
            let words: Vec<&str> = text
                .lines()
                .map(str::trim)
                .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
                // What follows `--` is no value of any command here.
                .filter(|line| !line.is_empty() && !line.starts_with("tip: to pass"))
                .map(|line| line.trim_start_matches("error: "))
                .collect();
            say(&words.join("; ").replace(":; ", ": "));
            ExitCode::from(2)
        }
    }
}
