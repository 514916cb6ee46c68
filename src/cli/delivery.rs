//! How a result reaches the user, the same for every command: files, standard output, and a word of what was written.

use super::error::{Failure, note};
use super::output::{self, Directory, When};
use crate::report::chart;
use std::path::Path;

/// The options that say where results go.
pub struct Delivery<'a> {
    /// `--out`.
    pub out: Option<&'a Path>,
    /// `--format` is given.
    pub formats: bool,
    /// `--json`.
    pub json: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// `--color`.
    pub color: When,
}

impl Delivery<'_> {
    /// Where files go, if there are to be any.
    pub fn directory(&self) -> Result<Option<Directory>, Failure> {
        let directory = match (self.out, self.json) {
            (Some(path), _) => Some(Directory::open(path)?),
            (None, true) => None,
            (None, false) => Some(Directory::open(Path::new("initdiag-out"))?),
        };
        if directory.is_none() && self.formats && !self.quiet {
            note("--format has no effect: --json writes files only where --out names a directory");
        }
        Ok(directory)
    }

    /// Prints what is asked for once the files are `written`; a fault of one does not keep the result from the other. Names of
    /// the files.
    pub fn print(
        &self,
        written: Result<Vec<&'static str>, Failure>,
        json: impl FnOnce() -> String,
        table: impl FnOnce(Option<usize>) -> String,
    ) -> Result<Vec<&'static str>, Failure> {
        let printed = if self.json {
            output::print(&json(), When::Never)
        } else if self.quiet {
            Ok(())
        } else {
            output::print(&table(output::columns()), self.color)
        };
        let written = written?;
        match printed {
            // Nobody reads the table any more; the exit code still says how the run went.
            Ok(()) | Err(Failure::Closed) => Ok(written),
            Err(other) => Err(other),
        }
    }

    /// Says which files were written, if any were and nobody asked for silence.
    pub fn say(&self, directory: Option<&Directory>, written: &[&str]) {
        if let (Some(directory), [_, ..], false) = (directory, written, self.quiet) {
            note(&format!("wrote {} to `{}`", written.join(", "), directory.path().display()));
        }
    }
}

/// Files written to a directory, one after another.
pub struct Files<'a> {
    directory: &'a Directory,
    written: Vec<&'static str>,
}

impl<'a> Files<'a> {
    pub fn new(directory: &'a Directory) -> Self {
        Self { directory, written: Vec::new() }
    }

    pub fn add(&mut self, name: &'static str, bytes: &[u8]) -> Result<(), Failure> {
        self.directory.write(name, bytes)?;
        self.written.push(name);
        Ok(())
    }

    /// A figure as SVG, as PNG, or as both; drawn once, and only where one of them is wanted.
    pub fn figure(
        &mut self,
        svg: Option<&'static str>,
        png: Option<&'static str>,
        draw: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if svg.is_none() && png.is_none() {
            return Ok(());
        }
        let text = draw();
        if let Some(name) = svg {
            self.add(name, text.as_bytes())?;
        }
        if let Some(name) = png {
            self.add(name, &chart::png(&text)?)?;
        }
        Ok(())
    }

    /// Their names.
    pub fn names(self) -> Vec<&'static str> {
        self.written
    }
}
