//! `--net`: an architecture by its file, or by the name of one that comes with the program.

use super::error::Failure;
use crate::frontend::bundled;
use crate::frontend::toml::Architecture;
use crate::graph::Override;
use crate::law::call;
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

/// A larger file is no architecture.
const LARGEST: u64 = 16 << 20;
/// A larger file is none that an architecture names.
const LARGEST_NAMED: u64 = 64 << 20;

/// What an option says, else what the architecture's file says, else the default.
pub fn named(own: &Option<String>, file: Option<&String>, otherwise: &str) -> String {
    own.as_ref().or(file).map_or(otherwise, String::as_str).to_string()
}

/// What `--set` says, in full names.
pub fn overrides(texts: &[String]) -> Result<Vec<String>, Failure> {
    let one = |text: &String| {
        Override::parse(text).map(|one| one.to_string()).map_err(|f| Failure::catalog("--set", text, &f))
    };
    texts.iter().map(one).collect()
}

/// Text of a file, or of a pipe that another program writes.
fn source(path: &Path, largest: u64, what: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|fault| fault.to_string())?;
    file.take(largest + 1).read_to_end(&mut bytes).map_err(|fault| fault.to_string())?;
    if bytes.len() as u64 > largest {
        return Err(format!("there is more in it than {} MiB, the largest {what}", largest >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".into())
}

/// Text of a file that a network's file names, relative to that file.
fn named_in(net: &Path, name: &str) -> Result<String, String> {
    let path = net.parent().map_or_else(|| name.into(), |folder| folder.join(name));
    // A pipe might never end.
    if std::fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
        return Err("this is no file".into());
    }
    source(&path, LARGEST_NAMED, "list of edges")
}

/// The file, or the pipe, that a name means; a directory of the name of a bundled network does not hide it.
pub fn file(name: &OsStr) -> Option<&Path> {
    Some(Path::new(name)).filter(|path| path.exists() && !path.is_dir())
}

/// Reads the architecture that `--net` names.
pub fn read(name: &OsStr) -> Result<Architecture, Failure> {
    let path = Path::new(name);
    let text = &*name.to_string_lossy();
    let fault = |reason: String| Failure::option("--net", text, reason);
    if let Some(path) = file(name) {
        let source = source(path, LARGEST, "architecture");
        let source = source.map_err(|reason| Failure::Net { path: path.into(), reason })?;
        let load = |name: &str| named_in(path, name);
        let mut net = Architecture::parse_with(&source, &load).map_err(|f| fault(f.to_string()))?;
        if net.name.is_none() {
            net.name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        }
        return Ok(net);
    }
    let name = text.trim().to_lowercase();
    if let Some(source) = bundled::source(&name) {
        return Architecture::parse(source).map_err(|f| fault(f.to_string()));
    }
    if path.is_dir() {
        let reason = "this is a directory; the file of a network is needed".into();
        return Err(Failure::Net { path: path.into(), reason });
    }
    if text.contains(['/', '\\']) || name.ends_with(".toml") {
        return Err(Failure::Net { path: path.into(), reason: "there is no such file".into() });
    }
    let known = || bundled::NAMES.iter().copied();
    Err(fault(match call::nearest(&name, known()) {
        Some(near) => format!("there is no such file; did you mean `{near}`?"),
        None => {
            let all = known().collect::<Vec<_>>().join(", ");
            format!("there is no such file, and no architecture of that name; there are {all}")
        }
    }))
}
