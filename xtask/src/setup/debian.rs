//! What Debian's package manager can give.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;

use crate::run::{announced, cargo, command, read, run, target_dir, which};

/// Installs packages.
pub(crate) fn apt(packages: &[&str], why: &str) -> Result<()> {
    let names = packages.join(" ");
    if which("apt-get").is_none() {
        bail!("install {names} with your system's package manager");
    }
    let advice = || format!("run: sudo apt-get update && sudo apt-get install {names}");
    let mut update = as_root("apt-get").with_context(advice)?;
    let mut install = as_root("env").with_context(advice)?;
    announced(&format!("installing {names}: {why}"), || {
        run(update.args(["update", "-q"]))?;
        install.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-q", "-y"]);
        run(install.arg("--no-install-recommends").args(packages))
    })
}

/// Adds a target to Debian's own Rust, which has the standard library for it only as source.
pub(crate) fn build_standard_library(target: &str, destination: &Path) -> Result<()> {
    let version = read(command("rustc").arg("-vV"))?;
    let llvm = version.split_once("LLVM version: ").and_then(|(_, llvm)| llvm.split('.').next());
    let llvm = llvm.context("rustc does not tell its version of LLVM")?;
    apt(&["rust-web-src", &format!("lld-{llvm}")], "they build Rust's standard library and link with it")?;

    // The name under which rustc looks for the linker.
    let linker = format!("/usr/lib/llvm-{llvm}/bin/lld");
    run(as_root("ln")?.args(["-sf", &linker, "/usr/local/bin/rust-lld"]))?;

    announced(&format!("building Rust's standard library for {target}"), || {
        // Cargo builds it only as a dependency: of nothing, here.
        let nothing = target_dir().join("xtask/std");
        fs::create_dir_all(nothing.join("src"))?;
        fs::write(nothing.join("src/lib.rs"), "#![no_std]\n")?;
        let manifest = nothing.join("Cargo.toml");
        fs::write(&manifest, "[package]\nname = \"nothing\"\nedition = \"2024\"\n\n[workspace]\n")?;

        let mut build = cargo();
        // The stable compiler takes unstable flags for its own standard library.
        build.env("RUSTC_BOOTSTRAP", "1").args(["build", "--release", "--target", target]);
        build.arg("-Zbuild-std=std,panic_abort,proc_macro,test").arg("--manifest-path").arg(&manifest);
        run(build.arg("--target-dir").arg(nothing.join("target")))?;

        let mut install = as_root("install")?;
        install.args(["-D", "-m", "644", "-t"]).arg(destination);
        for entry in fs::read_dir(nothing.join("target").join(target).join("release/deps"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_library = name.ends_with(".rlib") || name.ends_with(".rmeta");
            if is_library && !name.starts_with("libnothing-") {
                install.arg(&path);
            }
        }
        run(&mut install)
    })
}

/// A command with root's rights, if we have them or sudo gives them without asking.
fn as_root(program: &str) -> Result<Command> {
    if Uid::effective().is_root() {
        return Ok(command(program));
    }
    read(command("sudo").args(["-n", "true"])).context("this needs root's rights")?;
    let mut sudo = command("sudo");
    sudo.args(["-n", program]);
    Ok(sudo)
}
