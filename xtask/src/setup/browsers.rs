//! Chromium, Firefox and WebKit, each with the driver that tests speak to.

use std::{env, fs, path::PathBuf};

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

/// WebKitGTK's browser and driver, and a display for it, since it has none of its own.
pub(crate) fn webkit() -> Result<Browser> {
    let find = || {
        let driver = named("WEBKIT_DRIVER").or_else(|| which("WebKitWebDriver"))?;
        let binary = named("WEBKIT_BROWSER").or_else(mini_browser)?;
        which("xvfb-run").map(|_| Browser { binary, driver })
    };
    if let Some(browser) = find() {
        return Ok(browser);
    }
    apt(&["webkit2gtk-driver", "xvfb", "xauth"], "the tests run in WebKit too").context(
        "WebKitGTK's MiniBrowser and WebKitWebDriver, and xvfb-run, are needed: on PATH, or named by \
         WEBKIT_BROWSER and WEBKIT_DRIVER",
    )?;
    find().context("WebKitGTK was installed but its MiniBrowser is not where it is looked for")
}

/// The library's own small browser, which is not on PATH.
fn mini_browser() -> Option<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    libraries.map(|library| library.join("webkit2gtk-4.1/MiniBrowser")).find(|path| path.exists())
}

fn named(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}
