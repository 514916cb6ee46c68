//! `initdiag train`: from each initializer, does the network learn?

use super::delivery::OutputOptions;
use super::error::{Failure, note, say};
use super::fail_on::{Met, conclude, unknown};
use super::nets;
use super::number::{self, Real};
use super::output::{clean, directory_of, replace};
use super::paths::Paths;
use super::progress::Stop;
use super::run::workers;
use super::{memory, network, training};
use crate::graph::export;
use crate::report::train::FILES;
use crate::study::train::outcome::Verdict;
use crate::study::train::{Control, Objective, Plan, Saved, Set, Training, checkpoint, run as train, start};
use crate::tensorfile::safetensors as tensors;
use clap::{Args, ValueEnum};
use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Options of `train`.
#[derive(Args)]
pub struct Arguments {
    /// A network file, or the name of a bundled network [default: mlp-mnist, or mlp-digits for the embedded set]
    #[arg(long, value_name = "FILE|NAME", num_args = 0..=1, default_missing_value = nets::NO_NAME)]
    pub(super) net: Option<OsString>,
    /// Activations: names, or expressions in x [default: relu, or what the network names]
    #[arg(long, value_name = "A[,A…]", allow_hyphen_values = true)]
    act: Option<String>,
    /// Initializers, as the main command takes them [default: what the network names, and normal, lecun, xavier, he]
    #[arg(long, value_name = "I[,I…]", allow_hyphen_values = true)]
    init: Option<String>,
    /// Law of the biases [default: that of the initializer, else zeros]
    #[arg(long, value_name = "B", allow_hyphen_values = true)]
    bias: Option<String>,
    /// A law for the parameters whose names match, such as '*/query=normal(0, 0.02)' or '*.bias=zeros'; may be given several times, and
    /// the last that matches counts
    #[arg(long, value_name = "PATTERN=LAW", allow_hyphen_values = true)]
    set: Vec<String>,
    /// A directory with the four IDX files of MNIST or its kin, or a CSV or NPY file with a column of classes, all plain or .gz
    /// [default: 1797 digits of 8×8 pixels that are built in]
    #[arg(long, value_name = "DIR|FILE")]
    data: Option<PathBuf>,
    /// Test samples in a file of their own [default: those of the directory, else a fifth of the file]
    #[arg(long, value_name = "FILE", requires = "data")]
    test: Option<PathBuf>,
    /// Column of the classes: first, last, or a name in the first line [default: label, class, target, digit or y, else last]
    #[arg(long, value_name = "COLUMN", requires = "data")]
    label: Option<String>,
    /// Scaling of the features: none; max, division by the largest magnitude of the training samples where that exceeds 1; standard, each
    /// to mean 0 and variance 1
    #[arg(long, value_name = "HOW", default_value = "max", ignore_case = true)]
    scale: Scale,
    /// Train on the first N samples only
    #[arg(long, value_name = "N", value_parser = number::whole::<usize>(number::COUNT), allow_hyphen_values = true)]
    samples: Option<usize>,
    /// Optimizers: sgd, momentum(0.9), nesterov(0.9), adam(beta1, beta2, eps), adamw(beta1, beta2, eps)
    #[arg(long, value_name = "R[,R…]", default_value = "adam", allow_hyphen_values = true)]
    optimizer: String,
    /// Learning rates [default: 0.001 of adam and adamw, 0.01 of momentum and nesterov, 0.1 of sgd]
    #[arg(long, value_name = "X[,X…]", value_delimiter = ',', value_parser = number::real(Real::Positive), allow_hyphen_values = true)]
    lr: Vec<f64>,
    /// Weight decays
    #[arg(long, value_name = "X[,X…]", value_delimiter = ',', default_value = "0", value_parser = number::real(Real::NotNegative), allow_hyphen_values = true)]
    weight_decay: Vec<f64>,
    /// Schedule of the learning rate: constant, step(epochs, factor), cosine(least)
    #[arg(long, value_name = "S", default_value = "constant", allow_hyphen_values = true)]
    schedule: String,
    /// Steps over which the learning rate rises to its value
    #[arg(long, value_name = "STEPS", default_value = "0", value_parser = number::whole::<u64>(0..=number::LARGEST), allow_hyphen_values = true)]
    warmup: u64,
    /// Training loss: cross-entropy, or mse against one-hot targets, the mean over outputs and samples
    #[arg(long, value_name = "KIND", default_value = "cross-entropy", ignore_case = true)]
    loss: Loss,
    /// Samples of a step
    #[arg(long, value_name = "N", default_value = "128", value_parser = number::whole::<usize>(number::COUNT), allow_hyphen_values = true)]
    batch: usize,
    /// Passes over the training samples
    #[arg(long, value_name = "N", default_value = "10", value_parser = number::whole::<usize>(EPOCHS), allow_hyphen_values = true)]
    epochs: usize,
    /// Runs of each cell, with weights and an order of samples of their own
    #[arg(long, value_name = "N", default_value = "3", value_parser = number::whole::<usize>(SEEDS), allow_hyphen_values = true)]
    seeds: usize,
    /// Seed of all random numbers: the same seed gives the same bytes, whatever --threads
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::whole::<u64>(number::SEED), allow_hyphen_values = true)]
    seed: u64,
    /// Accuracy that is aimed at: the table says after how many steps it is met
    #[arg(long, value_name = "SHARE", default_value = "0.9", value_parser = number::real(Real::PositiveTo(1.0)), allow_hyphen_values = true)]
    target: f64,
    /// Number of times at which the variances of all layers are recorded, from the start to the end
    #[arg(long, value_name = "N", default_value = "5", value_parser = number::whole::<usize>(LOOKS), allow_hyphen_values = true)]
    snapshots: usize,
    /// Worker threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = number::whole::<usize>(number::THREADS), allow_hyphen_values = true)]
    threads: Option<usize>,
    /// Checkpoint file, kept up to date while training; where it exists, training goes on from it, to the same bytes
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Write the weights that the first run begins with, under PyTorch's names and in its layout; needs one --init and one --act
    #[arg(long, value_name = "FILE.safetensors")]
    save_init: Option<PathBuf>,
    /// Exit with status 3 when a cell is among these: diverged, chance, above-chance
    #[arg(long, value_name = "V[,V…]", value_delimiter = ',', value_parser = outcome)]
    fail_on: Vec<Verdict>,
    #[command(flatten)]
    pub(super) output: OutputOptions,
}

