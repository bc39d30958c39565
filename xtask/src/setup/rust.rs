//! The WebAssembly target, and the tools that come as Rust crates.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::debian::build_standard_library;
use crate::{
    npm,
    run::{announced, cargo, command, read, root, run, target_dir, which},
};

const TARGET: &str = "wasm32-unknown-unknown";

/// A program that `cargo install` provides.
pub(crate) struct Tool<'a> {
    package: &'a str,
    program: &'a str,
    version: &'a str,
    /// Whether no other version will do.
    exact: bool,
    /// Whether to build it with the dependencies of its own lock file.
    locked: bool,
    why: &'a str,
}

const WASM_PACK: Tool = Tool {
    package: "wasm-pack",
    program: "wasm-pack",
    version: "0.15.1",
    exact: false,
    locked: true,
    why: "it builds the package and runs its tests in browsers",
};

/// Drives Firefox.
pub(crate) const GECKODRIVER: Tool = Tool {
    package: "geckodriver",
    program: "geckodriver",
    version: "0.37.1",
    exact: false,
    locked: false,
    why: "it drives Firefox in the tests",
};

/// Checks what the workspace depends on.
pub(crate) const CARGO_DENY: Tool = Tool {
    package: "cargo-deny",
    program: "cargo-deny",
    version: "0.20.2",
    exact: false,
    locked: true,
    why: "it checks the licences and sources of dependencies",
};

/// The CLI and the library speak a private format: their versions must be equal.
const fn wasm_bindgen(version: &str) -> Tool<'_> {
    Tool {
        package: "wasm-bindgen-cli",
        program: "wasm-bindgen",
        version,
        exact: true,
        locked: false,
        why: "it writes the JavaScript around the WebAssembly",
    }
}

/// Everything that turns the root package into the npm package's WebAssembly, and `more` tools.
pub(crate) fn wasm_toolchain(more: &[Tool]) -> Result<()> {
    wasm_target()?;
    let version = locked_version("wasm-bindgen")?;
    install_missing([&WASM_PACK, &wasm_bindgen(&version)].into_iter().chain(more))?;
    npm::install("xtask/tools", "wasm-opt makes the WebAssembly smaller")
}

/// Where the compiler's own tools are that read what its counters have counted.
pub(crate) fn llvm_tools() -> Result<PathBuf> {
    let libraries = read(command("rustc").args(["--print", "target-libdir"]))?;
    let tools = Path::new(&libraries).with_file_name("bin");
    if !tools.join("llvm-cov").is_file() {
        let add = || run(command("rustup").args(["component", "add", "llvm-tools"]));
        announced("adding the compiler's llvm-tools: they read what was counted", add)
            .context("install the llvm-tools of this very compiler; rustup does it")?;
    }
    Ok(tools)
}

fn wasm_target() -> Result<()> {
    let libraries = read(command("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    let libraries = Path::new(&libraries);
    if libraries.is_dir() {
        return Ok(());
    }
    if which("rustup").is_some() {
        announced(&format!("adding the {TARGET} target: the package is compiled for it"), || {
            run(command("rustup").args(["target", "add", TARGET]))
        })
    } else if libraries.starts_with("/usr/lib/rustlib") {
        build_standard_library(TARGET, libraries)
    } else {
        bail!(
            "Rust's standard library for {TARGET} is missing in {}: install Rust with rustup \
             (https://rustup.rs), or add the target with the package manager that installed Rust",
            libraries.display()
        )
    }
}

/// A package's version in the workspace's lock file.
fn locked_version(package: &str) -> Result<String> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).context("there is no Cargo.lock")?;
    let head = format!("name = \"{package}\"\nversion = \"");
    let version = lock.split_once(&head).and_then(|(_, rest)| rest.split('"').next());
    version.map(str::to_owned).with_context(|| format!("Cargo.lock does not name {package}"))
}

/// Installs them from one build folder, since they share many dependencies.
fn install_missing<'a>(tools: impl IntoIterator<Item = &'a Tool<'a>>) -> Result<()> {
    let build = target_dir().join("xtask/install");
    for tool in tools {
        if tool.find().is_none() {
            tool.install(&build)?;
        }
    }
    match fs::remove_dir_all(&build) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}, which nobody needs", build.display()))
        }
        _ => Ok(()),
    }
}

impl Tool<'_> {
    /// Where it is, if its version will do.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let program = which(self.program)?;
        let is_right = || {
            let version = read(command(&program).arg("--version")).unwrap_or_default();
            version.split_whitespace().nth(1) == Some(self.version)
        };
        (!self.exact || is_right()).then_some(program)
    }

    /// Where it is, after installing it if need be.
    pub(crate) fn find_or_install(&self) -> Result<PathBuf> {
        install_missing([self])?;
        self.find().with_context(|| format!("{} was installed but is not found", self.program))
    }

    fn install(&self, build: &Path) -> Result<()> {
        let Self { package, version, why, .. } = self;
        announced(&format!("installing {package} {version}: {why} (a minute or two)"), || {
            let mut install = cargo();
            install.args(["install", package, "--version", version, "--force", "--target-dir"]);
            install.arg(build);
            if self.locked {
                install.arg("--locked");
            }
            // They run for seconds but compile for minutes: halve the minutes.
            install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
            install.env("CARGO_PROFILE_RELEASE_LTO", "off");
            install.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
            run(&mut install)
        })
    }
}
