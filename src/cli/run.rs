//! The main command: simulate, judge, plot.

use super::delivery::OutputOptions;
use super::error::{Failure, note, say};
use super::fail_on::{Condition, Met, conclude, missing};
use super::figure::FigureArguments;
use super::forecast::{Ahead, Forecast};
use super::input::{self, Given};
use super::memory::Need;
use super::nets;
use super::number::{self, Real};
use super::paths::Paths;
use super::progress::Stop;
use super::{baseline, network, widths};
use crate::activation::Activation;
use crate::diagnose;
use crate::initializer::Initializer;
use crate::law::call::CatalogError;
use crate::report::run::{FILES, Illustrated};
use crate::result::{Flag, Report};
use crate::simulate::rates::Rates;
use crate::simulate::{Control, Input, Inputs, Plan, Recorded, record};
use crate::spec::{Engine, Experiment, Loss, Precision};
use crate::study::jacobian;
use crate::study::scaling::UNSTABLE;
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of the main command.
#[derive(Args)]
#[command(next_help_heading = "Run options")]
pub struct Arguments {
    /// Linear + activation layers; several make a grid [default: 50]
    #[arg(long, value_name = "N[,N…]", value_parser = number::whole::<usize>(number::DEPTH), value_delimiter = ',', allow_hyphen_values = true)]
    depth: Vec<usize>,
    /// Units a layer; accepts 4096, 4k, 1M; several make a grid [default: 512]
    #[arg(long, value_name = "N[,N…]", value_parser = number::whole::<usize>(number::COUNT), value_delimiter = ',', allow_hyphen_values = true)]
    width: Vec<usize>,
    /// Width of the input and of each layer, such as 784,512,10
    #[arg(long, value_name = "N,N…", conflicts_with_all = ["width", "depth"], allow_hyphen_values = true)]
    widths: Option<String>,
    /// Repeat the run at each of these widths of all layers, such as 128,256,512,1k, and fit how every quantity scales with width;
    /// the input keeps its own width, 512 or the data's
    #[arg(long, value_name = "N,N,N…", conflicts_with_all = ["width", "widths", "baseline", "trace", "net"], allow_hyphen_values = true)]
    pub(super) widths_sweep: Option<String>,
    /// A network file, or the name of a bundled network: lenet5, resnet18, gpt2-small and others
    #[arg(long, value_name = "FILE|NAME", num_args = 0..=1, default_missing_value = nets::NO_NAME, conflicts_with_all = ["width", "depth", "widths"])]
    pub(super) net: Option<OsString>,
    /// Activations: names, or expressions in x [default: relu, or what the network names]
    #[arg(long, value_name = "A[,A…]", allow_hyphen_values = true)]
    act: Option<String>,
    /// Initializers: name, name(param=value), or a law such as normal(0, sqrt(2/fan_in)) [default: xavier, or what the network
    /// names]
    #[arg(long, value_name = "I[,I…]", allow_hyphen_values = true)]
    init: Option<String>,
    /// Law of the biases [default: that of the initializer, else zeros]
    #[arg(long, value_name = "B", allow_hyphen_values = true)]
    bias: Option<String>,
    /// A law for the parameters whose names match, such as '*/query=normal(0, 0.02)' or '*.bias=zeros'; may be given several times, and
    /// the last that matches counts
    #[arg(long, value_name = "PATTERN=LAW", allow_hyphen_values = true)]
    set: Vec<String>,
    /// Samples that are pushed through the network
    #[arg(long, value_name = "N", default_value = "64", value_parser = number::whole::<usize>(number::COUNT), allow_hyphen_values = true)]
    batch: usize,
    /// Input: normal, uniform, uniform(low, high), correlated(c), or a data file (IDX, NPY, CSV; may be gzipped); for a network that
    /// takes tokens NPY of integers, numbers as text, or any text, whose bytes are the tokens. Of a network with several inputs
    /// NAME=KIND, once for each [default: normal]
    #[arg(long, value_name = "[NAME=]KIND")]
    input: Vec<OsString>,
    /// Loss at the top: random, a random read-out; mse, the mean of (h − t)² over outputs and samples (torch's MSELoss, as in train),
    /// t from N(0, 1); or cross-entropy against random classes
    #[arg(long, value_name = "KIND", default_value = "random", ignore_case = true)]
    loss: LossKind,
    /// Number of independent draws of all weights
    #[arg(long, value_name = "N", default_value = "10", value_parser = number::whole::<usize>(number::COUNT), allow_hyphen_values = true)]
    trials: usize,
    /// Seed of all random numbers: the same seed gives the same bytes, whatever --threads
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::whole::<u64>(number::SEED), allow_hyphen_values = true)]
    seed: u64,
    /// How weights are drawn
    #[arg(long, value_name = "E", default_value = "auto", ignore_case = true)]
    engine: EngineKind,
    /// Precision that trials are computed in; what double precision rounds away too is reported as below rounding
    #[arg(long, value_name = "P", default_value = "auto", ignore_case = true)]
    precision: PrecisionKind,
    /// Worker threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = number::whole::<usize>(number::THREADS), allow_hyphen_values = true)]
    pub(super) threads: Option<usize>,
    /// A whole-stack change beyond this many decades is vanishing or exploding
    #[arg(long, value_name = "DECADES", default_value = "1", value_parser = number::real(Real::Positive), allow_hyphen_values = true)]
    threshold: f64,
    /// A unit counts as saturated where the slope of its activation is below this share of the steepest
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = number::real(Real::PositiveTo(1.0)), allow_hyphen_values = true)]
    saturation: f64,
    /// Exit with status 3 when a cell's verdict or flag is among these. Vanishing and exploding mean severe and worse,
    /// vanishing:mild also less; drift is met too where nothing could be tested, drift:tested is not
    #[arg(long, value_name = "V[,V…]", value_delimiter = ',', value_parser = Condition::parse)]
    pub(super) fail_on: Vec<Condition>,
    /// Compare with an earlier result.json of the same experiment: cells that do not follow its laws get the flag drift
    #[arg(long, value_name = "FILE.json")]
    baseline: Option<PathBuf>,
    /// Singular values of ∂output/∂input at one sample, in the JSON, the table and a figure
    #[arg(long, conflicts_with = "widths_sweep")]
    jacobian: bool,
    /// Keep every trial's values in the JSON
    #[arg(long)]
    trace: bool,
    #[command(flatten)]
    figure: FigureArguments,
    #[command(flatten)]
    pub(super) output: OutputOptions,
}

