//! The WebAssembly target, and the tools that come as Rust crates.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};

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
    /// Whether to build it with the dependencies of its own lock file.
    locked: bool,
    why: &'a str,
}

const WASM_PACK: Tool = Tool {
    package: "wasm-pack",
    program: "wasm-pack",
    version: "0.15.1",
    locked: true,
    why: "it builds the package and runs its tests in browsers",
};

/// Drives Firefox.
pub(crate) const GECKODRIVER: Tool = Tool {
    package: "geckodriver",
    program: "geckodriver",
    version: "0.37.1",
    locked: false,
    why: "it drives Firefox in the tests",
};

/// Everything that turns the root package into the npm package's WebAssembly.
pub(crate) fn wasm_toolchain() -> Result<()> {
    wasm_target()?;
    WASM_PACK.find_or_install()?;
    wasm_bindgen()?;
    npm::install("xtask/tools", "wasm-opt makes the WebAssembly smaller")
}

fn wasm_target() -> Result<()> {
    let sysroot = PathBuf::from(read(command("rustc").args(["--print", "sysroot"]))?);
    if sysroot
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib")
        .is_dir()
    {
        return Ok(());
    }
    if which("rustup").is_none() {
        bail!(
            "Rust's standard library for {TARGET} is missing in {}: install Rust with rustup \
             (https://rustup.rs), or this target with the tool that installed Rust",
            sysroot.display()
        );
    }
    announced(
        &format!("adding the {TARGET} target: the package is compiled for it"),
        || run(command("rustup").args(["target", "add", TARGET])),
    )
}

/// The CLI and the library speak a private format: their versions must be equal.
fn wasm_bindgen() -> Result<()> {
    let version = locked_version("wasm-bindgen")?;
    if let Some(program) = which("wasm-bindgen")
        && let Ok(found) = read(command(program).arg("--version"))
        && found.split_whitespace().nth(1) == Some(&version)
    {
        return Ok(());
    }
    let tool = Tool {
        package: "wasm-bindgen-cli",
        program: "wasm-bindgen",
        version: &version,
        locked: false,
        why: "it writes the JavaScript around the WebAssembly",
    };
    tool.install()
}

/// A package's version in the workspace's lock file.
fn locked_version(package: &str) -> Result<String> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).context("there is no Cargo.lock")?;
    let head = format!("name = \"{package}\"\nversion = \"");
    let version = lock
        .split_once(&head)
        .and_then(|(_, rest)| rest.split('"').next());
    version
        .map(str::to_owned)
        .with_context(|| format!("Cargo.lock does not name {package}"))
}

impl Tool<'_> {
    /// The program's path.
    pub(crate) fn find_or_install(&self) -> Result<PathBuf> {
        if which(self.program).is_none() {
            self.install()?;
        }
        which(self.program).with_context(|| format!("{} is not on PATH", self.program))
    }

    fn install(&self) -> Result<()> {
        let Self {
            package,
            version,
            why,
            ..
        } = self;
        announced(
            &format!("installing {package} {version}: {why} (some minutes)"),
            || {
                let build = target_dir().join("xtask/install");
                let mut install = cargo();
                install.args([
                    "install",
                    package,
                    "--version",
                    version,
                    "--force",
                    "--target-dir",
                ]);
                install.arg(&build);
                if self.locked {
                    install.arg("--locked");
                }
                // They run for seconds but compile for minutes: halve the minutes.
                install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
                install.env("CARGO_PROFILE_RELEASE_LTO", "off");
                install.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
                run(&mut install)?;
                fs::remove_dir_all(&build).context("cannot remove what is left of the build")
            },
        )
    }
}
