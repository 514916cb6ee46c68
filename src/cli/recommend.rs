//! `initdiag recommend`: which initialiser for this network, why, and the lines that set it.

use super::error::{Failure, note};
use super::output::{self, Directory, When};
use super::{progress, size};
use crate::activation::Activation;
use crate::initializer::Initializer;
use crate::recommend::{Question, Recommendation, recommend};
use crate::report::recommend as render;
use crate::simulate::Control;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
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
    #[arg(long, value_name = "DECADES", default_value = "1", value_parser = decades, allow_hyphen_values = true)]
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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Code,
}

/// Theory walks every layer for every law of the catalogue.
const DEEPEST: usize = 10_000;

fn decades(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(decades) if f64::is_finite(decades) && decades > 0.0 => Ok(decades),
        _ => Err("a positive number of decades is needed".into()),
    }
}

fn widths(arguments: &Arguments) -> Result<Vec<usize>, Failure> {
    if let Some(path) = &arguments.net {
        let reason =
            "architecture files are not read by this command yet; give --depth and --width, or --widths";
        return Err(Failure::option("--net", &path.display().to_string(), reason));
    }
    let fault = |text: &str, reason: String| Failure::option("--widths", text, reason);
    let widths = match &arguments.widths {
        None => vec![arguments.width.unwrap_or(512); arguments.depth.unwrap_or(50).min(DEEPEST + 1) + 1],
        Some(text) => {
            let sizes = text.split(',').map(|part| {
                size::parse(part).map_err(|reason| fault(text, format!("`{}`: {reason}", part.trim())))
            });
            let widths = sizes.collect::<Result<Vec<_>, _>>()?;
            if widths.len() < 2 {
                return Err(fault(text, "the input's width and at least one layer's are needed".into()));
            }
            widths
        }
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
    let directory = match (&arguments.out, arguments.json) {
        (Some(path), _) => Some(Directory::open(path)?),
        (None, true) => None,
        (None, false) => Some(Directory::open(Path::new("initdiag-out"))?),
    };
    if directory.is_none() && arguments.format.is_some() && !arguments.quiet {
        note("--format has no effect: --json writes files only where --out names a directory");
    }
    let question = Question {
        act: &act,
        widths: &widths,
        init: &init,
        threshold: arguments.threshold,
        seed: arguments.seed,
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // Seconds: a bar would be gone before it is read, and Ctrl-C ends the process.
    let bar = progress::bar(0, false);
    let stop = AtomicBool::new(false);
    let control = Control { threads, stop: &stop, progress: &|units| bar.inc(units), trace: false };
    let recommendation = recommend(&question, &control).map_err(catalog)?;
    let written =
        directory.as_ref().map_or(Ok(Vec::new()), |directory| files(&recommendation, directory, arguments));
    let printed = if arguments.json {
        output::print(&render::json(&recommendation), When::Never)
    } else if arguments.quiet {
        Ok(())
    } else {
        output::print(&render::terminal(&recommendation, output::columns()), arguments.color)
    };
    let written = written?;
    match printed {
        Ok(()) | Err(Failure::Closed) => {}
        Err(other) => return Err(other),
    }
    if let (Some(directory), [_, ..], false) = (&directory, written.as_slice(), arguments.quiet) {
        note(&format!("wrote {} to `{}`", written.join(", "), directory.path().display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn files(
    recommendation: &Recommendation,
    directory: &Directory,
    arguments: &Arguments,
) -> Result<Vec<&'static str>, Failure> {
    let formats = arguments.format.as_deref().unwrap_or(&[Format::Json, Format::Code]);
    let mut written = Vec::new();
    let mut write = |name: &'static str, bytes: &[u8]| {
        directory.write(name, bytes)?;
        written.push(name);
        Ok::<_, Failure>(())
    };
    if formats.contains(&Format::Json) {
        write("recommend.json", render::json(recommendation).as_bytes())?;
    }
    if formats.contains(&Format::Code) {
        for (_, name, code) in recommendation.code.all() {
            write(name, code.as_bytes())?;
        }
    }
    Ok(written)
}
