//! Proves that protocol and engine are pure: whatever happens in them was handed in, so that a run
//! can be repeated from its inputs.
//!
//! Two proofs: nothing in their dependency tree reaches a browser, a runtime, a clock or entropy,
//! and their own code does not ask the standard library for it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::run::{cargo, read, root};

const PURE: [&str; 2] = ["protocol", "engine"];

const FORBIDDEN_CRATES: [&str; 16] = [
    "async-std",
    "chrono",
    "futures-executor",
    "getrandom",
    "gloo-timers",
    "instant",
    "js-sys",
    "mio",
    "rand",
    "smol",
    "socket2",
    "time",
    "tokio",
    "wasm-bindgen",
    "web-sys",
    "web-time",
];

/// Modules of std that reach outside.
const FORBIDDEN_MODULES: [&str; 5] = ["env", "fs", "net", "process", "thread"];
/// Types of std whose values differ from run to run.
const FORBIDDEN_TYPES: [&str; 3] = ["Instant", "RandomState", "SystemTime"];

/// Fails at the first proof that does not hold.
pub(crate) fn purity() -> Result<()> {
    for name in PURE {
        let crates = dependencies(name)?;
        let impure: Vec<&str> = FORBIDDEN_CRATES.into_iter().filter(|name| crates.contains(*name)).collect();
        let list = crates.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        println!("tutti-{name} rests on {list}");
        ensure!(impure.is_empty(), "tutti-{name} must not depend on {}", impure.join(", "));

        let files = sources(&root().join("crates").join(name).join("src"))?;
        for file in &files {
            let text = fs::read_to_string(file)?;
            let shown = file.strip_prefix(root())?.display();
            let found = impurities(&text);
            ensure!(found.is_empty(), "{shown} uses {}", found.join(", "));
        }
        println!("and its own code ({} files) asks std for nothing impure", files.len());
    }
    Ok(())
}

/// The names of all crates that end up in the package because of this one.
fn dependencies(name: &str) -> Result<BTreeSet<String>> {
    let mut tree = cargo();
    tree.args(["tree", "--package", &format!("tutti-{name}"), "--edges", "normal"]);
    tree.args(["--target", "wasm32-unknown-unknown", "--prefix", "none", "--format", "{p}"]);
    let crates = read(&mut tree).context("run it by hand to see why")?;
    Ok(crates.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

/// All Rust files, except those that only tests use.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        } else if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

/// What in a source text, tests aside, reaches outside.
fn impurities(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut rest = &tokens[..];
    while let [token, tail @ ..] = rest {
        if let Some(after) = rest.strip_prefix(&["#", "[", "cfg", "(", "test", ")", "]"]) {
            rest = after_item(after);
            continue;
        }
        if FORBIDDEN_TYPES.contains(token) {
            found.push((*token).to_owned());
        }
        if let ["std", ":", ":", path @ ..] = rest {
            let modules = first_segments(path);
            let forbidden = modules.into_iter().filter(|name| FORBIDDEN_MODULES.contains(name));
            found.extend(forbidden.map(|name| format!("std::{name}")));
        }
        rest = tail;
    }
    found
}

/// What follows the item at the head: its body's closing brace, or its semicolon.
fn after_item<'a, 't>(tokens: &'a [&'t str]) -> &'a [&'t str] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(*token, "}" | ";") {
            return &tokens[at + 1..];
        }
    }
    &[]
}

/// `a` of `a::b`, `a` and `c` of `{a::b, c}`.
fn first_segments<'t>(path: &[&'t str]) -> Vec<&'t str> {
    let ["{", group @ ..] = path else {
        return path.first().copied().into_iter().collect();
    };
    let mut depth = 1;
    let mut before = "{";
    let mut segments = Vec::new();
    for token in group {
        if depth == 1 && matches!(before, "{" | ",") {
            segments.push(*token);
        }
        match *token {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        before = token;
    }
    segments
}

/// Words and single signs, without comments and string literals.
fn tokens(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            string_literal(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else if first.is_whitespace() {
            first.len_utf8()
        } else {
            let length = match rest.find(|c| !is_word(c)) {
                Some(0) => first.len_utf8(),
                Some(length) => length,
                None => rest.len(),
            };
            tokens.push(&rest[..length]);
            length
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the string literal at the head, its quotes included.
fn string_literal(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::impurities;

    #[test]
    fn reaching_outside_is_found_however_it_is_written() {
        assert_eq!(impurities("let now = std::time::Instant::now();"), ["Instant"]);
        assert_eq!(impurities("use std::time::{Duration, SystemTime as Clock};"), ["SystemTime"]);
        assert_eq!(impurities("use std::{fmt, thread::{self, fs}};"), ["std::thread"]);
        assert_eq!(impurities("use ::std::{collections::{BTreeMap, env}, net};"), ["std::net"]);
        assert_eq!(impurities("std::fs::read(\"x\")?; std::process::exit(1)").len(), 2);
    }

    #[test]
    fn comments_strings_and_tests_may_speak_of_it() {
        assert!(impurities("// Instant\n/* std::fs */ let a = \"std::net \\\" Instant\";").is_empty());
        assert!(impurities("#[cfg(test)]\nmod tests { fn f() { std::fs::read(1) } }").is_empty());
        assert!(impurities("#[cfg(test)] use std::fs;\nuse std::time::Duration;").is_empty());
    }

    #[test]
    fn code_after_tests_is_read_again() {
        let text = "#[cfg(test)] mod tests { fn f() {} }\nfn g() { std::thread::yield_now() }";
        assert_eq!(impurities(text), ["std::thread"]);
    }

    #[test]
    fn a_quote_sign_does_not_open_a_string() {
        assert_eq!(impurities("let q = '\"'; std::fs::read(1);"), ["std::fs"]);
    }
}
