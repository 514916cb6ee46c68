//! How a result reaches the user, the same for every command: its options, files, standard output, and a word of what was
//! written.

use super::error::{Failure, note};
use super::output::{self, Directory, When};
use super::paths::Paths;
use super::progress;
use crate::report::export::{Files, Format, Rendering};
use crate::report::terminal::Shown;
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};

/// The options that say where results go, and what is said meanwhile.
#[derive(clap::Args)]
#[command(next_help_heading = "Output options")]
pub struct OutputOptions {
    /// Where files go [default: initdiag-out]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Formats of the files [default: all that the command writes]
    #[arg(long, value_name = "F[,F…]", value_delimiter = ',', ignore_case = true)]
    format: Option<Vec<Format>>,
    /// The result on standard output, and no files unless --out is given too
    #[arg(long)]
    json: bool,
    /// No table on standard output and no progress bar; errors, and what --fail-on met, are still said
    #[arg(long, short)]
    quiet: bool,
    /// No progress bar
    #[arg(long)]
    no_progress: bool,
    /// When to color
    #[arg(long, value_name = "WHEN", default_value = "auto", ignore_case = true)]
    pub(super) color: When,
}

by_name!(Format);

/// `a, b and c`.
fn listed(formats: &[Format]) -> String {
    let names: Vec<&str> = formats.iter().map(|format| format.name()).collect();
    match names.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

impl OutputOptions {
    /// Nobody asked for silence.
    pub fn speaks(&self) -> bool {
        !self.quiet
    }

    /// Bytes that figures take while they are drawn, with their fonts and pixels, where some are.
    pub fn figure_bytes(&self) -> u128 {
        const DRAWN: u128 = 32 << 20;
        let files = !self.json || self.out.is_some();
        let format = |format: &Format| matches!(format, Format::Svg | Format::Png);
        let drawn = self.format.as_ref().is_none_or(|formats| formats.iter().any(format));
        if files && drawn { DRAWN } else { 0 }
    }

    /// A bar over `steps` of what `doing` says, where one is wanted.
    pub fn bar(&self, doing: &str, steps: u64) -> ProgressBar {
        progress::bar(doing, steps, self.shows_progress())
    }

    /// Bars are wanted.
    pub fn shows_progress(&self) -> bool {
        !self.quiet && !self.no_progress
    }

    /// Refuses a format that the command does not write, and opens the directory, if files are to be written and none of them is
    /// among the other files of the command: all before any time is spent.
    pub fn open(&self, files: &'static Files, others: &Paths) -> Result<Delivery<'_>, Failure> {
        let mut written: Vec<Format> = files.iter().map(|(format, _)| *format).collect();
        written.dedup();
        let wanted = self.format.as_deref().unwrap_or(&written);
        if let Some(other) = wanted.iter().find(|format| !written.contains(format)) {
            let reason = format!("this command writes {}", listed(&written));
            return Err(Failure::option("--format", other.name(), reason));
        }
        let directory = match (&self.out, self.json) {
            (Some(path), _) => Some(path.as_path()),
            (None, true) => None,
            (None, false) => Some(Path::new("initdiag-out")),
        };
        let names = files.iter().filter(|(format, _)| wanted.contains(format)).map(|(_, name)| *name);
        directory.map_or(Ok(()), |directory| others.directory(directory, names))?;
        let directory = directory.map(Directory::open).transpose()?;
        if directory.is_none() && self.format.is_some() && self.speaks() {
            note("--format has no effect: --json writes files only where --out names a directory");
        }
        // In the order of the command's own list, each once, whatever order the user wrote.
        let formats = written.iter().copied().filter(|format| wanted.contains(format)).collect();
        Ok(Delivery { options: self, formats, directory })
    }
}

/// Where a result goes.
pub struct Delivery<'a> {
    options: &'a OutputOptions,
    formats: Vec<Format>,
    directory: Option<Directory>,
}

impl Delivery<'_> {
    /// Where files go, if there are any.
    pub fn directory(&self) -> Option<&Directory> {
        self.directory.as_ref()
    }

    /// Writes the files, then prints what is asked for; a fault of one does not keep the result from the other. The names of the
    /// files.
    pub fn deliver(&self, result: &dyn Shown) -> Result<Vec<String>, Failure> {
        let written = self.files(result);
        let printed = self.print(result);
        let written = written?;
        printed.map(|()| written)
    }

    /// Prints what is asked for, and writes no files.
    pub fn print(&self, result: &dyn Shown) -> Result<(), Failure> {
        let printed = if self.options.json {
            output::print_plain(|to| result.json(to))
        } else if self.options.quiet {
            Ok(())
        } else {
            output::print(&result.terminal(output::columns()), self.options.color)
        };
        match printed {
            // Nobody reads the table any more; the exit code still says how the run went.
            Ok(()) | Err(Failure::Closed) => Ok(()),
            Err(other) => Err(other),
        }
    }

    fn files(&self, result: &dyn Shown) -> Result<Vec<String>, Failure> {
        let Some(directory) = &self.directory else { return Ok(Vec::new()) };
        let rendering = Rendering::new(result);
        let one = |format: &Format| -> Result<Vec<String>, Failure> {
            let mut written = Vec::new();
            for file in format.export(&rendering)? {
                directory.write(&file.name, |to| file.write(to))?;
                written.push(file.name);
            }
            Ok(written)
        };
        // Threads of their own, not a pool's: one format may wait for the figures that another draws.
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> =
                self.formats.iter().map(|format| scope.spawn(move || one(format))).collect();
            started.into_iter().map(|thread| thread.join()).collect()
        });
        let mut written = Vec::new();
        for outcome in outcomes {
            written.extend(outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(written)
    }

    /// Says which files were written, if any were and nobody asked for silence.
    pub fn say(&self, written: &[String]) {
        if let (Some(directory), [_, ..], true) = (&self.directory, written, self.options.speaks()) {
            note(&format!("wrote {} to `{}`", written.join(", "), directory.path().display()));
        }
    }
}
