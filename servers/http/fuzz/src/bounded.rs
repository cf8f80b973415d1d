//! A bounded campaign, for a test: the corpus, and so many inputs from a fixed seed.

use crate::engine::{Campaign, Find, Progress, Target, read_corpus};
use crate::targets::corpus_folder;
use std::path::Path;

/// Checks the corpus of `target`, and then `runs` inputs made from it with `seed`.
///
/// # Errors
/// A text for people about the first input that fails: the oracle, the input, reduced, and the
/// command that checks it again. The input is written into `folder` for that.
pub fn check(target: &dyn Target, runs: u64, seed: u64, folder: &Path) -> Result<Progress, String> {
    let corpus = read_corpus(&corpus_folder(target)).map_err(|error| format!("{error:#}"))?;
    let mut campaign = Campaign::new(target, seed);
    let result = campaign.begin(&corpus).and_then(|()| campaign.run(runs));
    result.map(|()| campaign.progress()).map_err(|find| text(target, &find, folder))
}

fn text(target: &dyn Target, find: &Find, folder: &Path) -> String {
    let file = folder.join(&find.name);
    let replay = match std::fs::write(&file, &find.input) {
        Ok(()) => format!("cargo xtask fuzz {} --replay {}", target.name(), file.display()),
        Err(error) => format!("none, {} cannot be written: {error}", file.display()),
    };
    format!(
        "{} does not hold for {} ({} bytes)\n  found:  {}\n  input:  b\"{}\"\n  replay: {replay}",
        find.failure.oracle,
        find.name,
        find.input.len(),
        find.failure.what,
        find.input.escape_ascii(),
    )
}