#[derive(Clone, Copy, ValueEnum)]
enum Loss {
    CrossEntropy,
    Mse,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Scale {
    None,
    Max,
    Standard,
}

/// Initializers that are compared where the user names none.
const COMPARED: &str = "normal,lecun,xavier,he";

/// Looks beyond this are no picture.
const LOOKS: RangeInclusive<u64> = 0..=100;
const EPOCHS: RangeInclusive<u64> = 1..=1_000_000;
const SEEDS: RangeInclusive<u64> = 1..=10_000;

fn outcome(text: &str) -> Result<Verdict, String> {
    const KNOWN: [Verdict; 3] = [Verdict::Diverged, Verdict::Chance, Verdict::AboveChance];
    let text = text.trim().to_lowercase();
    let known = Verdict::parse(&text).filter(|verdict| KNOWN.contains(verdict));
    known.ok_or_else(|| unknown(&text, KNOWN.into_iter().map(Verdict::name)))
}

/// What the options ask for, and its data.
fn training(arguments: &Arguments) -> Result<(Training, Set), Failure> {
    let default = if arguments.data.is_some() { "mlp-mnist" } else { "mlp-digits" };
    let net = network::read(arguments.net.as_deref().unwrap_or(OsStr::new(default)))?;
    let act = network::named(&arguments.act, net.act.as_ref(), "relu");
    let compared = match &net.init {
        Some(own) => format!("{own},{COMPARED}"),
        None => COMPARED.into(),
    };
    let names = training::names(&act, arguments.init.as_ref().unwrap_or(&compared), &arguments.optimizer)?;
    let bias = match arguments.bias.as_deref() {
        Some(text) if text.trim().eq_ignore_ascii_case("none") => Some("zeros".into()),
        other => other.map(str::to_string),
    };
    let source = training::Source {
        data: arguments.data.as_deref(),
        test: arguments.test.as_deref(),
        label: arguments.label.as_deref(),
        scale: arguments.scale,
        samples: arguments.samples,
    };
    let (set, about) = source.read(&net)?;
    let training = Training {
        net,
        act: names.acts,
        init: names.inits,
        bias,
        set: network::overrides(&arguments.set)?,
        optimizer: names.rules,
        lr: arguments.lr.clone(),
        weight_decay: arguments.weight_decay.clone(),
        schedule: arguments.schedule.clone(),
        warmup: arguments.warmup,
        loss: match arguments.loss {
            Loss::CrossEntropy => Objective::CrossEntropy,
            Loss::Mse => Objective::Mse,
        },
        batch: arguments.batch,
        epochs: arguments.epochs,
        seeds: arguments.seeds,
        seed: arguments.seed,
        target: arguments.target,
        snapshots: arguments.snapshots,
        data: about,
    };
    Ok((training, set))
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (training, set) = training(arguments)?;
    let plan = Plan::new(&training, &set)?;
    let threads = workers(arguments.threads);
    memory::fits(plan.bytes(threads), |available| {
        let fewer = if plan.bytes(1) <= available { "fewer --threads" } else { "a smaller --batch" };
        format!("take {fewer}")
    })?;
    let mut paths = Paths::default()
        .reading("--net", arguments.net.as_deref().and_then(network::file))
        .reading("--data", arguments.data.as_deref())
        .reading("--test", arguments.test.as_deref());
    arguments.checkpoint.as_deref().map_or(Ok(()), |path| paths.write("--checkpoint", path))?;
    arguments.save_init.as_deref().map_or(Ok(()), |path| paths.write("--save-init", path))?;
    let delivery = arguments.output.open(FILES, &paths)?;
    let others = arguments.checkpoint.iter().chain(&arguments.save_init);
    others.for_each(|path| clean(directory_of(path)));
    if let Some(path) = &arguments.save_init {
        save_init(path, &plan, &set)?;
        if arguments.output.speaks() {
            note(&format!("wrote the weights that the first run begins with to `{}`", path.display()));
        }
    }
    let saved = match &arguments.checkpoint {
        Some(path) => resume(path, &plan)?,
        None => Vec::new(),
    };
    let keeper = Keeper::new(arguments.checkpoint.clone(), &plan, saved.clone());
    // Found out before any time is spent.
    keeper.write()?;
    let stop = Stop::on_signals();
    let bar = arguments.output.bar("training", plan.units());
    let control = Control {
        threads,
        stop: stop.flag(),
        progress: &|steps| bar.inc(steps),
        keep: &|run, state, weights, last| keeper.keep(run, (state, weights), last),
    };
    let trained = train(&plan, &set, saved, &control).map_err(Failure::Threads)?;
    bar.finish_and_clear();
    let kept = keeper.write();
    if trained.interrupted && trained.cells.iter().flat_map(|cell| &cell.runs).all(|run| run.steps == 0) {
        say("interrupted before the first step was complete; there are no results");
        return Ok(stop.code());
    }
    let written = delivery.deliver(&trained);
    if trained.interrupted {
        let runs = plan.cells.len() * training.seeds;
        let complete: usize = trained.cells.iter().map(|c| c.summary.complete).sum();
        let rest = match &arguments.checkpoint {
            Some(path) => format!("the same command goes on from `{}`", path.display()),
            None => "--checkpoint FILE would let the same command go on".into(),
        };
        say(&format!(
            "interrupted: {complete} of {runs} runs were complete, and all that was trained is kept; {rest}"
        ));
    }
    let written = written?;
    kept?;
    delivery.say(&written);
    if trained.interrupted {
        return Ok(stop.code());
    }
    let failed = trained.cells.iter().filter(|cell| arguments.fail_on.contains(&cell.summary.verdict));
    Ok(conclude(failed.filter_map(|c| Met::new(&c.init, &c.act, vec![c.summary.verdict.name().into()]))))
}

fn save_init(path: &Path, plan: &Plan, set: &Set) -> Result<(), Failure> {
    let same =
        |a: &crate::study::train::Cell, b: &crate::study::train::Cell| (&a.init, &a.act) == (&b.init, &b.act);
    let Some(cell) = plan.cells.first().filter(|first| plan.cells.iter().all(|cell| same(cell, first)))
    else {
        let reason = "a file holds one start: give one --init and one --act";
        return Err(Failure::option("--save-init", &path.display().to_string(), reason));
    };
    let parameters = start(plan, set, cell, 0);
    let about = serde_json::json!({
        "init": cell.init, "act": cell.act, "seed": plan.training.seed, "net": plan.training.net,
        "version": env!("CARGO_PKG_VERSION"),
    });
    let named = export::named(&cell.net, &parameters).into_iter().map(|array| {
        let values = std::borrow::Cow::Owned(array.values);
        (array.name, tensors::Tensor { shape: array.shape, values })
    });
    let bytes = tensors::encode(named.collect(), ("initdiag", about.to_string()));
    replace(path, |to| to.write_all(&bytes))
}

/// A checkpoint that is not there yet is none.
fn resume(path: &Path, plan: &Plan) -> Result<Vec<Saved>, Failure> {
    let fault = |reason: String| Failure::Checkpoint { path: path.into(), reason };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(other) => return Err(fault(other.to_string())),
    };
    checkpoint::decode(plan, &bytes).map_err(|reason| fault(reason.to_string()))
}

