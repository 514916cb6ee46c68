//! `initdiag theory`: maps, fixed points and depth scales of wide layers; nothing is drawn at random.

use super::delivery::OutputOptions;
use super::error::Failure;
use super::number::{self, Real};
use super::paths::Paths;
use super::progress::Stop;
use crate::activation::Activation;
use crate::expectation::field::WeightMoments;
use crate::initializer::{Initializer, Site};
use crate::law::expression::mentions;
use crate::law::short;
use crate::report::theory::FILES;
use crate::theory::survey::Survey;
use clap::{ArgGroup, Args};
use std::process::ExitCode;

/// Options of `theory`.
#[derive(Args)]
#[command(group = ArgGroup::new("gain").required(true).args(["sigma_w2", "init"]))]
pub struct Arguments {
    /// Activation: a name, or an expression in x
    #[arg(long, value_name = "A", default_value = "relu", allow_hyphen_values = true)]
    act: String,
    /// Weight variance n·Var(W), n the fan-in
    #[arg(long, value_name = "X", value_parser = number::real(Real::ZeroTo(LARGEST)), allow_hyphen_values = true)]
    sigma_w2: Option<f64>,
    /// Bias variance Var(b) [default: that of the initializer, else 0]
    #[arg(long, value_name = "X", value_parser = number::real(Real::ZeroTo(LARGEST)), allow_hyphen_values = true)]
    sigma_b2: Option<f64>,
    /// An initializer in place of --sigma-w2
    #[arg(long, value_name = "I", allow_hyphen_values = true)]
    init: Option<String>,
    /// Units a layer, for an initializer whose n·Var(W) depends on it [default: 512]
    #[arg(long, value_name = "N", value_parser = number::whole::<usize>(number::COUNT), conflicts_with = "sigma_w2", allow_hyphen_values = true)]
    width: Option<usize>,
    #[command(flatten)]
    output: OutputOptions,
}

/// Larger variances have no use, and their maps no picture.
const LARGEST: f64 = 1e6;

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let act = Activation::parse(&arguments.act).map_err(|f| Failure::catalog("--act", &arguments.act, &f))?;
    let (init, width, sigma_w2, brought) = gain(arguments, &act)?;
    let delivery = arguments.output.open(FILES, &Paths::default())?;
    let stop = Stop::on_signals();
    let search = stop.search(&arguments.output);
    let survey = Survey { init, width, ..Survey::new(&act, sigma_w2, arguments.sigma_b2.unwrap_or(brought)) };
    search.end();
    let written = delivery.deliver(&survey)?;
    delivery.say(&written);
    Ok(stop.code_after(ExitCode::SUCCESS))
}

/// Name and width of the initializer, n·Var(W), and the variance of the biases that it brings.
type Gain = (Option<String>, Option<usize>, f64, f64);

fn gain(arguments: &Arguments, act: &Activation) -> Result<Gain, Failure> {
    let Some(text) = &arguments.init else {
        return Ok((None, None, arguments.sigma_w2.unwrap_or_default(), 0.0));
    };
    let catalog = |fault| Failure::catalog("--init", text, &fault);
    let fault = |reason: &str| Failure::option("--init", text, reason);
    let init = Initializer::parse(text).map_err(catalog)?;
    let n = arguments.width.unwrap_or(512);
    let site = Site::dense(n, n, 1, 50, act);
    let (weights, bias) = (init.weights(&site).map_err(catalog)?, init.bias(&site).map_err(catalog)?);
    let alone = init.procedure().is_none();
    let law = WeightMoments::of(n, n, &weights, &bias).filter(|_| alone).ok_or_else(|| {
        fault("its layers have no n·Var(W): theory needs independent weights, or an orthogonal matrix")
    })?;
    if init.depends_on_layer() {
        return Err(fault("its law changes from layer to layer, so no fixed point belongs to it"));
    }
    if mentions(&init.name, "depth") {
        return Err(fault("a fixed point belongs to no depth: write a number in its place"));
    }
    let (sigma_w2, sigma_b2) = law.gains().ok_or_else(|| {
        fault("its weights or biases have a mean, and (σ_w², σ_b²) describe laws of mean 0")
    })?;
    if !(sigma_w2 <= LARGEST && sigma_b2 <= LARGEST) {
        let (what, value) = if sigma_w2 <= LARGEST { ("Var(b)", sigma_b2) } else { ("n·Var(W)", sigma_w2) };
        return Err(fault(&format!("{what} = {} is beyond {}", short(value), short(LARGEST))));
    }
    Ok((Some(init.name.clone()), Some(n), sigma_w2, sigma_b2))
}
