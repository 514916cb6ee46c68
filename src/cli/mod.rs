//! The command line: the arguments of each command, the experiment they ask for, and the exporter that its result goes to.
//!
//! The program is [`main`] and nothing else; every other room of the library works without it.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     initdiag::cli::main()
//! }
//! ```

/// Has the command line take the values of enumerations by their names.
macro_rules! by_name {
    ($($of:ty),+) => {$(
        impl clap::ValueEnum for $of {
            fn value_variants<'a>() -> &'a [Self] {
                Self::ALL
            }

            fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
                Some(clap::builder::PossibleValue::new(self.name()))
            }
        }
    )+};
}

mod baseline;
mod catalog;
mod delivery;
mod error;
mod fail_on;
mod figure;
mod forecast;
mod input;
mod memory;
mod nets;
mod network;
mod number;
mod output;
mod paths;
mod phase;
mod progress;
mod recommend;
mod run;
mod theory;
mod train;
mod training;
mod widths;

use clap::{CommandFactory, Parser, Subcommand};
use error::Failure;
use output::When;
use std::process::ExitCode;

/// Shows what an initializer does to signal and gradient in a deep network before anyone trains it.
#[derive(Parser)]
#[command(
    name = "initdiag",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  initdiag --depth 50 --act relu --init xavier
  initdiag --act relu,tanh --init xavier,he,orthogonal --trials 20
  initdiag --init 'normal(0, sqrt(2/fan_in))' --act 'x*sigmoid(1.702*x)' --json
  initdiag --widths 784,512,256,10 --init torch-linear --fail-on vanishing,exploding
  initdiag --widths-sweep 128,256,512,1k --depth 5 --init torch-linear,mup
  initdiag --init torch-linear --baseline last-release.json --fail-on drift
  initdiag recommend --act gelu --depth 50
  initdiag train --net lenet5 --data mnist/ --init xavier,he

Exit status: 0 done, 1 could not, 2 wrong usage, 3 --fail-on met, 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Arguments,
}

#[derive(Subcommand)]
enum Command {
    /// Every initializer and activation, with law and source
    Catalog(catalog::Arguments),
    /// Mean-field maps, fixed points and depth scales of an activation; no simulation
    Theory(theory::Arguments),
    /// Phase diagram of an activation over n·Var(W) and Var(b), with the named initializers on it
    Phase(phase::Arguments),
    /// Which initializer for a network, why, and the lines of PyTorch, Keras, JAX, burn and candle that set it
    Recommend(recommend::Arguments),
    /// Train on real data from each initializer, and compare
    Train(Box<train::Arguments>),
    /// Shell completions on standard output
    Completions {
        /// The shell to write them for
        #[arg(value_name = "bash|elvish|fish|powershell|zsh")]
        shell: clap_complete::Shell,
    },
}

/// Parses, runs, and turns the outcome into an exit code.
pub fn main() -> ExitCode {
    keep_memory();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(fault) => return error::of_parser(&fault),
    };
    let (net, color) = match &cli.command {
        None => (&cli.run.net, cli.run.output.color),
        Some(Command::Recommend(arguments)) => (&arguments.net, arguments.output.color),
        Some(Command::Train(arguments)) => (&arguments.net, arguments.output.color),
        Some(_) => (&None, When::Auto),
    };
    let outcome = match cli.command {
        _ if nets::is_asked(net.as_deref()) => nets::print(color),
        None => run::run(&cli.run),
        Some(Command::Catalog(arguments)) => catalog::run(&arguments),
        Some(Command::Theory(arguments)) => theory::run(&arguments),
        Some(Command::Phase(arguments)) => phase::run(&arguments),
        Some(Command::Recommend(arguments)) => recommend::run(&arguments),
        Some(Command::Train(arguments)) => train::run(&arguments),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "initdiag", &mut script);
            output::print_plain(|to| to.write_all(&script)).map(|()| ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|failure: Failure| failure.report())
}

/// Has the C library keep freed memory: it would hand a layer's matrices back to the system after each product and fetch
/// them page by page for the next.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_memory() {
    // SAFETY: called before any other thread starts; a refused value leaves the default.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TOP_PAD, 16 << 20);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_memory() {}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        super::Cli::command().debug_assert();
    }
}
