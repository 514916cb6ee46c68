//! `--widths-sweep`: the main command's experiment at several widths.

use super::error::{Failure, say};
use super::fail_on::{Condition, Met, conclude};
use super::forecast::Forecast;
use super::memory::Need;
use super::number;
use super::progress::Stop;
use super::run::{Arguments, Session, experiment, paths, workers};
use crate::report::scaling::FILES;
use crate::simulate::{Input, Plan};
use crate::spec::Experiment;
use crate::study::scaling::{FEWEST, Sweep, UNSTABLE, scaling};
use std::process::ExitCode;

/// Width of an input that is drawn: that of the layers where nobody says otherwise.
const INPUT: usize = 512;

/// Runs the sweep.
pub fn run(arguments: &Arguments, list: &str) -> Result<ExitCode, Failure> {
    let hidden_widths = widths(list)?;
    if let Some(other) = arguments.fail_on.iter().find(|c| **c != Condition::WidthUnstable) {
        let reason = format!("a sweep over widths has one verdict, {UNSTABLE}");
        return Err(Failure::option("--fail-on", other.name(), reason));
    }
    let (experiment, mut inputs) = experiment(arguments)?;
    let input_width = match &inputs.common {
        Input::Data(samples) => samples.nrows(),
        _ => INPUT,
    };
    let experiment = Experiment { widths: Vec::new(), ..experiment };
    let mut sweep = Sweep { experiment, input_width, hidden_widths };
    // Every width is checked before any time is spent; data are moved from plan to plan, for there may be much of them.
    let threads = workers(arguments.threads);
    let figures = arguments.output.figure_bytes();
    let need = Need { threads, figures, trace: false, jacobian: false };
    let mut units = 0;
    for width in &sweep.hidden_widths {
        let experiment = sweep.at(*width);
        need.check_layers(&experiment)?;
        let plan = Plan::new(&experiment, inputs)?;
        need.check(&plan)?;
        units += plan.units();
        inputs = plan.inputs;
    }
    let delivery = arguments.output.open(FILES, &paths(arguments))?;
    let stop = Stop::on_signals();
    let session = Session::start(units, arguments, stop.clone());
    let mut reports = Vec::new();
    let mut interrupted = false;
    for width in &sweep.hidden_widths {
        let plan = Plan::new(&sweep.at(*width), inputs)?;
        let done = session.run(&plan, threads, &Forecast::silent(&plan, threads, need.figures))?;
        inputs = plan.inputs;
        if done.interrupted {
            interrupted = true;
            break;
        }
        reports.push(done);
    }
    session.finish();
    let asked = sweep.hidden_widths.len();
    sweep.hidden_widths.truncate(reports.len());
    if interrupted && reports.len() < FEWEST {
        say(&format!("interrupted before {FEWEST} widths were complete; there are no results"));
        return Ok(stop.code());
    }
    let found = scaling(sweep, &reports, interrupted);
    let outcome = delivery.deliver(&found);
    if interrupted {
        say(&format!(
            "interrupted: {} of {asked} widths were complete, and their results are kept",
            reports.len()
        ));
    }
    let written = outcome?;
    delivery.say(&written);
    if interrupted {
        return Ok(stop.code());
    }
    let unstable = found.cells.iter().filter(|c| c.stable == Some(false) && !arguments.fail_on.is_empty());
    Ok(conclude(unstable.filter_map(|c| Met::new(&c.init, &c.act, vec![UNSTABLE.into()]))))
}

/// Ascending, without repetition.
fn widths(list: &str) -> Result<Vec<usize>, Failure> {
    let fault = |reason: String| Failure::option("--widths-sweep", list, reason);
    let mut widths = number::list(list).map_err(fault)?;
    widths.sort_unstable();
    if let Some(pair) = widths.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(fault(format!("{} is there twice", pair[0])));
    }
    if widths.len() < FEWEST {
        return Err(fault(format!(
            "{FEWEST} widths or more are needed, such as 128,256,512: two are always on a line"
        )));
    }
    Ok(widths)
}
