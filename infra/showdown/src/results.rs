//! A results folder: written under a temporary name, hashed, renamed, never touched again.

use crate::programs::sha256_hex;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The list of a folder's files with their SHA-256, as `sha256sum` writes and checks it.
pub(crate) const MANIFEST: &str = "MANIFEST.sha256";

/// A folder that is being filled. Dropping it before [`Folder::finish`] removes it.
pub(crate) struct Folder {
    partial: PathBuf,
    finished: PathBuf,
    rounds: File,
    done: bool,
}

impl Folder {
    /// Makes the folder that will be called `name` in `out`.
    ///
    /// # Errors
    /// Where it cannot be written, or where one of that name exists.
    pub(crate) fn create(out: &Path, name: &str) -> Result<Self> {
        let finished = out.join(name);
        ensure!(
            !finished.exists(),
            "{} exists: a results folder is never written twice; start again",
            finished.display()
        );
        let partial = out.join(format!(".{name}.partial"));
        let cannot = || format!("{} cannot be written", partial.display());
        fs::create_dir_all(&partial).with_context(cannot)?;
        let rounds = File::create(partial.join("rounds.jsonl")).with_context(cannot)?;
        Ok(Self { partial, finished, rounds, done: false })
    }

    /// The folder while it is being filled.
    pub(crate) fn path(&self) -> &Path {
        &self.partial
    }

    /// Adds a line to `rounds.jsonl`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn append_round(&mut self, measurement: &record::Measurement) -> Result<()> {
        let mut line = serde_json::to_vec(measurement)?;
        line.push(b'\n');
        self.rounds.write_all(&line).context("rounds.jsonl cannot be written")
    }

    /// Adds a line to `failures.jsonl`, which begins to be with its first.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn append_failure(&self, failure: &record::Failure) -> Result<()> {
        let mut line = serde_json::to_vec(failure)?;
        line.push(b'\n');
        let path = self.partial.join("failures.jsonl");
        let file = File::options().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(&line)).context("failures.jsonl cannot be written")
    }

    /// Writes a value as indented JSON.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_string_pretty(value)?;
        text.push('\n');
        self.write(name, &text)
    }

    /// Writes a text.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.partial.join(name), text)
            .with_context(|| format!("{name} cannot be written"))
    }

    /// Writes the manifest and gives the folder its name.
    ///
    /// # Errors
    /// Where it cannot be written or renamed.
    pub(crate) fn finish(mut self) -> Result<PathBuf> {
        let mut names = files(&self.partial, "")?;
        names.sort();
        let mut manifest = String::new();
        for name in names {
            let sha256 = sha256_hex(&self.partial.join(&name))?;
            manifest.push_str(&format!("{sha256}  {name}\n"));
        }
        self.write(MANIFEST, &manifest)?;
        fs::rename(&self.partial, &self.finished)
            .with_context(|| format!("{} cannot be named", self.finished.display()))?;
        self.done = true;
        Ok(self.finished.clone())
    }
}

/// Names of the files of a folder, and of those in the folders in it, `folder/file`.
fn files(folder: &Path, prefix: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a file's name is not UTF-8")?;
        let name = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            names.extend(files(&entry.path(), &format!("{name}/"))?);
        } else {
            names.push(name);
        }
    }
    Ok(names)
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.done
            && let Err(error) = fs::remove_dir_all(&self.partial)
        {
            eprintln!("showdown: {} cannot be removed: {error}", self.partial.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("showdown-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_finished_folder_has_its_name_and_a_manifest() {
        let out = scratch("finish");
        let folder = Folder::create(&out, "run").unwrap();
        folder.write("table.txt", "abc").unwrap();
        let path = folder.finish().unwrap();
        assert_eq!(path, out.join("run"));
        let manifest = fs::read_to_string(path.join(MANIFEST)).unwrap();
        // SHA-256 of nothing and of "abc" (FIPS 180-2, appendix B.1).
        assert_eq!(
            manifest,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  rounds.jsonl\n\
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  table.txt\n"
        );
        assert!(Folder::create(&out, "run").is_err(), "a finished folder is not written again");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
        fs::remove_dir_all(&out).unwrap();
    }

    #[test]
    fn files_of_inner_folders_are_in_the_manifest() {
        let out = scratch("inner");
        let folder = Folder::create(&out, "run").unwrap();
        fs::create_dir(folder.path().join("profile")).unwrap();
        folder.write("profile/x.svg", "abc").unwrap();
        let manifest = fs::read_to_string(folder.finish().unwrap().join(MANIFEST)).unwrap();
        assert!(manifest.contains("15ad  profile/x.svg\n"), "{manifest}");
        fs::remove_dir_all(&out).unwrap();
    }

    #[test]
    fn an_unfinished_folder_leaves_nothing() {
        let out = scratch("unfinished");
        let folder = Folder::create(&out, "run").unwrap();
        folder.write("table.txt", "abc").unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        fs::remove_dir_all(&out).unwrap();
    }
}
