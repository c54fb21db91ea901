//! A browser, in which the tests use the page: Debian's Chromium, which playwright-core drives.

use std::env;
use std::path::Path;

use crate::debian;
use crate::step::{Failure, Outcome};

/// Where it is looked for, as in tests/harness/page.mjs; CHROMIUM names another one.
const PLACES: [&str; 2] = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];

/// Installs it where it is missing.
pub(crate) fn ready() -> Outcome {
    if !is_there() {
        debian::install(&["chromium"], "for the tests of the page").map_err(|_| cannot())?;
    }
    if is_there() { Ok(()) } else { Err(cannot()) }
}

fn is_there() -> bool {
    let named = env::var_os("CHROMIUM").filter(|path| !path.is_empty());
    let named = named.is_some_and(|path| Path::new(&path).exists());
    named || PLACES.iter().any(|path| Path::new(path).exists())
}

fn cannot() -> Failure {
    let reason = "Chromium is missing, and it could not be installed. Either\n\
                  - on Debian: apt-get install chromium\n\
                  - elsewhere: name its program in the variable CHROMIUM\n\
                  and then run this again. Only the tests of the page need it:\n\
                  `cargo test -p splitway-local` does without.";
    Failure::new("setup: Chromium", reason)
}
