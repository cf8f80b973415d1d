//! The headline picture: one picture of one run as a file of its own, and what stands around it in
//! the README of the project.

use super::page::{self, Figure};
use super::{View, answer, chart, markdown, pictures};
use crate::summarise::count_of;
use anyhow::{Context, Result};
use serde::Serialize;

/// Experiments that have the headline, the first that was committed; of one, its newest run.
const EXPERIMENTS: [&str; 3] = ["waterfall", "kernel-vs-bypass", "quick"];

/// Pictures that tell most of a run, the first that it has.
const PICTURES: [&str; 3] = ["waterfall", "ratio", "throughput"];

/// The file of the picture, beside the README of results.
pub(super) const FILE: &str = "headline.svg";

/// The run that has the headline; none where none of these experiments was committed. `views` are
/// in the order of their time.
pub(super) fn chosen<'a, 'b>(views: &'b [View<'a>]) -> Option<&'b View<'a>> {
    let newest = |name: &&str| views.iter().rev().find(|view| view.run.summary.experiment == *name);
    EXPERIMENTS.iter().find_map(newest)
}

/// The picture with its style, as a file that any viewer of images shows, light or dark.
///
/// # Errors
/// Where the run has nothing to draw, or the template is wrong.
pub(super) fn picture(view: &View<'_>) -> Result<String> {
    #[derive(Serialize)]
    struct Parts<'a> {
        head: &'a str,
        body: &'a str,
    }
    let Figure { svg, .. } = figure(view)?;
    let svg = svg.replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1);
    let (head, body) = svg.split_once("</desc>").context("a picture has a description")?;
    page::fill("picture.svg", &Parts { head, body })
}

fn figure(view: &View<'_>) -> Result<Figure> {
    let mut figures = pictures::all(view);
    let place = |id: &&str| figures.iter().position(|figure| figure.id == *id);
    let place = PICTURES.iter().find_map(place);
    let place = place.with_context(|| format!("{} has nothing to draw", view.run.name))?;
    Ok(figures.swap_remove(place))
}

/// The picture, the answer and where they come from, for a README that finds the results under
/// this path.
///
/// # Errors
/// As [`picture`].
pub(super) fn block(view: &View<'_>, results: &str) -> Result<String> {
    let figure = figure(view)?;
    let summary = &view.run.summary;
    let folder = format!("{results}{}", view.run.name);
    let answer = answer::answer(view);
    // The picture describes itself, escaped.
    let described = figure.svg.split_once("</desc>").and_then(|(head, _)| head.rsplit_once('>'));
    let (_, described) = described.context("a picture has a description")?;
    let mut text = format!(
        "\n[<img src=\"{results}{FILE}\" width=\"660\" alt=\"{}: {described}\">]\
         ({folder}/report.md)\n\n",
        chart::escape(&figure.heading)
    );
    for sentence in [&answer.sentence].into_iter().chain(&answer.limits) {
        // One to a line, as everywhere.
        text.push_str(&format!("{}\n", markdown::plain(sentence).replace(". ", ".\n")));
    }
    let day = summary.started_utc.get(..10).unwrap_or_default();
    let machine = summary.environment.cpu_model.as_deref().unwrap_or("an unknown processor");
    let virtually = if summary.environment.virtual_machine { ", a virtual machine" } else { "" };
    text.push_str(&format!(
        "Measured on {day} on {}{virtually}: experiment {}, {}; [all figures]({folder}/report.md), \
         [the page]({folder}/report.html), [what was measured]({folder}).\n",
        markdown::plain(machine),
        markdown::plain(&summary.experiment),
        count_of(summary.rounds.used.len(), "round"),
    ));
    Ok(text)
}
