//! `showdown report`: a results folder as a page, for a forge, and for a spreadsheet.
//!
//! ```text
//! folder ──► cells ──► answer, pictures ──► page, markdown, tables ──► files
//! (verified)           (chart)              (templates)
//! ```
//!
//! Everything is computed from the folder, so that the same folder gives the same bytes: nothing
//! here asks for the time, and nothing is kept in an order that changes.
//!
//! What it deliberately does not do: measure, or compute statistics; medians and intervals are
//! those of `summary.json`.

mod answer;
mod banner;
mod cells;
mod chart;
mod environment;
mod headline;
mod markdown;
mod page;
mod pictures;
mod side_by_side;
mod tables;
mod text;

use crate::stored::{self, Run};
use anyhow::{Context, Result, bail, ensure};
use cells::Row;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where results are unless it is said otherwise.
const RESULTS: &str = "results";
/// The page.
const PAGE: &str = "report.html";

/// Makes a report of results folders
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Results folders [default: the newest in results/]; several are put side by side
    #[arg(value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Write nothing; fail where a report is not what its folder gives now
    #[arg(long)]
    check: bool,
    /// Where the page of several folders is written; one folder's report lies in that folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Put the headline tables of all folders in this one into its README.md, and the headline
    /// picture into the README.md beside it
    #[arg(long, value_name = "RESULTS", conflicts_with_all = ["folders", "out"])]
    readme: Option<PathBuf>,
}

/// A run with what every part of a report needs.
struct View<'a> {
    run: &'a Run,
    rows: Vec<Row<'a>>,
    floors: Vec<Row<'a>>,
}

/// A file of a report.
struct File {
    name: &'static str,
    text: String,
}

/// Writes or checks a report; what is to be printed, and the exit code.
///
/// # Errors
/// A sentence where a folder was changed or is not understood, or a file cannot be written.
pub(crate) fn run(arguments: &Arguments) -> Result<(String, ExitCode)> {
    if let Some(results) = &arguments.readme {
        return finish(&headline::files(results)?, results, "README.md", arguments.check);
    }
    let folders = match arguments.folders.as_slice() {
        [] => vec![stored::newest(Path::new(RESULTS))?],
        folders => folders.to_vec(),
    };
    if let [folder] = folders.as_slice() {
        let out = arguments.out.as_ref().unwrap_or(folder);
        return finish(&of_one(folder)?, out, PAGE, arguments.check);
    }
    let Some(out) = &arguments.out else {
        if arguments.check {
            return check_each(&folders);
        }
        bail!("several folders are put on one page: say where with --out DIR");
    };
    let runs: Vec<Run> = folders.iter().map(|folder| Run::read(folder)).collect::<Result<_>>()?;
    finish(&side_by_side::files(&runs)?, out, PAGE, arguments.check)
}

/// Writes the report of a folder into it, and says where the page is.
///
/// # Errors
/// As [`run`].
pub(crate) fn write_into(folder: &Path) -> Result<PathBuf> {
    write(&of_one(folder)?, folder)?;
    Ok(folder.join(PAGE))
}

/// With `--check` several folders are several reports.
fn check_each(folders: &[PathBuf]) -> Result<(String, ExitCode)> {
    let mut text = String::new();
    let mut code = ExitCode::SUCCESS;
    for folder in folders {
        let (said, of_folder) = finish(&of_one(folder)?, folder, PAGE, true)?;
        text.push_str(&said);
        if of_folder != ExitCode::SUCCESS {
            code = of_folder;
        }
    }
    Ok((text, code))
}

fn of_one(folder: &Path) -> Result<Vec<File>> {
    let run = Run::read(folder)?;
    let (rows, floors) =
        cells::rows(&run).with_context(|| format!("{} cannot be reported", folder.display()))?;
    let view = View { run: &run, rows, floors };
    let mut files = vec![
        File { name: PAGE, text: page::render(&view)? },
        File { name: "report.md", text: markdown::render(&view) },
    ];
    files.extend(tables::files(&view)?);
    Ok(files)
}

fn finish(files: &[File], folder: &Path, shown: &str, check: bool) -> Result<(String, ExitCode)> {
    if !check {
        write(files, folder)?;
        return Ok((format!("{}\n", folder.join(shown).display()), ExitCode::SUCCESS));
    }
    let differ = differing(files, folder)?;
    if differ.is_empty() {
        let text = format!("{}: as it is generated\n", folder.display());
        return Ok((text, ExitCode::SUCCESS));
    }
    Ok((differ.concat(), ExitCode::FAILURE))
}

/// A line for each file that is not what it would be if it were generated now.
fn differing(files: &[File], folder: &Path) -> Result<Vec<String>> {
    let mut differ = Vec::new();
    for File { name, text } in files {
        let path = folder.join(name);
        let what = match fs::read(&path) {
            Ok(bytes) if bytes == text.as_bytes() => continue,
            Ok(_) => "differs from what is generated",
            Err(error) if error.kind() == ErrorKind::NotFound => "is missing",
            Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
        };
        differ.push(format!("{}: {what}; cure: generate it again\n", path.display()));
    }
    Ok(differ)
}

fn write(files: &[File], folder: &Path) -> Result<()> {
    ensure!(
        !folder.exists() || folder.is_dir(),
        "{} is not a folder: give one with --out DIR",
        folder.display()
    );
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for File { name, text } in files {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}
