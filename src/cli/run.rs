//! The main command: simulate, judge, plot.

use super::error::{Failure, say};
use super::output::{self, Directory, When};
use super::{progress, size};
use crate::activation::Activation;
use crate::data;
use crate::initializer::Initializer;
use crate::report::{chart, json, table, terminal};
use crate::result::{Report, Verdict};
use crate::simulate::{Control, Engine as SimulationEngine, Input, Plan, run as simulate};
use crate::spec::{Engine, Experiment, Loss, call, printable};
use crate::verdict::FLAGS;
use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Options of the main command.
#[derive(Args)]
#[command(next_help_heading = "Run options")]
pub struct Arguments {
    /// Linear + activation layers [default: 50]
    #[arg(long, value_name = "N", value_parser = size::parse, allow_negative_numbers = true)]
    depth: Option<usize>,
    /// Units a layer; accepts 4096, 4k, 1M [default: 512]
    #[arg(long, value_name = "N", value_parser = size::parse, allow_negative_numbers = true)]
    width: Option<usize>,
    /// Width of the input and of each layer, such as 784,512,10
    #[arg(long, value_name = "N,N…", conflicts_with_all = ["width", "depth"], allow_negative_numbers = true)]
    widths: Option<String>,
    /// Activations: names, or expressions in x
    #[arg(long, value_name = "A[,A…]", default_value = "relu", allow_hyphen_values = true)]
    act: String,
    /// Initialisers: name, name(param=value), or a law such as normal(0, sqrt(2/fan_in))
    #[arg(long, value_name = "I[,I…]", default_value = "xavier", allow_hyphen_values = true)]
    init: String,
    /// Law of the biases [default: what the initialiser brings, else zeros]
    #[arg(long, value_name = "B")]
    bias: Option<String>,
    /// Rows pushed through
    #[arg(long, value_name = "N", default_value = "64", value_parser = size::parse, allow_negative_numbers = true)]
    batch: usize,
    /// normal, uniform, correlated(c), or a data file (IDX, NPY, CSV; may be gzipped)
    #[arg(long, value_name = "KIND", default_value = "normal")]
    input: String,
    /// What is differentiated at the top
    #[arg(long, value_name = "KIND", default_value = "random")]
    loss: LossKind,
    /// Independent draws of all weights
    #[arg(long, value_name = "N", default_value = "10", value_parser = size::parse, allow_negative_numbers = true)]
    trials: usize,
    /// The same seed gives the same bytes, whatever --threads
    #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true)]
    seed: u64,
    /// How weights are drawn
    #[arg(long, value_name = "E", default_value = "auto")]
    engine: EngineKind,
    /// Worker threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    threads: Option<usize>,
    /// A whole-stack change beyond this many decades is vanishing or exploding
    #[arg(long, value_name = "DECADES", default_value = "1", value_parser = decades, allow_negative_numbers = true)]
    threshold: f64,
    /// Where files go [default: initdiag-out]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Files to write
    #[arg(long, value_name = "F[,F…]", value_delimiter = ',', default_value = "svg,png,csv,json")]
    format: Vec<Format>,
    /// The result on standard output, and no files unless --out is given too
    #[arg(long)]
    json: bool,
    /// Exit 3 when a cell's verdict or flag is among these
    #[arg(long, value_name = "V[,V…]", value_delimiter = ',', value_parser = outcome)]
    fail_on: Vec<String>,
    /// Keep every trial's values in the JSON
    #[arg(long)]
    trace: bool,
    /// No table on standard output, no progress bar
    #[arg(long, short)]
    quiet: bool,
    /// No progress bar
    #[arg(long)]
    no_progress: bool,
    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: When,
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
    Lazy,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Svg,
    Png,
    Csv,
    Json,
}

/// More would only take memory.
const MAX_THREADS: usize = 4096;

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=MAX_THREADS).contains(&count) => Ok(count),
        _ => Err(format!("a whole number from 1 to {MAX_THREADS} is needed")),
    }
}

fn decades(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(decades) if f64::is_finite(decades) && decades > 0.0 => Ok(decades),
        _ => Err("a positive number of decades is needed".into()),
    }
}

