//! Tutti in the browser.