#[derive(Clone, Copy, ValueEnum)]
enum LossKind {
    Random,
    Mse,
    CrossEntropy,
}

#[derive(Clone, Copy, ValueEnum)]
enum EngineKind {
    /// Exact, at the least predicted cost
    Auto,
    /// Every weight is drawn
    Dense,
    /// Products alone are drawn, from their joint law
    #[value(alias = "lazy")]
    Implicit,
}

#[derive(Clone, Copy, ValueEnum)]
enum PrecisionKind {
    /// Single, and double where single would round a recorded figure away
    Auto,
    Single,
    Double,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if let Some(list) = &arguments.widths_sweep {
        return widths::run(arguments, list);
    }
    if arguments.fail_on.contains(&Condition::WidthUnstable) {
        return Err(Failure::option("--fail-on", UNSTABLE, "needs --widths-sweep"));
    }
    let figure = arguments.figure.options(arguments.net.is_some())?;
    let (experiment, inputs) = experiment(arguments)?;
    let guards = [Condition::Flag(Flag::Drift), Condition::TestedDrift];
    if let Some(guard) = guards.into_iter().find(|guard| arguments.fail_on.contains(guard))
        && arguments.baseline.is_none()
    {
        return Err(Failure::option("--fail-on", guard.name(), "needs --baseline, a result to compare with"));
    }
    let threads = workers(arguments.threads);
    // Small multiples of a network are more pixels.
    let many = if experiment.net.is_some() { 2 } else { 1 };
    let (figures, trace) = (many * arguments.output.figure_bytes(), arguments.trace);
    let need = Need { threads, figures, trace, jacobian: arguments.jacobian };
    need.check_layers(&experiment)?;
    let plan = Plan::new(&experiment, inputs)?;
    if arguments.jacobian {
        jacobian::check(&plan).map_err(|reason| Failure::Usage(format!("--jacobian: {reason}")))?;
    }
    need.check(&plan)?;
    let earlier = arguments.baseline.as_deref().map(|path| baseline::read(path, &plan)).transpose()?;
    let jobs = plan.cells.len().saturating_mul(plan.experiment.trials);
    let drawn = need.beside(&plan);
    let stop = Stop::on_signals();
    if arguments.output.speaks() {
        plan.left_out.iter().for_each(|out| {
            note(&format!("left out: {} × {} cannot be built: {}", out.init, out.act, out.reason));
        });
    }
    let delivery = arguments.output.open(FILES, &paths(arguments))?;
    if figures == 0 && arguments.output.speaks() {
        arguments.figure.say_without_effect();
    }
    let directory = delivery.directory();
    let forecast = Forecast::begin(&plan, threads, drawn, &arguments.output, stop.flag());
    let session = Session::start(plan.units(), arguments, stop.clone());
    let recorded = session.record(&plan, threads, &forecast)?;
    session.bar.finish_and_clear();
    let mut report = session.report(&plan, &recorded, threads, &arguments.output)?;
    if arguments.jacobian {
        session.jacobians(&plan, threads, &mut report, &arguments.output)?;
    }
    if let Some(earlier) = &earlier {
        earlier.compare(&mut report);
    }
    let interrupted = report.interrupted;
    // Without a complete trial there is nothing to write, and the files of an earlier run stay.
    let shown = Illustrated { report: &report, options: &figure };
    let outcome = match report.cells.as_slice() {
        [] => delivery.print(&shown).map(|()| Vec::new()),
        _ => delivery.deliver(&shown),
    };
    if interrupted {
        let kept: usize = report.cells.iter().map(|c| c.trials).sum();
        let earlier = directory.filter(|d| FILES.iter().any(|(_, name)| d.holds(name)));
        say(&match (kept, earlier) {
            (0, None) => "interrupted before the first trial was complete; there are no results".to_string(),
            (0, Some(earlier)) => format!(
                "interrupted before the first trial was complete; the files in `{}` are of an earlier run",
                earlier.path().display()
            ),
            _ => format!("interrupted: {kept} of {jobs} trials were complete, and their results are kept"),
        });
    }
    let written = outcome?;
    delivery.say(&written);
    if interrupted {
        return Ok(stop.code());
    }
    let met = report.cells.iter().filter_map(|cell| Met::of(cell, &arguments.fail_on));
    Ok(conclude(met.chain(missing(&report, &arguments.fail_on))))
}

