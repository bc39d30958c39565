//! Which of the engine's branches the histories reach.

use std::{fs, process::Stdio};

use anyhow::Result;

use crate::{
    run::{cargo, command, read, root, run, target_dir},
    setup,
};

/// One at a time: threads would wait for each other's counters.
const HISTORIES: [&str; 4] = ["--histories", "5000", "--jobs", "1"];

/// Plays histories, prints how much of each file they reach, and writes it down line by line.
pub(crate) fn coverage(options: &[&str]) -> Result<()> {
    let tools = setup::llvm_tools()?;
    let folder = target_dir().join("coverage");
    fs::create_dir_all(&folder)?;
    let host = read(command("rustc").args(["--print", "host-tuple"]))?;

    println!("» building the simulator with counters");
    let mut build = cargo();
    // With a target named, build scripts and macros have no counters.
    build.args(["build", "--quiet", "--profile", "hunt", "--package", "tutti-simulator", "--target", &host]);
    // Branches are counted by an option that stable compilers have, but do not promise to keep.
    build.env("RUSTFLAGS", "-C instrument-coverage -Z coverage-options=branch").env("RUSTC_BOOTSTRAP", "1");
    // What link-time optimisation would gain is less than it takes.
    build.env("CARGO_PROFILE_HUNT_LTO", "off").env("CARGO_TARGET_DIR", &folder);
    run(&mut build)?;

    let simulator = folder.join(&host).join("hunt/tutti-simulator");
    let (raw, profile, page) = (folder.join("raw"), folder.join("profile"), folder.join("html"));
    let mut play = command(&simulator);
    play.args(HISTORIES.iter().filter(|_| options.is_empty())).args(options);
    run(play.env("LLVM_PROFILE_FILE", &raw))?;

    run(command(tools.join("llvm-profdata")).args(["merge", "--sparse"]).arg(&raw).arg("-o").arg(&profile))?;
    let show = |verb: &str| {
        let mut show = command(tools.join("llvm-cov"));
        show.arg(verb).arg(&simulator).arg("--instr-profile").arg(&profile);
        show.arg(root().join("crates/engine/src"));
        show
    };
    run(show("report").arg("--show-branch-summary"))?;
    let mut html = show("show");
    html.args(["--format=html", "--show-branches=count", "--output-dir"]).arg(&page);
    run(html.stdout(Stdio::null()))?;
    println!("\nline by line: {}", page.join("index.html").display());
    Ok(())
}
