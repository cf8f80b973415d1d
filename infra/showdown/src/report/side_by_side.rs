//! Several runs on one page: the same cells beside each other, and what differs around them.

use super::cells::{self, Row};
use super::chart::{BarRow, Bars};
use super::environment;
use super::page::{Figure, Table, fill};
use super::text::si;
use super::{File, PAGE, View, answer, markdown};
use crate::stored::Run;
use anyhow::{Result, ensure};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Runs on one page.
const RUNS_MAX: usize = 8;
/// Bars of the picture.
const BARS_MAX: usize = 80;

#[derive(Serialize)]
struct Page {
    runs: Table,
    answers: Vec<(String, String)>,
    throughput: Table,
    ratios: Table,
    differences: Table,
    figures: Vec<Figure>,
}

/// The page and its text.
///
/// # Errors
/// Where there are too many runs, or one cannot be reported.
pub(super) fn files(runs: &[Run]) -> Result<Vec<File>> {
    ensure!(
        runs.len() <= RUNS_MAX,
        "{} folders do not fit on one page: give {RUNS_MAX} at most",
        runs.len()
    );
    let mut views = Vec::with_capacity(runs.len());
    for run in runs {
        let (rows, floors) = cells::rows(run)?;
        views.push(View { run, rows, floors });
    }
    let page = Page {
        runs: runs_table(&views),
        answers: views.iter().map(answer_of).collect(),
        throughput: by_label(&views, |row| {
            answer::with_interval(&row.of.figures.throughput_rps, si)
        }),
        ratios: by_label(&views, |row| {
            answer::with_interval(&row.of.figures.ratio_to_baseline, super::text::digits)
        }),
        differences: differences(&views)?,
        figures: picture(&views).into_iter().collect(),
    };
    let mut text = "# Runs side by side\n\n".to_owned();
    for (name, answer) in &page.answers {
        text.push_str(&format!("* {}: {}\n", markdown::plain(name), markdown::plain(answer)));
    }
    for (heading, table) in [
        ("Requests per second", &page.throughput),
        ("Ratios to each run's baseline", &page.ratios),
        ("What differs around them", &page.differences),
    ] {
        text.push_str(&format!("\n## {heading}\n\n{}", markdown::table(table)));
    }
    let html = fill("side_by_side.html", &page)?;
    Ok(vec![File { name: PAGE, text: html }, File { name: "report.md", text }])
}

fn answer_of(view: &View<'_>) -> (String, String) {
    (view.run.name.clone(), answer::answer(view).sentence)
}

fn names(views: &[View<'_>]) -> impl Iterator<Item = String> {
    views.iter().map(|view| view.run.name.clone())
}

fn runs_table(views: &[View<'_>]) -> Table {
    let row = |view: &View<'_>| {
        let summary = &view.run.summary;
        let environment = &summary.environment;
        vec![
            view.run.name.clone(),
            summary.experiment.clone(),
            summary.baseline.clone(),
            format!("{} of {}", summary.rounds.used.len(), summary.rounds.wanted),
            environment.kernel_release.clone(),
            environment.cpu_model.clone().unwrap_or_default(),
        ]
    };
    let headings = ["run", "experiment", "baseline", "rounds used", "kernel", "processor"];
    Table { headings: headings.map(str::to_owned).to_vec(), rows: views.iter().map(row).collect() }
}

/// Labels in the order in which the runs have them.
fn labels<'a>(views: &'a [View<'_>]) -> Vec<&'a str> {
    let mut labels: Vec<&str> = Vec::new();
    for row in views.iter().flat_map(|view| &view.rows) {
        if !labels.contains(&row.label.as_str()) {
            labels.push(&row.label);
        }
    }
    labels
}

fn by_label(views: &[View<'_>], figure: fn(&Row<'_>) -> String) -> Table {
    let headings = ["server".to_owned()].into_iter().chain(names(views)).collect();
    let row = |label: &str| {
        let figures = views.iter().map(|view| {
            let row = view.rows.iter().find(|row| row.label == label);
            row.map_or_else(|| "–".to_owned(), figure)
        });
        [label.to_owned()].into_iter().chain(figures).collect()
    };
    Table { headings, rows: labels(views).into_iter().map(row).collect() }
}

fn picture(views: &[View<'_>]) -> Option<Figure> {
    let mut rows = Vec::new();
    for label in labels(views) {
        for (number, view) in (1..).zip(views) {
            let Some(row) = view.rows.iter().find(|row| row.label == label) else { continue };
            let throughput = row.of.figures.throughput_rps;
            rows.push(BarRow {
                label: format!("{label} · run {number}"),
                look: row.look.clone(),
                from: None,
                parts: vec![(
                    if number == 1 { "solid" } else { "solid hatch-1" },
                    throughput.median,
                )],
                interval: Some(throughput.ci95),
                text: answer::with_interval(&throughput, si),
            });
        }
    }
    if rows.is_empty() || rows.len() > BARS_MAX {
        return None;
    }
    let table = by_label(views, |row| answer::with_interval(&row.of.figures.throughput_rps, si));
    let svg = Bars {
        id: "side-by-side",
        title: "Requests per second of each server in each run",
        description: &format!("{} bars; the table below has their values", rows.len()),
        axis: "requests per second",
        format: si,
        reference: None,
        logarithmic: false,
        legend: Vec::new(),
        rows,
    };
    Some(Figure {
        id: "side-by-side".to_owned(),
        heading: "Throughput, run beside run".to_owned(),
        caption: "Runs are numbered as in the table above; the first is filled, the others are \
                  hatched. Between runs the machine may have changed: 'showdown compare' says \
                  whether a difference is more than that."
            .to_owned(),
        svg: svg.draw(),
        table,
    })
}

/// Every value of the environments that is not the same in all of them.
fn differences(views: &[View<'_>]) -> Result<Table> {
    let environments: Vec<BTreeMap<String, String>> = views
        .iter()
        .map(|view| environment::flat(&view.run.summary.environment))
        .collect::<Result<_>>()?;
    let keys: BTreeSet<&String> = environments.iter().flat_map(BTreeMap::keys).collect();
    let mut rows = Vec::new();
    for key in keys {
        let values: Vec<String> = environments
            .iter()
            .map(|environment| environment.get(key).cloned().unwrap_or_else(|| "–".to_owned()))
            .collect();
        if values.iter().any(|value| *value != values[0]) {
            rows.push([key.clone()].into_iter().chain(values).collect());
        }
    }
    let headings = ["setting".to_owned()].into_iter().chain(names(views)).collect();
    Ok(Table { headings, rows })
}