/// The files that a run reads.
pub(super) fn paths(arguments: &Arguments) -> Paths {
    let paths = Paths::default()
        .reading("--net", arguments.net.as_deref().and_then(network::file))
        .reading("--baseline", arguments.baseline.as_deref());
    input::files(&arguments.input).into_iter().fold(paths, |paths, file| paths.reading("--input", Some(file)))
}

/// A run that shows its progress and can be stopped.
pub(super) struct Session {
    stop: Stop,
    bar: indicatif::ProgressBar,
    trace: bool,
}

impl Session {
    /// `units` of progress in all.
    pub fn start(units: u64, arguments: &Arguments, stop: Stop) -> Self {
        Self { stop, bar: arguments.output.bar("simulating", units), trace: arguments.trace }
    }

    /// Runs all trials.
    pub fn record(&self, plan: &Plan, threads: usize, forecast: &Forecast) -> Result<Recorded, Failure> {
        let progress = |units| forecast.advance(units, &self.bar);
        Ok(record(plan, &self.control(threads, &progress))?)
    }

    /// Judges what they recorded beside theory, which takes long for some activations.
    fn report(
        &self,
        plan: &Plan,
        recorded: &Recorded,
        threads: usize,
        output: &OutputOptions,
    ) -> Result<Report, Failure> {
        let cells = plan.cells.len() as u64;
        let bar = output.bar("theory", cells);
        let ahead = Ahead::begin("theory", (cells, cells.min(threads as u64)), output);
        let progress = |cells| ahead.advance(cells, &bar);
        let report = diagnose::report(plan, recorded, &self.control(threads, &progress));
        bar.finish_and_clear();
        Ok(report?)
    }

    /// Runs all trials and judges them, with one bar for all.
    pub fn run(&self, plan: &Plan, threads: usize, forecast: &Forecast) -> Result<Report, Failure> {
        let recorded = self.record(plan, threads, forecast)?;
        Ok(diagnose::report(plan, &recorded, &self.control(threads, &|_| ()))?)
    }

    fn control<'a>(&'a self, threads: usize, progress: &'a (dyn Fn(u64) + Sync)) -> Control<'a> {
        Control { threads, stop: self.stop.flag(), progress, trace: self.trace }
    }

