//! `initdiag recommend`: which initializer for this network, why, and the lines that set it.

use super::delivery::OutputOptions;
use super::error::{Failure, note};
use super::forecast::Forecast;
use super::nets;
use super::number::{self, Real};
use super::paths::Paths;
use super::progress::Stop;
use super::run::cores;
use super::{memory, network};
use crate::activation::Activation;
use crate::diagnose::recommend::{Question, Recommendation, StackSurvey, Survey};
use crate::initializer::Initializer;
use crate::report::recommend::FILES;
use crate::simulate::{Control, Plan, PlanError};
use clap::Args;
use indicatif::ProgressBar;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

/// Options of `recommend`.
#[derive(Args)]
pub struct Arguments {
    /// Activation: a name, or an expression in x [default: relu, or what the network names]
    #[arg(long, value_name = "A", allow_hyphen_values = true)]
    act: Option<String>,
    /// Linear + activation layers [default: 50]
    #[arg(long, value_name = "N", value_parser = number::whole::<usize>(number::DEPTH), allow_hyphen_values = true)]
    depth: Option<usize>,
    /// Units a layer; accepts 4096, 4k, 1M [default: 512]
    #[arg(long, value_name = "N", value_parser = number::whole::<usize>(number::COUNT), allow_hyphen_values = true)]
    width: Option<usize>,
    /// Width of the input and of each layer, such as 784,512,10
    #[arg(long, value_name = "N,N…", conflicts_with_all = ["width", "depth"], allow_hyphen_values = true)]
    widths: Option<String>,
    /// A network file, or the name of a bundled network; initializers are ranked by short simulations of it
    #[arg(long, value_name = "FILE|NAME", num_args = 0..=1, default_missing_value = nets::NO_NAME, conflicts_with_all = ["width", "depth", "widths"])]
    pub(super) net: Option<OsString>,
    /// Initializer that you have now [default: xavier, or what the network names]
    #[arg(long, value_name = "I", allow_hyphen_values = true)]
    init: Option<String>,
    /// A whole-stack change beyond this many decades is not kept
    #[arg(long, value_name = "DECADES", default_value = "1", value_parser = number::real(Real::Positive), allow_hyphen_values = true)]
    threshold: f64,
    /// Seed of the short simulations
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::whole::<u64>(number::SEED), allow_hyphen_values = true)]
    seed: u64,
    #[command(flatten)]
    pub(super) output: OutputOptions,
}

/// Theory walks every layer for every law of the catalog.
const DEEPEST: usize = 10_000;

fn widths(arguments: &Arguments) -> Result<Vec<usize>, Failure> {
    let widths = match &arguments.widths {
        None => vec![arguments.width.unwrap_or(512); arguments.depth.unwrap_or(50).min(DEEPEST + 1) + 1],
        Some(text) => number::widths(text).map_err(|reason| Failure::option("--widths", text, reason))?,
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
        own: arguments.init.is_some() || net.as_ref().is_some_and(|net| net.init.is_some()),
        threshold: arguments.threshold,
        seed: arguments.seed,
    };
    let output = &arguments.output;
    let paths = Paths::default().reading("--net", arguments.net.as_deref().and_then(network::file));
    let stop = Stop::on_signals();
    let search = stop.search(output);
    let (delivery, recommendation) = match &net {
        None => {
            let delivery = output.open(FILES, &paths)?;
            let survey = StackSurvey::new(question).map_err(catalog)?;
            search.end();
            let threads = survey.plan().map_or(Ok(1), threads)?;
            let watched = Watched::begin(survey.plan(), threads, output, &stop);
            (delivery, watched.answer(|control| survey.answer(control)))
        }
        Some(net) => {
            let survey = Survey::new(question, net).map_err(|fault| match fault {
                PlanError::Initializer(fault) => catalog(fault),
                fault => fault.into(),
            })?;
            search.end();
            let threads = threads(&survey.plan)?;
            let delivery = output.open(FILES, &paths)?;
            let watched = Watched::begin(Some(&survey.plan), threads, output, &stop);
            (delivery, watched.answer(|control| survey.answer(control)))
        }
    };
    let Some(recommendation) = recommendation else {
        note("interrupted before the laws were measured; there are no results");
        return Ok(stop.code());
    };
    let written = delivery.deliver(&recommendation)?;
    delivery.say(&written);
    Ok(stop.code_after(ExitCode::SUCCESS))
}

/// All cores; what fits on one thread only is done on one. Laws are ranked together, with numbers of samples and trials that the user
/// does not choose.
fn threads(plan: &Plan) -> Result<usize, Failure> {
    let smaller = if plan.experiment.net.is_some() { "network" } else { "--depth or --width" };
    let fits = |threads: usize| {
        memory::fits(plan.bytes(threads), |_| format!("take a smaller {smaller}")).map(|()| threads)
    };
    fits(cores()).or_else(|_| fits(1))
}

/// Simulations, with what is said of them, and who may stop them.
struct Watched<'a> {
    threads: usize,
    stop: &'a Stop,
    forecast: Option<Forecast>,
    bar: ProgressBar,
}

impl<'a> Watched<'a> {
    fn begin(plan: Option<&Plan>, threads: usize, output: &OutputOptions, stop: &'a Stop) -> Self {
        let forecast = plan.map(|plan| Forecast::begin(plan, threads, 0, output, stop.flag()));
        Self { threads, stop, forecast, bar: output.bar("simulating", plan.map_or(0, Plan::units)) }
    }

    /// What the simulations say; `None` when the user stopped them.
    fn answer(self, answer: impl FnOnce(&Control) -> Recommendation) -> Option<Recommendation> {
        let progress = |units| {
            if let Some(forecast) = &self.forecast {
                forecast.advance(units, &self.bar);
            }
        };
        let stop = self.stop.flag();
        let control = Control { threads: self.threads, stop, progress: &progress, trace: false };
        let recommendation = answer(&control);
        self.bar.finish_and_clear();
        (!stop.load(Ordering::Relaxed)).then_some(recommendation)
    }
}
