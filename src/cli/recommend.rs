//! `initdiag recommend`: which initializer for this network, why, and the lines that set it.

use super::delivery::OutputOptions;
use super::error::{Failure, note};
use super::forecast::Forecast;
use super::paths::Paths;
use super::progress::Stop;
use super::run::{check_memory, cores};
use super::{network, size};
use crate::activation::Activation;
use crate::diagnose::recommend::{Question, Recommendation, Survey, recommend, recommend_for};
use crate::initializer::Initializer;
use crate::report::recommend::FILES;
use crate::simulate::{Control, PlanError};
use clap::Args;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Options of `recommend`.
#[derive(Args)]
pub struct Arguments {
    /// Activation: a name, or an expression in x [default: relu, or what the network names]
    #[arg(long, value_name = "A", allow_hyphen_values = true)]
    act: Option<String>,
    /// Linear + activation layers [default: 50]
    #[arg(long, value_name = "N", value_parser = size::depth, allow_hyphen_values = true)]
    depth: Option<usize>,
    /// Units a layer; accepts 4096, 4k, 1M [default: 512]
    #[arg(long, value_name = "N", value_parser = size::parse, allow_hyphen_values = true)]
    width: Option<usize>,
    /// Width of the input and of each layer, such as 784,512,10
    #[arg(long, value_name = "N,N…", conflicts_with_all = ["width", "depth"], allow_hyphen_values = true)]
    widths: Option<String>,
    /// A network file, or the name of a bundled network; initializers are ranked by short simulations of it
    #[arg(long, value_name = "FILE|NAME", conflicts_with_all = ["width", "depth", "widths"])]
    net: Option<OsString>,
    /// Initializer that you have now [default: xavier, or what the network names]
    #[arg(long, value_name = "I", allow_hyphen_values = true)]
    init: Option<String>,
    /// A whole-stack change beyond this many decades is not kept
    #[arg(long, value_name = "DECADES", default_value = "1", value_parser = size::decades, allow_hyphen_values = true)]
    threshold: f64,
    /// Seed of the short simulations
    #[arg(long, value_name = "N", default_value = "0", allow_hyphen_values = true)]
    seed: u64,
    #[command(flatten)]
    output: OutputOptions,
}

/// Theory walks every layer for every law of the catalog.
const DEEPEST: usize = 10_000;

fn widths(arguments: &Arguments) -> Result<Vec<usize>, Failure> {
    let widths = match &arguments.widths {
        None => vec![arguments.width.unwrap_or(512); arguments.depth.unwrap_or(50).min(DEEPEST + 1) + 1],
        Some(text) => size::widths(text).map_err(|reason| Failure::option("--widths", text, reason))?,
    };
    if widths.len() > DEEPEST + 1 {
        let depth = arguments.depth.map_or_else(|| (widths.len() - 1).to_string(), |d| d.to_string());
        return Err(Failure::option(
            "--depth",
            &depth,
            format!("at most {DEEPEST} layers are recommended for"),
        ));
    }
    Ok(widths)
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let net = arguments.net.as_deref().map(network::read).transpose()?;
    let widths = if net.is_some() { Vec::new() } else { widths(arguments)? };
    let act = network::named(&arguments.act, net.as_ref().and_then(|n| n.act.as_ref()), "relu");
    let init = network::named(&arguments.init, net.as_ref().and_then(|n| n.init.as_ref()), "xavier");
    let act = Activation::parse(&act).map_err(|f| Failure::catalog("--act", &act, &f))?;
    let catalog = |fault| Failure::catalog("--init", &init, &fault);
    let law = if net.is_some() { Initializer::parse_for_net(&init) } else { Initializer::parse(&init) };
    let law = law.map_err(catalog)?;
    let question = Question {
        act: &act,
        widths: &widths,
        init: &law,
        threshold: arguments.threshold,
        seed: arguments.seed,
    };
    let paths = Paths::default().reading("--net", arguments.net.as_deref().and_then(network::file));
    let (delivery, recommendation) = match &net {
        None => {
            let delivery = arguments.output.open(FILES, &paths)?;
            // Seconds: a bar would be gone before it is read, and Ctrl-C ends the process.
            let stop = AtomicBool::new(false);
            let control = Control { threads: cores(), stop: &stop, progress: &|_| (), trace: false };
            (delivery, recommend(&question, &control).map_err(catalog)?)
        }
        Some(net) => {
            let survey = Survey::new(question, net).map_err(|fault| match fault {
                PlanError::Initializer(fault) => catalog(fault),
                fault => fault.into(),
            })?;
            // What fits on one thread only is done on one.
            let threads = if check_memory(&survey.plan, cores(), 0).is_ok() { cores() } else { 1 };
            check_memory(&survey.plan, threads, 0)?;
            let delivery = arguments.output.open(FILES, &paths)?;
            let stop = Stop::on_signals();
            match measured(survey, threads, &arguments.output, &stop) {
                Some(recommendation) => (delivery, recommendation),
                None => {
                    note("interrupted before the laws were measured; there are no results");
                    return Ok(stop.code());
                }
            }
        }
    };
    let written = delivery.deliver(&recommendation)?;
    delivery.say(&written);
    Ok(ExitCode::SUCCESS)
}

/// What a network's simulations say; `None` when the user stopped them.
fn measured(survey: Survey, threads: usize, output: &OutputOptions, stop: &Stop) -> Option<Recommendation> {
    let forecast = Forecast::begin(&survey.plan, threads, 0, output, stop.flag());
    let bar = output.bar("simulating", survey.plan.units());
    let progress = |units| forecast.advance(units, &bar);
    let control = Control { threads, stop: stop.flag(), progress: &progress, trace: false };
    let recommendation = recommend_for(survey, &control);
    bar.finish_and_clear();
    (!stop.flag().load(Ordering::Relaxed)).then_some(recommendation)
}