    fn jacobians(
        &self,
        plan: &Plan,
        threads: usize,
        report: &mut Report,
        output: &OutputOptions,
    ) -> Result<(), Failure> {
        let units = jacobian::units(plan);
        let bar = output.bar("singular values", units);
        let ahead = Ahead::begin("singular values", (units, jacobian::side_by_side(plan, threads)), output);
        ahead.predict(|| jacobian::seconds(plan, threads, Rates::measured()));
        let progress = |units| ahead.advance(units, &bar);
        let measured = jacobian::measure(plan, &self.control(threads, &progress), report);
        bar.finish_and_clear();
        Ok(measured?)
    }

    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// Threads where so many are asked for: more than there are cores only cost.
pub(super) fn workers(asked: Option<usize>) -> usize {
    asked.map_or_else(cores, |count| count.min(cores()))
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the options ask for, and the inputs they name.
pub(super) fn experiment(arguments: &Arguments) -> Result<(Experiment, Inputs), Failure> {
    let net = arguments.net.as_deref().map(network::read).transpose()?;
    let act = network::named(&arguments.act, net.as_ref().and_then(|n| n.act.as_ref()), "relu");
    let init = network::named(&arguments.init, net.as_ref().and_then(|n| n.init.as_ref()), "xavier");
    let acts = Activation::parse_list(&act).map_err(|f| Failure::catalog("--act", &act, &f))?;
    let inits = match net {
        None => Initializer::parse_list(&init),
        Some(_) => Initializer::parse_list_for_net(&init),
    };
    let inits = inits.map_err(|f| law("--init", &init, &f))?;
    let bias = match arguments.bias.as_deref() {
        None => None,
        Some(text) if text.trim().eq_ignore_ascii_case("none") => Some("zeros".into()),
        Some(text) => Some(Initializer::parse(text).map_err(|f| law("--bias", text, &f))?.name),
    };
    let Given { common, named, inputs } = input::given(&arguments.input, net.as_ref())?;
    let mut stacks = if net.is_some() { vec![Vec::new()] } else { layer_widths(arguments, &inputs.common)? };
    let more_widths = stacks.split_off(1);
    let widths = stacks.pop().unwrap_or_default();
    let experiment = Experiment {
        depth: widths.len().saturating_sub(1),
        widths,
        more_widths,
        net,
        act: distinct(acts.into_iter().map(|a| a.name)),
        init: distinct(inits.into_iter().map(|i| i.name)),
        bias,
        set: network::overrides(&arguments.set)?,
        batch: arguments.batch,
        input: common,
        inputs: named,
        loss: match arguments.loss {
            LossKind::Random => Loss::Random,
            LossKind::Mse => Loss::Mse,
            LossKind::CrossEntropy => Loss::CrossEntropy,
        },
        trials: arguments.trials,
        seed: arguments.seed,
        engine: match arguments.engine {
            EngineKind::Auto => Engine::Auto,
            EngineKind::Dense => Engine::Dense,
            EngineKind::Implicit => Engine::Implicit,
        },
        precision: match arguments.precision {
            PrecisionKind::Auto => Precision::Auto,
            PrecisionKind::Single => Precision::Single,
            PrecisionKind::Double => Precision::Double,
        },
        threshold: arguments.threshold,
        saturation: arguments.saturation,
    };
    Ok((experiment, inputs))
}

/// A name given twice is one cell.
pub(super) fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    names.for_each(|name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
    });
    seen
}

/// A fault of a law; a bare number is taken for what it probably means.
fn law(option: &'static str, text: &str, fault: &CatalogError) -> Failure {
    match text.trim().parse::<f64>() {
        Ok(value) if value.is_finite() => {
            Failure::option(option, text, format!("a law is needed, such as constant({})", text.trim()))
        }
        _ => Failure::catalog(option, text, fault),
    }
}

/// The widths of each stack of the grid: depths, and widths within each.
fn layer_widths(arguments: &Arguments, input: &Input) -> Result<Vec<Vec<usize>>, Failure> {
    if let Some(text) = &arguments.widths {
        let widths = number::widths(text).map_err(|reason| Failure::option("--widths", text, reason))?;
        return Ok(vec![widths]);
    }
    let or = |given: &[usize], default: usize| if given.is_empty() { vec![default] } else { given.to_vec() };
    let (depths, widths) = (or(&arguments.depth, 50), or(&arguments.width, 512));
    let mut stacks: Vec<Vec<usize>> = Vec::new();
    for depth in depths {
        for width in &widths {
            let mut stack = vec![*width; depth + 1];
            if let Input::Data(samples) = input {
                stack[0] = samples.nrows();
            }
            if !stacks.contains(&stack) {
                stacks.push(stack);
            }
        }
    }
    Ok(stacks)
}
