//! The files that a command reads and those that it writes: none is both, and none is written twice.

use super::error::Failure;
use super::output::directory_of;
use std::path::{Path, PathBuf};

/// What is known of the files of a command before it begins.
#[derive(Default)]
pub struct Paths {
    read: Vec<(&'static str, PathBuf)>,
    written: Vec<(String, PathBuf)>,
}

/// A file as it was named, and where links lead; what is not there yet is where it would be.
fn places(path: &Path) -> [PathBuf; 2] {
    let parent = directory_of(path);
    let parent = parent.canonicalize().or_else(|_| std::path::absolute(parent));
    let named = match (parent, path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path.to_path_buf(),
    };
    [path.canonicalize().unwrap_or_else(|_| named.clone()), named]
}

/// Both are one file, by whatever names.
fn same(one: &Path, other: &Path) -> bool {
    let others = places(other);
    places(one).iter().any(|place| others.contains(place))
}

impl Paths {
    /// What an option reads: a file, or all files of a directory.
    #[must_use]
    pub fn reading(mut self, option: &'static str, path: Option<&Path>) -> Self {
        self.read.extend(path.map(|path| (option, path.to_path_buf())));
        self
    }

    /// What an option writes.
    ///
    /// # Errors
    /// When that is what another reads or writes.
    pub fn write(&mut self, option: &'static str, path: &Path) -> Result<(), Failure> {
        let fault = |reason: String| Failure::option(option, &path.display().to_string(), reason);
        if let Some(reader) = self.reader(path) {
            return Err(fault(format!("this is what {reader} reads; name another file")));
        }
        if let Some((writer, _)) = self.written.iter().find(|(_, other)| same(path, other)) {
            return Err(fault(format!("this is what {writer} writes; name another file")));
        }
        self.written.push((option.into(), path.into()));
        Ok(())
    }

    /// Refuses a directory in which a file of one of these names is read or written otherwise.
    ///
    /// # Errors
    /// With the file and the option that it belongs to.
    pub fn directory(
        &self,
        directory: &Path,
        names: impl Iterator<Item = &'static str>,
    ) -> Result<(), Failure> {
        for name in names {
            let path = directory.join(name);
            let writer = || self.written.iter().find(|(_, other)| same(&path, other));
            let reason = match (self.reader(&path), writer()) {
                (Some(reader), _) => format!("`{name}` there is what {reader} reads"),
                (None, Some((writer, _))) => format!("`{name}` there is what {writer} writes"),
                (None, None) => continue,
            };
            let reason = format!("{reason}; give another --out");
            return Err(Failure::option("--out", &directory.display().to_string(), reason));
        }
        Ok(())
    }

    /// The option that reads this file.
    fn reader(&self, path: &Path) -> Option<&'static str> {
        let is = |input: &Path| {
            same(path, input)
                || (path.exists() && input.is_dir() && places(path)[0].starts_with(&places(input)[0]))
        };
        self.read.iter().find(|(_, input)| is(input)).map(|(option, _)| *option)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_many_names() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("inner")).unwrap();
        std::fs::write(at("data.csv"), "1\n").unwrap();
        assert!(same(&at("data.csv"), &at("inner/../data.csv")));
        assert!(same(&at("new.csv"), &at("inner/../new.csv")));
        assert!(!same(&at("data.csv"), &at("inner/data.csv")));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("data.csv"), at("link.csv")).unwrap();
            assert!(same(&at("data.csv"), &at("link.csv")));
        }
        let mut paths = Paths::default().reading("--data", Some(&at("data.csv")));
        let fault = paths.write("--save-init", &at("inner/../data.csv")).unwrap_err().to_string();
        assert!(fault.contains("what --data reads"), "{fault}");
        paths.write("--checkpoint", &at("inner/train.json")).unwrap();
        let fault = paths.write("--save-init", &at("inner/train.json")).unwrap_err().to_string();
        assert!(fault.contains("what --checkpoint writes"), "{fault}");
        let fault = paths.directory(&at("inner"), ["a.csv", "train.json"].into_iter()).unwrap_err();
        assert!(fault.to_string().contains("`train.json` there is what --checkpoint writes"), "{fault}");
        paths.directory(directory.path(), ["train.json"].into_iter()).unwrap();
        let paths = Paths::default().reading("--data", Some(directory.path()));
        assert!(paths.directory(directory.path(), ["data.csv"].into_iter()).is_err());
        paths.directory(directory.path(), ["train.json"].into_iter()).unwrap();
    }
}