fn outcome(text: &str) -> Result<String, String> {
    let known = || [Verdict::Stable, Verdict::Vanishing, Verdict::Exploding].map(Verdict::name).into_iter();
    let text = text.trim().to_lowercase();
    if known().chain(FLAGS.iter().copied()).any(|name| name == text) {
        return Ok(text);
    }
    let all: Vec<&str> = known().chain(FLAGS.iter().copied()).collect();
    Err(match call::nearest(&text, all.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("not one of {}", all.join(", ")),
    })
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (experiment, input) = experiment(arguments)?;
    let plan = Plan::new(&experiment, input)?;
    let threads = match arguments.threads {
        Some(count) => count,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    check_memory(&plan, threads)?;
    let directory = match (&arguments.out, arguments.json) {
        (Some(path), _) => Some(Directory::open(path)?),
        (None, true) => None,
        (None, false) => Some(Directory::open(Path::new("initdiag-out"))?),
    };
    let report = simulated(&plan, threads, arguments)?;
    let interrupted = report.interrupted;
    let outcome = deliver(&report, directory.as_ref(), arguments);
    if interrupted {
        let kept: usize = report.cells.iter().map(|c| c.trials).sum();
        let asked = plan.cells.len() * plan.experiment.trials;
        say(&match kept {
            0 => "interrupted before the first trial was complete; there are no results".to_string(),
            _ => format!("interrupted: {kept} of {asked} trials were complete, and their results are kept"),
        });
    }
    outcome?;
    if interrupted {
        return Ok(ExitCode::from(130));
    }
    Ok(if fails(&report, &arguments.fail_on) { ExitCode::from(3) } else { ExitCode::SUCCESS })
}

fn fails(report: &Report, fail_on: &[String]) -> bool {
    report.cells.iter().any(|cell| {
        let verdicts = [cell.forward.verdict.name(), cell.backward.verdict.name()];
        let met = verdicts.into_iter().chain(cell.flags.iter().map(String::as_str));
        met.into_iter().any(|name| fail_on.iter().any(|wanted| wanted == name))
    })
}

fn simulated(plan: &Plan, threads: usize, arguments: &Arguments) -> Result<Report, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    // Where no handler can be set, Ctrl-C ends the process as it always does.
    let _ = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            // The second time, at once.
            std::process::exit(130);
        }
    });
    let wanted = !arguments.quiet && !arguments.no_progress && std::io::stderr().is_terminal();
    let bar = progress::bar(plan.units(), wanted);
    let progress = |units| bar.inc(units);
    let control = Control { threads, stop: &stop, progress: &progress, trace: arguments.trace };
    let report = simulate(plan, &control)?;
    bar.finish_and_clear();
    Ok(report)
}

/// Files first, then standard output; a fault of one does not keep the result from the other.
fn deliver(report: &Report, directory: Option<&Directory>, arguments: &Arguments) -> Result<(), Failure> {
    let written = match directory {
        Some(directory) if !report.cells.is_empty() => files(report, directory, &arguments.format),
        _ => Ok(()),
    };
    let printed = if arguments.json {
        output::print(&json::render(report), When::Never)
    } else if arguments.quiet || report.cells.is_empty() {
        Ok(())
    } else {
        output::print(&terminal::render(report), arguments.color)
    };
    written?;
    match printed {
        // Nobody reads the table any more; the exit code still says how the run went.
        Err(Failure::Closed) => Ok(()),
        other => other,
    }
}

fn files(report: &Report, directory: &Directory, formats: &[Format]) -> Result<(), Failure> {
    let wants = |format: Format| formats.contains(&format);
    if wants(Format::Json) {
        directory.write("result.json", json::render(report).as_bytes())?;
    }
    if wants(Format::Csv) {
        directory.write("layers.csv", table::render(report)?.as_bytes())?;
    }
    if wants(Format::Svg) || wants(Format::Png) {
        let svg = chart::svg(report)?;
        if wants(Format::Svg) {
            directory.write("signal.svg", svg.as_bytes())?;
        }
        if wants(Format::Png) {
            directory.write("signal.png", &chart::png(&svg)?)?;
        }
    }
    Ok(())
}

