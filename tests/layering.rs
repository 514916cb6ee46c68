//! The rooms of the house: one uses those before it in this list, and never one behind it.

use std::fs;
use std::path::{Path, PathBuf};

/// From the room that uses nothing of the others to the one that uses all of them (ARCHITECTURE.md).
const ROOMS: &[&str] = &[
    "numeric",
    "law",
    "activation",
    "expectation",
    "initializer",
    "tensorfile",
    "weights",
    "op",
    "graph",
    "data",
    "frontend",
    "spec",
    "theory",
    "result",
    "measure",
    "simulate",
    "diagnose",
    "study",
    "report",
    "cli",
];

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|r| *r == room)
}

/// All Rust files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The rooms that a line of code names after `crate::`.
fn named(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or(line);
    code.match_indices("crate::")
        .map(|(at, prefix)| {
            let rest = &code[at + prefix.len()..];
            let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(rest.len());
            &rest[..end]
        })
        .collect()
}

/// `file:line: line` of each use of a room that stands behind the user's own. Unit tests at the end of a file may use any.
fn arrows_back(room: &str, text: &str) -> Vec<String> {
    let own = rank(room).unwrap_or_else(|| panic!("`{room}` is no room of the list"));
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.contains("#[cfg(test)]"))
        .filter(|(_, line)| named(line).into_iter().filter_map(rank).any(|used| used > own))
        .map(|(number, line)| format!("{}: {}", number + 1, line.trim()))
        .collect()
}

#[test]
fn no_room_uses_one_behind_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut back = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
        let room = first.trim_end_matches(".rs");
        if ["lib", "main"].contains(&room) || file.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        back.extend(arrows_back(room, &text).into_iter().map(|line| format!("{}:{line}", inside.display())));
    }
    assert!(back.is_empty(), "arrows that run back:\n{}", back.join("\n"));
}

#[test]
fn an_arrow_back_is_seen() {
    let text = "use crate::numeric::wide::Wide;\nuse crate::report::json;\n// crate::cli\n#[cfg(test)]\nuse crate::cli;\n";
    assert_eq!(arrows_back("theory", text), ["2: use crate::report::json;"]);
    assert!(arrows_back("cli", text).is_empty());
}