/// Where runs are, and the file that says so.
struct Keeper<'a> {
    path: Option<PathBuf>,
    plan: &'a Plan,
    kept: Mutex<Kept>,
}

struct Kept {
    runs: Vec<Saved>,
    /// When each was copied, and what is between two copies of one.
    copied: Vec<Instant>,
    written: Instant,
    pause: Duration,
}

/// Between writings at least. They take no more than a tenth of the time, so that a long history, which is written whole, does not
/// hold up what makes it longer.
const PAUSE: Duration = Duration::from_secs(2);
const SHARE: u32 = 10;

impl<'a> Keeper<'a> {
    fn new(path: Option<PathBuf>, plan: &'a Plan, mut runs: Vec<Saved>) -> Self {
        runs.resize_with(plan.cells.len() * plan.training.seeds, || None);
        let (copied, written) = (vec![Instant::now(); runs.len()], Instant::now());
        Self { path, plan, kept: Mutex::new(Kept { runs, copied, written, pause: PAUSE }) }
    }

    /// Copies a run, now and then and for the last time, and writes all of them now and then.
    fn keep(
        &self,
        run: usize,
        (state, weights): (&crate::study::train::State, &crate::study::train::TrainedParameters),
        last: bool,
    ) {
        if self.path.is_none() {
            return;
        }
        let Ok(mut guard) = self.kept.lock() else { return };
        let kept = &mut *guard;
        if !last && kept.copied[run].elapsed() < kept.pause / 2 {
            return;
        }
        kept.runs[run] = Some((state.clone(), weights.clone()));
        kept.copied[run] = Instant::now();
        if kept.written.elapsed() >= kept.pause {
            let start = Instant::now();
            // A full disk is told at the end, and may be gone by then.
            let _ = self.put(&kept.runs);
            kept.written = Instant::now();
            kept.pause = PAUSE.max(SHARE * start.elapsed());
        }
    }

    fn write(&self) -> Result<(), Failure> {
        self.kept.lock().map_or(Ok(()), |kept| self.put(&kept.runs))
    }

    fn put(&self, runs: &[Saved]) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        replace(path, |to| to.write_all(&checkpoint::encode(self.plan, runs)))
    }
}