/// What the options ask for, and the input they name.
fn experiment(arguments: &Arguments) -> Result<(Experiment, Input), Failure> {
    let acts =
        Activation::parse_list(&arguments.act).map_err(|f| Failure::catalog("--act", &arguments.act, &f))?;
    let inits = Initializer::parse_list(&arguments.init)
        .map_err(|f| Failure::catalog("--init", &arguments.init, &f))?;
    let bias = match &arguments.bias {
        None => None,
        Some(text) => Some(Initializer::parse(text).map_err(|f| Failure::catalog("--bias", text, &f))?.name),
    };
    let input = match Input::parse(&arguments.input).map_err(|f| Failure::input(&arguments.input, &f))? {
        Some(input) => input,
        None => file(&arguments.input)?,
    };
    let widths = widths(arguments, &input)?;
    let experiment = Experiment {
        depth: widths.len() - 1,
        widths,
        act: distinct(acts.into_iter().map(|a| a.name)),
        init: distinct(inits.into_iter().map(|i| i.name)),
        bias,
        batch: arguments.batch,
        input: printable(&arguments.input),
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
            EngineKind::Lazy => Engine::Lazy,
        },
        threshold: arguments.threshold,
    };
    Ok((experiment, input))
}

/// A name given twice is one cell.
fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    names.for_each(|name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
    });
    seen
}

/// Anything that is not a law of inputs must be a file; a name that is nearly a law is taken for a slip.
fn file(text: &str) -> Result<Input, Failure> {
    let path = Path::new(text);
    if !path.exists() {
        let laws = ["normal", "uniform", "correlated"];
        let name = text.split('(').next().unwrap_or(text);
        let reason = match call::nearest(name, laws.into_iter()) {
            Some(law) => format!("there is no such file; did you mean `{law}`?"),
            None => "there is no such file; laws are normal, uniform and correlated(c)".into(),
        };
        return Err(Failure::option("--input", text, reason));
    }
    let samples =
        data::read(path).map_err(|fault| Failure::Data { path: path.into(), reason: fault.to_string() })?;
    Ok(Input::Data(samples))
}

fn widths(arguments: &Arguments, input: &Input) -> Result<Vec<usize>, Failure> {
    if let Some(text) = &arguments.widths {
        let sizes = text.split(',').map(|part| {
            size::parse(part)
                .map_err(|reason| Failure::option("--widths", text, format!("`{}`: {reason}", part.trim())))
        });
        let widths = sizes.collect::<Result<Vec<_>, _>>()?;
        if widths.len() < 2 {
            return Err(Failure::option(
                "--widths",
                text,
                "the input's width and at least one layer's are needed",
            ));
        }
        return Ok(widths);
    }
    let (depth, width) = (arguments.depth.unwrap_or(50), arguments.width.unwrap_or(512));
    /// Deeper stacks than this have no meaning, and their list of widths no room.
    const DEEPEST: usize = 10_000_000;
    if depth > DEEPEST {
        return Err(Failure::option(
            "--depth",
            &depth.to_string(),
            format!("at most {DEEPEST} layers are simulated"),
        ));
    }
    let mut widths = vec![width; depth + 1];
    if let Input::Data(samples) = input {
        widths[0] = samples.nrows();
    }
    Ok(widths)
}

fn check_memory(plan: &Plan, threads: usize) -> Result<(), Failure> {
    let needed = plan.bytes(threads);
    // A system that does not say how much it has cannot refuse.
    let Ok(mut system) = sysinfo::System::new() else { return Ok(()) };
    system.refresh_memory();
    let limits = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    let available = u128::from(system.available_memory().min(limits));
    if available > 0 && needed > available {
        let dense = plan.cells.iter().any(|cell| cell.choice.engine == SimulationEngine::Dense);
        let remedy = if plan.bytes(1) <= available {
            "take fewer --threads"
        } else if dense {
            "take a smaller --width, --batch or --depth, or --engine lazy, which holds no weights"
        } else {
            "take a smaller --width, --batch, --depth or --trials"
        };
        return Err(Failure::Memory {
            needed: size::bytes(needed),
            available: size::bytes(available),
            remedy,
        });
    }
    Ok(())
}
