//! Standard output, and files that no reader sees half written.

use super::error::Failure;
use anstream::{AutoStream, ColorChoice};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

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

/// The program was started without a standard output. Rust's runtime puts `/dev/null` in its place before `main`, so that what is
/// written there is lost without a fault: it is found out before that.
static CLOSED: AtomicBool = AtomicBool::new(false);

#[cfg(target_os = "linux")]
extern "C" fn find_out() {
    // SAFETY: the call asks about a number that need not be an open file.
    let known = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    CLOSED.store(known == -1, Ordering::Relaxed);
}

/// The loader calls what is in this list before `main`.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = find_out;

fn printed(outcome: io::Result<()>) -> Result<(), Failure> {
    if CLOSED.load(Ordering::Relaxed) {
        return Err(Failure::Stdout("it is closed".into()));
    }
    outcome.map_err(|fault| match fault.kind() {
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Stdout(fault.to_string()),
    })
}

/// Width of the terminal that standard output is; `None` where it is none, so that a line stays a line for other programs.
pub fn columns() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// A directory that results go to, which no other run writes to meanwhile.
pub struct Directory {
    path: PathBuf,
    _lock: Option<Lock>,
}

impl Directory {
    /// Makes the directory, and finds out whether it can be written before any time is spent. What a run that was killed has left
    /// there goes.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let fault = |fault: io::Error| Failure::Directory { directory: path.into(), reason: plain(&fault) };
        std::fs::create_dir_all(path).map_err(fault)?;
        let lock = Lock::of(path).map_err(fault)?;
        temporary(path).map_err(fault)?;
        clean(path);
        Ok(Self { path: path.into(), _lock: lock })
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

/// A file that a run holds while it writes to a directory; the system lets go of it however the run ends.
struct Lock {
    path: PathBuf,
    /// Held.
    _file: File,
}

impl Lock {
    /// `None` on a file system without locks.
    fn of(directory: &Path) -> io::Result<Option<Self>> {
        let path = directory.join(LOCK);
        loop {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
            match file.try_lock() {
                // Another run may have removed the file before it was locked: then nobody meets there.
                Ok(()) if is_at(&file, &path) => return Ok(Some(Self { path, _file: file })),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let reason = "another run does now; wait for its end, or give another --out";
                    return Err(io::Error::other(reason));
                }
                Err(TryLockError::Error(_)) => return Ok(None),
            }
        }
    }
}

impl Drop for Lock {
    /// Nobody waits for the file: who finds it locked has gone.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The open file is still the one of this name.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let of = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let (open, named) = (file.metadata().map(of), std::fs::metadata(path).map(of));
        matches!((open, named), (Ok(open), Ok(named)) if open == named)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

/// Beginning of the name of a file that is being written.
const TEMPORARY: &str = ".initdiag-";
/// Name of the file that a run holds.
const LOCK: &str = ".initdiag-lock";

/// Removes what runs that were killed have left in a directory: who still writes holds the file.
pub fn clean(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) || name == LOCK {
            continue;
        }
        if File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Where a file lies.
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file under a temporary name beside it and renames it.
pub fn replace(path: &Path, written: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let fault = |fault: io::Error| Failure::File { path: path.into(), reason: plain(&fault) };
    let mut file = temporary(directory_of(path)).map_err(fault)?;
    written(&mut file).map_err(fault)?;
    file.persist(path).map_err(|failed| fault(failed.error))?;
    Ok(())
}

fn temporary(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any file that a program makes: what the umask leaves.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    loop {
        let file = builder.tempfile_in(directory)?;
        // Held for as long as it is written, see `clean`; one that was taken for a remnant before that is made again.
        let locked = file.as_file().try_lock();
        if matches!(locked, Err(TryLockError::Error(_))) || is_at(file.as_file(), file.path()) {
            return Ok(file);
        }
    }
}

/// The system's words, without the path that tempfile adds.
fn plain(fault: &io::Error) -> String {
    let text = fault.to_string();
    match (fault.raw_os_error(), text.split_once(" at path ")) {
        (None, Some((words, _))) => words.into(),
        _ => text,
    }
}
