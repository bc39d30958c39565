//! What a server bears.

use anyhow::Result;

use crate::{
    run::{announced, cargo, command, run, target_dir},
    setup,
};

/// Builds the server and the tool that loads it to be as fast as they go, and runs that with these options: on the
/// server that was just built, unless they name one.
pub(crate) fn load(options: &[&str]) -> Result<()> {
    if options.contains(&"--postgres") {
        setup::postgres()?;
    }
    announced("building the server and what loads it", || {
        run(cargo().args(["build", "--release", "-p", "tutti-server", "-p", "tutti-load"]))
    })?;
    let built = target_dir().join("release");
    let mut load = command(built.join("tutti-load"));
    let names_one = |option: &&str| ["--url", "--server"].iter().any(|name| option.starts_with(name));
    if !options.iter().any(names_one) {
        load.arg("--server").arg(built.join("tutti-server"));
    }
    run(load.args(options))
}
