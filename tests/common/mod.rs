//! A command of the binary as a user runs it.

use assert_cmd::Command;
use serde::de::DeserializeOwned;
use std::process::Output;

pub struct Tool(pub &'static str);

impl Tool {
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::cargo_bin("initdiag").unwrap();
        command.arg(self.0).args(arguments).env_remove("NO_COLOR").output().unwrap()
    }

    pub fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Every row of wrong input gets one line with these words, nothing else, and exit status 2.
    pub fn refuses(&self, rows: &[(&[&str], &str)]) {
        for (arguments, words) in rows {
            let output = self.run(arguments);
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
            assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
            assert!(text.starts_with("initdiag: error: ") && text.contains(words), "{arguments:?}: {text}");
            assert!(output.stdout.is_empty());
        }
    }
}
