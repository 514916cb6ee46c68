//! `initdiag phase`: χ₁ and depth scales over the plane of weight and bias variance, the critical line, and where the named
//! initializers lie.

use super::delivery::OutputOptions;
use super::error::{Failure, note};
use super::forecast::Ahead;
use super::number::{self, Real};
use super::paths::Paths;
use super::progress::Stop;
use super::run::cores;
use crate::activation::Activation;
use crate::law::short;
use crate::report::phase::FILES;
use crate::study::plane::{Stacks, measure};
use crate::theory::phase::{Diagram, Window, grid, ranges, seconds, walk};
use clap::Args;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::Arc;

/// Options of `phase`.
#[derive(Args)]
pub struct Arguments {
    /// Activation: a name, or an expression in x
    #[arg(long, value_name = "A", default_value = "relu", allow_hyphen_values = true)]
    act: String,
    /// Range of n·Var(W); beyond a factor of 100 the axis is logarithmic [default: about the critical line]
    #[arg(long, value_name = "LO..HI", value_parser = range, allow_hyphen_values = true)]
    sigma_w2: Option<(f64, f64)>,
    /// Range of Var(b); beyond a factor of 100 the axis is logarithmic [default: about the critical line]
    #[arg(long, value_name = "LO..HI", value_parser = range, allow_hyphen_values = true)]
    sigma_b2: Option<(f64, f64)>,
    /// Units a layer that named initializers are placed for
    #[arg(long, value_name = "N", default_value = "512", value_parser = number::whole::<usize>(number::COUNT), allow_hyphen_values = true)]
    width: usize,
    /// Columns of the maps; rows are two thirds as many [default: 81, with --simulate 41]
    #[arg(long, value_name = "N", value_parser = number::whole::<usize>(COLUMNS), allow_hyphen_values = true)]
    resolution: Option<usize>,
    /// Measure the plane with simulated stacks too, and compare it with theory for the same layers
    #[arg(long)]
    simulate: bool,
    /// Seed of the simulated stacks
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::whole::<u64>(number::SEED), requires = "simulate", allow_hyphen_values = true)]
    seed: u64,
    #[command(flatten)]
    output: OutputOptions,
}

/// Larger variances have no use.
const LARGEST: f64 = 1e6;
/// More columns than pixels show nothing more.
const COLUMNS: RangeInclusive<u64> = 4..=400;
/// The simulated stacks: gradients have met ten layers above the window's first, where lengths have settled as far as they do.
const STACKS: Stacks =
    Stacks { width: 512, batch: 8, trials: 2, seed: 0, window: Window { first: 10, last: 20 } };

/// `LO..HI`, two variances.
fn range(text: &str) -> Result<(f64, f64), String> {
    let fault =
        || format!("LO..HI is needed, two numbers from 0 to {} with LO < HI, such as 0..4", short(LARGEST));
    let (low, high) = text.split_once("..").ok_or_else(fault)?;
    let number = number::real(Real::ZeroTo(LARGEST));
    match (number(low), number(high)) {
        // Closer together than this, columns could not be told apart.
        (Ok(low), Ok(high)) if high - low > 1e-9 * high && high > 1e-12 => Ok((low, high)),
        _ => Err(fault()),
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let act = Activation::parse(&arguments.act)
        .map(Arc::new)
        .map_err(|f| Failure::catalog("--act", &arguments.act, &f))?;
    let delivery = arguments.output.open(FILES, &Paths::default())?;
    let stop = Stop::on_signals();
    let search = stop.search(&arguments.output);
    Ahead::begin("theory", (1, 1), &arguments.output).predict(|| seconds(&act, cores()));
    let line = walk(&act);
    let (mut weights, mut biases) = ranges(&act, &line);
    weights = arguments.sigma_w2.unwrap_or(weights);
    biases = arguments.sigma_b2.unwrap_or(biases);
    let columns = arguments.resolution.unwrap_or(if arguments.simulate { 41 } else { 81 });
    let rows = (columns * 2).div_ceil(3);
    let mut diagram = Diagram::with(&act, line, grid(weights, columns), grid(biases, rows), arguments.width);
    search.end();
    if arguments.simulate {
        let Some(measured) = simulated(&act, &diagram, arguments, &stop) else {
            note("interrupted before the plane was complete; there are no results");
            return Ok(stop.code());
        };
        diagram.measured = Some(measured);
    }
    let written = delivery.deliver(&diagram)?;
    delivery.say(&written);
    Ok(stop.code_after(ExitCode::SUCCESS))
}

fn simulated(
    act: &Arc<Activation>,
    diagram: &Diagram,
    arguments: &Arguments,
    stop: &Stop,
) -> Option<crate::theory::phase::Measured> {
    let points = (diagram.sigma_w2.len() * diagram.sigma_b2.len()) as u64;
    let bar = arguments.output.bar("simulating", points);
    let stacks = Stacks { seed: arguments.seed, ..STACKS };
    let step = || bar.inc(1);
    let measured = measure(act, &diagram.sigma_w2, &diagram.sigma_b2, &stacks, &step, stop.flag());
    bar.finish_and_clear();
    measured.map(|m| m.beside(act, diagram))
}
