//! The list of networks that come with the program: `--net` without a name, and `initdiag catalog nets`.

use super::error::Failure;
use super::output::{self, When};
use crate::activation::Activation;
use crate::frontend::bundled;
use crate::frontend::toml::Architecture;
use crate::graph::Laws;
use crate::initializer::Initializer;
use crate::report::terminal::wrap::{shown, wrap};
use crate::report::terminal::{BOLD, DIM, padded};
use serde::Serialize;
use std::ffi::OsStr;
use std::process::ExitCode;
use std::sync::Arc;
use unicode_width::UnicodeWidthStr;

/// A network that comes with the program.
#[derive(Serialize)]
pub struct Row {
    name: &'static str,
    /// As a framework counts them.
    parameters: u128,
    /// Layers with weights.
    layers: usize,
    /// Shape of a sample.
    input: String,
    /// Where it is from, and what it is.
    about: String,
    /// Where its initializer is from, and what it is.
    init: String,
}

/// What stands for the name that is missing behind `--net`: no argument of a program can hold it.
pub const NO_NAME: &str = "\0";

/// An option that names a network has no name.
pub fn is_asked(net: Option<&OsStr>) -> bool {
    net.is_some_and(|name| name == NO_NAME)
}

/// All of them, in the order in which they are listed.
pub fn rows() -> Result<Vec<Row>, Failure> {
    bundled::NAMES.iter().map(|name| row(name).map_err(Failure::Usage)).collect()
}

fn row(name: &'static str) -> Result<Row, String> {
    let source = bundled::source(name).unwrap_or_default();
    let architecture = Architecture::parse(source).map_err(|fault| fault.to_string())?;
    let init = Initializer::parse("he").map_err(|fault| fault.to_string())?;
    let act = Arc::new(Activation::parse("relu").map_err(|fault| fault.to_string())?);
    let laws = Laws { init: &init, bias: None, act: &act, overrides: &[] };
    let graph = architecture.with_laws(&laws).map_err(|fault| fault.to_string())?;
    let (about, init) = description(source);
    let layers = graph.entries.iter().filter(|entry| entry.weighted).count();
    Ok(Row { name, parameters: graph.parameter_count(), layers, input: graph.inputs_in_words(), about, init })
}

/// The comment at the head of a file, up to where it speaks of the initializer, and from there.
fn description(source: &str) -> (String, String) {
    let head: Vec<&str> = source.lines().map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
    let of_init = |line: &&str| line.starts_with("Initializer:") || line.starts_with("Its initializer");
    let (about, init) = head.split_at(head.iter().position(of_init).unwrap_or(head.len()));
    let init = init.join(" ");
    (about.join(" "), init.strip_prefix("Initializer: ").unwrap_or(&init).into())
}

/// In millions, where there are so many.
fn count(parameters: u128) -> String {
    let number = parameters as f64;
    match number {
        n if n >= 1e9 => format!("{:.2} G", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n if n >= 1e3 => format!("{:.1} k", n / 1e3),
        n => format!("{n}"),
    }
}

/// As a table for people.
pub fn lines(rows: &[Row], columns: Option<usize>) -> Vec<String> {
    let title = format!(
        "{BOLD}Networks{BOLD:#}: --net NAME, with the initializer that its authors use unless --init says otherwise; a file of your own \
         does as well"
    );
    let name_width = rows.iter().map(|row| row.name.width()).max().unwrap_or(0);
    let titles = format!("  {}  {:>10}  {:>6}  input", padded("name", name_width), "parameters", "layers");
    let mut lines = vec![wrap(&title, columns, 2), format!("{DIM}{titles}{DIM:#}")];
    for row in rows {
        let name = padded(row.name, name_width);
        let head = format!("  {BOLD}{name}{BOLD:#}  {:>10}  {:>6}", count(row.parameters), row.layers);
        let indent = 6;
        // Several inputs may want a line of their own.
        let beside = format!("{head}  {}", row.input);
        if columns.is_none_or(|columns| shown(&beside) <= columns) {
            lines.push(beside);
        } else {
            lines.extend([head, wrap(&format!("{}{}", " ".repeat(indent), row.input), columns, indent)]);
        }
        lines.push(wrap(&format!("{}{DIM}{}{DIM:#}", " ".repeat(indent), row.about), columns, indent));
    }
    lines
}

/// Prints it.
pub fn print(color: When) -> Result<ExitCode, Failure> {
    let text = lines(&rows()?, output::columns()).join("\n") + "\n";
    output::print(&text, color)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_says_where_it_and_its_initializer_are_from() {
        let rows = rows().unwrap();
        assert_eq!(rows.len(), bundled::NAMES.len());
        for row in &rows {
            assert!(row.about.len() > 20 && row.about.ends_with('.'), "{}: {}", row.name, row.about);
            assert!(row.init.len() > 10, "{}: {}", row.name, row.init);
        }
        for columns in [60, 80, 120] {
            let lines = lines(&rows, Some(columns)).join("\n");
            assert!(lines.lines().all(|line| shown(line) <= columns), "{lines}");
        }
    }
}
