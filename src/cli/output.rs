//! Standard output, and files that no reader sees half written.

use super::error::Failure;
use anstream::{AutoStream, ColorChoice};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// When to color.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

/// Writes results to standard output; styles are stripped where `when` says so.
pub fn print(text: &str, when: When) -> Result<(), Failure> {
    let choice = match when {
        // Honours NO_COLOR, CLICOLOR and whether this is a terminal.
        When::Auto => AutoStream::choice(&io::stdout()),
        When::Always => ColorChoice::Always,
        When::Never => ColorChoice::Never,
    };
    let mut out = AutoStream::new(io::stdout().lock(), choice);
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Writes what has no styles, such as JSON, as it is.
pub fn print_plain(written: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    printed(written(&mut out).and_then(|()| out.flush()))
}

fn printed(outcome: io::Result<()>) -> Result<(), Failure> {
    outcome.map_err(|fault| match fault.kind() {
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Stdout(fault.to_string()),
    })
}

/// Width of the terminal that standard output is; `None` where it is none, so that a line stays a line for other programs.
pub fn columns() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// A directory that results go to.
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes the directory, and finds out whether it can be written before any time is spent.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let fault = |fault: io::Error| Failure::Directory { directory: path.into(), reason: plain(&fault) };
        std::fs::create_dir_all(path).map_err(fault)?;
        temporary(path).map_err(fault)?;
        Ok(Self { path: path.into() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a file of this name is there.
    pub fn holds(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }

    /// Replaces a file, as [`replace`] does.
    pub fn write(
        &self,
        name: &str,
        written: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        replace(&self.path.join(name), written)
    }
}

/// Writes a file under a temporary name beside it and renames it.
pub fn replace(path: &Path, written: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let fault = |fault: io::Error| Failure::File { path: path.into(), reason: plain(&fault) };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = temporary(directory.unwrap_or(Path::new("."))).map_err(fault)?;
    written(&mut file).map_err(fault)?;
    file.persist(path).map_err(|failed| fault(failed.error))?;
    Ok(())
}

fn temporary(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".initdiag-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any file that a program makes: what the umask leaves.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(directory)
}

/// The system's words, without the path that tempfile adds.
fn plain(fault: &io::Error) -> String {
    let text = fault.to_string();
    match (fault.raw_os_error(), text.split_once(" at path ")) {
        (None, Some((words, _))) => words.into(),
        _ => text,
    }
}
