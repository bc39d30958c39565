//! Chromium and Firefox, each with the driver that tests speak to.

use std::{env, path::PathBuf};

use anyhow::{Context, Result};

use super::{GECKODRIVER, debian::apt};
use crate::run::which;

/// A browser and its WebDriver.
pub(crate) struct Browser {
    pub(crate) binary: PathBuf,
    pub(crate) driver: PathBuf,
}

/// Chromium or Chrome: the one that CHROME names, or the first on PATH.
pub(crate) fn chromium() -> Result<Browser> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let find = || {
        let binary = named("CHROME").or_else(|| names.iter().find_map(|name| which(name)))?;
        let driver = named("CHROMEDRIVER").or_else(|| which("chromedriver"))?;
        Some(Browser { binary, driver })
    };
    if let Some(browser) = find() {
        return Ok(browser);
    }
    apt(&["chromium", "chromium-driver"], "the tests run in Chromium").context(
        "Chromium or Chrome and its chromedriver are needed on PATH, or named by CHROME and \
         CHROMEDRIVER",
    )?;
    find().context("Chromium was installed but is not on PATH")
}

/// The driver for Firefox; it finds the Firefox on PATH by itself.
pub(crate) fn firefox() -> Result<PathBuf> {
    if which("firefox").is_none() {
        apt(&["firefox-esr"], "the tests run in Firefox too").context("Firefox is needed on PATH")?;
    }
    match named("GECKODRIVER") {
        Some(driver) => Ok(driver),
        None => GECKODRIVER.find_or_install(),
    }
}

fn named(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}
