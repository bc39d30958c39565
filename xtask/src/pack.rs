//! Builds and weighs what goes to npm.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    run::{announced, cargo_homes, command, root, run, target_dir},
    setup::wasm_toolchain,
    stamp::Stamp,
};

/// What becomes WebAssembly.
struct Module {
    what: &'static str,
    folder: &'static str,
    out: &'static str,
    file: &'static str,
    inputs: &'static [&'static str],
}

const CLIENT: Module =
    Module { what: "package", folder: ".", out: "pkg/wasm", file: "tutti_sync_bg.wasm", inputs: &INPUTS };
/// The server in memory, which no page loads that does not test.
const TESTING: Module = Module {
    what: "server for tests",
    folder: "crates/testing",
    out: "pkg/testing/wasm",
    file: "tutti_testing_bg.wasm",
    inputs: &[
        "Cargo.lock",
        "Cargo.toml",
        "crates/acceptance",
        "crates/protocol",
        "crates/stand-in",
        "crates/testing",
        "xtask/src/pack.rs",
        "xtask/tools/package-lock.json",
    ],
};
/// Features that make a later version: one that lives together with this one, and one that cannot.
const LATER: [&str; 2] = ["next", "breaking"];
/// What of the package a page imports, but for WebAssembly.
const ENTRY: [&str; 3] = ["pkg/index.js", "pkg/alerts.js", "pkg/error.js"];
const INPUTS: [&str; 8] = [
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "src",
    "crates/engine",
    "crates/protocol",
    "xtask/src/pack.rs",
    "xtask/tools/package-lock.json",
];

/// What rustc emits for WebAssembly by default, as wasm-opt calls it.
const FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Functions with one caller are inlined only while they are this small. Without the bound the module is
/// 2 % smaller, and 10 % larger once it is compressed: large functions repeat themselves less.
const INLINE: &str = "--one-caller-inline-max-function-size=20";

/// Functions that come of one generic function, or of one type, look alike and have like names. Side by side they
/// compress better.
const ORDER: &str = "--reorder-functions-by-name";

/// Nothing is at the first addresses: they are the end of the stack, which grows down to them.
const LAYOUT: &str = "--low-memory-unused";

/// Completes the folder `pkg`: WebAssembly, its JavaScript, licences and readme.
pub(crate) fn pack() -> Result<()> {
    wasm_toolchain(&[])?;
    build(&CLIENT)?;
    build(&TESTING)?;
    for file in ["LICENSE-APACHE", "LICENSE-MIT", "README.md"] {
        fs::copy(root().join(file), root().join("pkg").join(file))
            .with_context(|| format!("cannot copy {file} into pkg"))?;
    }
    Ok(())
}

/// Makes a module, unless it is made.
fn build(module: &Module) -> Result<()> {
    let Module { what, folder, out, file, inputs } = *module;
    let stamp = Stamp::new(&format!("pack-{file}"), inputs, out);
    if stamp.holds() {
        println!("{out} is up to date");
        return Ok(());
    }
    announced(&format!("compiling the {what} to WebAssembly"), || {
        let mut build = command("wasm-pack");
        build
            .args(["build", folder, "--target", "web", "--profile", "wasm", "--out-dir"])
            .arg(root().join(out));
        build.env("CARGO_ENCODED_RUSTFLAGS", without_our_paths());
        // It would download wasm-bindgen and wasm-opt; both are here, with the right versions.
        run(build.args(["--mode", "no-install", "--no-opt", "--no-pack"]))
    })?;
    announced("making it smaller with wasm-opt", || {
        let (made, kept) = (root().join(out).join(file), named(module));
        fs::create_dir_all(kept.parent().context("it lies in a folder")?)?;
        fs::copy(&made, &kept).context("cannot keep the module as it was compiled")?;
        optimise(&kept, &made, &[])
    })?;
    // npm would leave out the whole folder because of it.
    remove_if_there(&format!("{out}/.gitignore"))?;
    stamp.set()
}

/// The module as it was compiled, with the names of its functions.
fn named(module: &Module) -> PathBuf {
    target_dir().join("xtask").join(module.file)
}

fn optimise(from: &Path, to: &Path, more: &[&str]) -> Result<()> {
    let mut optimise = command(root().join("xtask/tools/node_modules/.bin/wasm-opt"));
    optimise.args(["-Oz", INLINE, LAYOUT, ORDER]).args(more).args(FEATURES);
    run(optimise.arg(from).arg("-o").arg(to))
}

/// Builds the package as later versions of it could be, for tests of two versions side by side: with
/// each of [`LATER`]'s features, quickly, and beside what goes to npm.
pub(crate) fn later_versions() -> Result<()> {
    wasm_toolchain(&[])?;
    let out = later_versions_dir();
    let inputs = INPUTS.into_iter().chain(ENTRY).collect::<Vec<_>>();
    let stamp = Stamp::new("later-versions", &inputs, &out);
    if stamp.holds() {
        println!("{} is up to date", out.display());
        return Ok(());
    }
    for feature in LATER {
        announced(&format!("compiling the package with the feature `{feature}`"), || {
            let mut build = command("wasm-pack");
            build
                .args(["build", "--target", "web", "--dev", "--out-dir"])
                .arg(out.join(feature).join("wasm"));
            build.args(["--mode", "no-install", "--no-opt", "--no-pack"]);
            run(build.args(["--", "--features", feature]))
        })?;
        for file in ENTRY {
            let name = file.trim_start_matches("pkg/");
            fs::copy(root().join(file), out.join(feature).join(name))
                .with_context(|| format!("cannot copy {file}"))?;
        }
    }
    stamp.set()
}

/// Where [`later_versions`] builds: a folder for each feature.
pub(crate) fn later_versions_dir() -> PathBuf {
    target_dir().join("later-versions")
}

/// Flags for rustc: the package names no folder of the machine that built it.
fn without_our_paths() -> String {
    let registries = cargo_homes().filter_map(|home| fs::read_dir(home.join("registry/src")).ok());
    let sources = registries.flatten().flatten().map(|entry| entry.path());
    // Some code is generated among the built.
    let folders = sources.chain([root().to_owned(), target_dir()]);
    let flags: Vec<String> =
        folders.map(|folder| format!("--remap-path-prefix={}/=", folder.display())).collect();
    flags.join("\x1f")
}

fn remove_if_there(file: &str) -> io::Result<()> {
    match fs::remove_file(root().join(file)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Prints what a page has to load, and what the WebAssembly consists of; fails when it is over its budget.
pub(crate) fn size() -> Result<()> {
    pack()?;
    // As in the package, but for the names.
    let sections = target_dir().join("xtask/tutti_sync_sections.wasm");
    optimise(&named(&CLIENT), &sections, &["--debuginfo"])?;
    // Node knows gzip and brotli already; as crates they would take longer to compile than all
    // of xtask.
    run(command("node").args(["xtask/tools/size.mjs", CLIENT.out]).arg(sections))
}
