//! `--widths-sweep`: the main command's experiment at several widths.

use super::delivery::Files;
use super::error::{Failure, say};
use super::output::Directory;
use super::run::{Arguments, Format, Session, check_memory, experiment, threads_for};
use super::size;
use crate::report::{figure, scaling as report};
use crate::simulate::{Input, Plan};
use crate::spec::Experiment;
use crate::study::scaling::{FEWEST, Scaling, Sweep, UNSTABLE, scaling};
use std::process::ExitCode;

/// Width of an input that is drawn: that of the layers where nobody says otherwise.
const INPUT: usize = 512;

/// Runs the sweep.
pub fn run(arguments: &Arguments, list: &str) -> Result<ExitCode, Failure> {
    let hidden_widths = widths(list)?;
    if let Some(other) = arguments.fail_on.iter().find(|name| *name != UNSTABLE) {
        let reason = format!("a sweep over widths has one verdict, {UNSTABLE}");
        return Err(Failure::option("--fail-on", other, reason));
    }
    let (experiment, mut input) = experiment(arguments)?;
    let input_width = match &input {
        Input::Data(samples) => samples.nrows(),
        _ => INPUT,
    };
    let experiment = Experiment { widths: Vec::new(), ..experiment };
    let mut sweep = Sweep { experiment, input_width, hidden_widths };
    // Every width is checked before any time is spent; data are moved from plan to plan, for there may be much of them.
    let mut units = 0;
    for width in &sweep.hidden_widths {
        let plan = Plan::new(&sweep.at(*width), input)?;
        check_memory(&plan, threads_for(&plan, arguments))?;
        units += plan.units();
        input = plan.input;
    }
    let delivery = arguments.delivery();
    let directory = delivery.directory()?;
    let session = Session::start(units, arguments);
    let mut reports = Vec::new();
    let mut interrupted = false;
    for width in &sweep.hidden_widths {
        let plan = Plan::new(&sweep.at(*width), input)?;
        let done = session.run(&plan, threads_for(&plan, arguments))?;
        input = plan.input;
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
        return Ok(ExitCode::from(130));
    }
    let found = scaling(sweep, &reports, interrupted);
    let written = directory.as_ref().map_or(Ok(Vec::new()), |directory| files(&found, directory, arguments));
    let outcome = delivery.print(written, || report::json(&found), |columns| report::render(&found, columns));
    if interrupted {
        say(&format!(
            "interrupted: {} of {asked} widths were complete, and their results are kept",
            reports.len()
        ));
    }
    let written = outcome?;
    delivery.say(directory.as_ref(), &written);
    if interrupted {
        return Ok(ExitCode::from(130));
    }
    let fails = !arguments.fail_on.is_empty() && found.cells.iter().any(|c| c.stable == Some(false));
    Ok(if fails { ExitCode::from(3) } else { ExitCode::SUCCESS })
}

/// Ascending, without repetition.
fn widths(list: &str) -> Result<Vec<usize>, Failure> {
    let fault = |reason: String| Failure::option("--widths-sweep", list, reason);
    let mut widths = size::list(list).map_err(fault)?;
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

fn files(
    found: &Scaling,
    directory: &Directory,
    arguments: &Arguments,
) -> Result<Vec<&'static str>, Failure> {
    let wants = |format: Format| arguments.format.as_ref().is_none_or(|formats| formats.contains(&format));
    let mut files = Files::new(directory);
    if wants(Format::Json) {
        files.add("widths.json", report::json(found).as_bytes())?;
    }
    if wants(Format::Csv) {
        files.add("widths.csv", report::csv(found)?.as_bytes())?;
    }
    let svg = wants(Format::Svg).then_some("widths.svg");
    let png = wants(Format::Png).then_some("widths.png");
    files.figure(svg, png, || figure::scaling_svg(found))?;
    Ok(files.names())
}
