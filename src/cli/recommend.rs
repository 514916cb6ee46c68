//! `initdiag recommend`: which initialiser for this network, why, and the lines that set it.

use super::delivery::{Delivery, Files};
use super::error::Failure;
use super::output::{Directory, When};
use super::run::cores;
use super::size;
use crate::activation::Activation;
use crate::initializer::Initializer;
use crate::recommend::{Question, Recommendation, recommend};
use crate::report::recommend as render;
use crate::simulate::Control;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

/// Options of `recommend`.
#[derive(Args)]
pub struct Arguments {
    /// Activation: a name, or an expression in x
    #[arg(long, value_name = "A", default_value = "relu", allow_hyphen_values = true)]
    act: String,
    /// Linear + activation layers [default: 50]
    #[arg(long, value_name = "N", value_parser = size::depth, allow_hyphen_values = true)]
    depth: Option<usize>,
    /// Units a layer; accepts 4096, 4k, 1M [default: 512]
    #[arg(long, value_name = "N", value_parser = size::parse, allow_hyphen_values = true)]
    width: Option<usize>,
    /// Width of the input and of each layer, such as 784,512,10
    #[arg(long, value_name = "N,N…", conflicts_with_all = ["width", "depth"], allow_hyphen_values = true)]
    widths: Option<String>,
    /// An architecture file in place of depth, width and act
    #[arg(long, value_name = "FILE", conflicts_with_all = ["width", "depth", "widths"])]
    net: Option<PathBuf>,
    /// What you have now
    #[arg(long, value_name = "I", default_value = "xavier", allow_hyphen_values = true)]
    init: String,
    /// A whole-stack change beyond this many decades is not kept
    #[arg(long, value_name = "DECADES", default_value = "1", value_parser = size::decades, allow_hyphen_values = true)]
    threshold: f64,
    /// Of the short simulation
    #[arg(long, value_name = "N", default_value = "0", allow_hyphen_values = true)]
    seed: u64,
    /// Where files go [default: initdiag-out]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Files to write: the answer, and the lines of each framework [default: json,code]
    #[arg(long, value_name = "F[,F…]", value_delimiter = ',', ignore_case = true)]
    format: Option<Vec<Format>>,
    /// The result on standard output, and no files unless --out is given too
    #[arg(long)]
    json: bool,
    /// Nothing on standard output
    #[arg(long, short)]
    quiet: bool,
    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto", ignore_case = true)]
    color: When,
}

impl Arguments {
    fn delivery(&self) -> Delivery<'_> {
        Delivery {
            out: self.out.as_deref(),
            formats: self.format.is_some(),
            json: self.json,
            quiet: self.quiet,
            color: self.color,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Code,
}

/// Theory walks every layer for every law of the catalogue.
const DEEPEST: usize = 10_000;

fn widths(arguments: &Arguments) -> Result<Vec<usize>, Failure> {
    if let Some(path) = &arguments.net {
        let reason =
            "architecture files are not read by this command yet; give --depth and --width, or --widths";
        return Err(Failure::option("--net", &path.display().to_string(), reason));
    }
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
    let widths = widths(arguments)?;
    let act = Activation::parse(&arguments.act).map_err(|f| Failure::catalog("--act", &arguments.act, &f))?;
    let catalog = |fault| Failure::catalog("--init", &arguments.init, &fault);
    let init = Initializer::parse(&arguments.init).map_err(catalog)?;
    let delivery = arguments.delivery();
    let directory = delivery.directory()?;
    let question = Question {
        act: &act,
        widths: &widths,
        init: &init,
        threshold: arguments.threshold,
        seed: arguments.seed,
    };
    // Seconds: a bar would be gone before it is read, and Ctrl-C ends the process.
    let stop = AtomicBool::new(false);
    let control = Control { threads: cores(), stop: &stop, progress: &|_| (), trace: false };
    let recommendation = recommend(&question, &control).map_err(catalog)?;
    let written =
        directory.as_ref().map_or(Ok(Vec::new()), |directory| files(&recommendation, directory, arguments));
    let written = delivery.print(
        written,
        || render::json(&recommendation),
        |columns| render::terminal(&recommendation, columns),
    )?;
    delivery.say(directory.as_ref(), &written);
    Ok(ExitCode::SUCCESS)
}

fn files(
    recommendation: &Recommendation,
    directory: &Directory,
    arguments: &Arguments,
) -> Result<Vec<&'static str>, Failure> {
    let formats = arguments.format.as_deref().unwrap_or(&[Format::Json, Format::Code]);
    let mut files = Files::new(directory);
    if formats.contains(&Format::Json) {
        files.add("recommend.json", render::json(recommendation).as_bytes())?;
    }
    if formats.contains(&Format::Code) {
        for (_, name, code) in recommendation.code.all() {
            files.add(name, code.as_bytes())?;
        }
    }
    Ok(files.names())
}
