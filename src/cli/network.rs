//! `--net`: an architecture by its file, or by the name of one that comes with the program.

use super::error::Failure;
use crate::frontend::bundled;
use crate::frontend::toml::Architecture;
use crate::law::call;
use std::path::Path;

/// A file of this size is no architecture.
const LARGEST: u64 = 16 << 20;

/// What an option says, else what the architecture's file says, else the default.
pub fn named(own: &Option<String>, file: Option<&String>, otherwise: &str) -> String {
    own.as_ref().or(file).map_or(otherwise, String::as_str).to_string()
}

/// Reads the architecture that `--net` names.
pub fn read(text: &str) -> Result<Architecture, Failure> {
    let path = Path::new(text);
    let fault = |reason: String| Failure::option("--net", text, reason);
    if path.is_file() {
        let unreadable = |reason: String| Failure::Net { path: path.into(), reason };
        let size = path.metadata().map_err(|f| unreadable(f.to_string()))?.len();
        if size > LARGEST {
            return Err(unreadable("the file is larger than any architecture".into()));
        }
        let source = std::fs::read_to_string(path).map_err(|f| unreadable(f.to_string()))?;
        let mut net = Architecture::parse(&source).map_err(|f| fault(f.to_string()))?;
        if net.name.is_none() {
            net.name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        }
        return Ok(net);
    }
    let name = text.trim().to_lowercase();
    if let Some(source) = bundled::source(&name) {
        return Architecture::parse(source).map_err(|f| fault(f.to_string()));
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
