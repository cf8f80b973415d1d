//! The page: what goes into the template, and the template.

use super::View;
use super::answer::{self, is_own_baseline, with_interval};
use super::cells::Row;
use super::environment::{self, Fact};
use super::pictures;
use super::text::{bytes, digits, duration, float, percent, si, thousands};
use anyhow::{Context, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment as Templates, UndefinedBehavior};
use record::{Cost, Figures, Summary, Verdict};
use serde::Serialize;

/// A table of words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Table {
    pub(super) headings: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// A picture and what belongs to it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    /// Its own on the page.
    pub(super) id: String,
    pub(super) heading: String,
    /// What to see.
    pub(super) caption: String,
    pub(super) svg: String,
    /// The same in words.
    pub(super) table: Table,
}

/// A remark, and whether it is a warning.
#[derive(Serialize)]
struct Note {
    text: String,
    warns: bool,
}

/// What was started for a cell.
#[derive(Serialize)]
struct Commands {
    label: String,
    server: String,
    client: String,
    /// The ready line: the mode that was really obtained.
    obtained: String,
}

/// Everything on the page of one run.
#[derive(Serialize)]
struct Page<'a> {
    name: &'a str,
    summary: &'a Summary,
    answer: String,
    limits: Vec<String>,
    verdict: String,
    facts: Vec<Fact>,
    headline: Table,
    /// The colour of each of its rows.
    classes: Vec<String>,
    figures: Vec<Figure>,
    costs: Option<Table>,
    unavailable: Vec<String>,
    disturbed: Table,
    notes: Vec<Note>,
    conformance: Table,
    environment: Vec<Fact>,
    knobs: Vec<(String, Table)>,
    reproduce: Vec<String>,
    commands: Vec<Commands>,
    topology: Option<&'a str>,
    files: Vec<&'a str>,
}

/// Renders the page of one run.
///
/// # Errors
/// Where the template is wrong.
pub(super) fn render(view: &View<'_>) -> Result<String> {
    let summary = &view.run.summary;
    let answer = answer::answer(view);
    let all = || view.rows.iter().chain(&view.floors);
    let page = Page {
        name: &view.run.name,
        summary,
        answer: answer.sentence,
        limits: answer.limits,
        verdict: answer.verdict,
        facts: facts(view),
        headline: headline(view),
        classes: all().map(|row| row.look.class.clone()).collect(),
        figures: pictures::all(view),
        costs: costs(view),
        unavailable: unavailable(view),
        disturbed: disturbed(summary),
        notes: summary.notes.iter().map(|text| note(text)).collect(),
        conformance: conformance(&summary.conformance),
        environment: environment::facts(&summary.environment),
        knobs: environment::knobs(&summary.environment),
        reproduce: reproduce(view),
        commands: all().filter_map(commands).collect(),
        topology: view.run.topology.as_deref(),
        files: view.run.files.iter().map(String::as_str).collect(),
    };
    fill("page.html", &page)
}

/// Puts values into one of the templates; whatever is put in is escaped, except for pictures.
///
/// # Errors
/// Where the template is wrong.
pub(super) fn fill(template: &str, values: &impl Serialize) -> Result<String> {
    let mut templates = Templates::new();
    // A name that is not there is a mistake, not an empty string.
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()?;
    templates.set_syntax(syntax);
    for (name, text) in [
        ("base.html", include_str!("templates/base.html")),
        ("macros.html", include_str!("templates/macros.html")),
        ("page.html", include_str!("templates/page.html")),
        ("side_by_side.html", include_str!("templates/side_by_side.html")),
        ("patterns.svg", include_str!("templates/patterns.svg")),
        ("picture.css", include_str!("templates/picture.css")),
        ("picture.svg", include_str!("templates/picture.svg")),
        ("style.css", include_str!("templates/style.css")),
    ] {
        templates.add_template(name, text).context(name)?;
    }
    Ok(templates.get_template(template)?.render(Serde(values))?)
}

/// How it was measured.
pub(super) fn facts(view: &View<'_>) -> Vec<Fact> {
    let Summary { rounds, started_utc, finished_utc, environment, .. } = &view.run.summary;
    let loads = || view.run.measurements.iter().map(|of| &of.load.setup);
    let most_s = loads().map(|setup| setup.warmup_s).fold(0.0, f64::max);
    let each = loads().next().map_or_else(String::new, |setup| {
        let least_s = loads().map(|setup| setup.warmup_s).fold(most_s, f64::min);
        // With many connections, opening them is a part of it.
        let to = if least_s < most_s { format!(" to {most_s}") } else { String::new() };
        format!(" of {} s after {least_s}{to} s of warm-up", setup.duration_s)
    });
    let mut facts = vec![
        ("rounds used", format!("{} of {} wanted{each}", rounds.used.len(), rounds.wanted)),
        ("measured", format!("{started_utc} to {finished_utc}")),
    ];
    if let Some(stop) = &rounds.stop {
        facts.push(("stopped", stop.reason.clone()));
    }
    facts.push(("seed of the order", rounds.seed.to_string()));
    let machine = environment.cpu_model.as_deref().unwrap_or("unknown processor");
    facts.push(("machine", format!("{machine}, Linux {}", environment.kernel_release)));
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The table of every cell, and of the floors.
pub(super) fn headline(view: &View<'_>) -> Table {
    let has_floor = view.rows.iter().any(|row| row.of.figures.share_of_floor.is_some());
    let has_cores = view.rows.iter().any(|row| row.of.figures.cost.is_some());
    let ratio = format!("× {} (95 % interval)", view.run.summary.baseline);
    let mut headings = vec![
        "server",
        "waits",
        "requests/s (95 % interval)",
        &ratio,
        "p50",
        "p99",
        "p99.9",
        "errors",
        "CPU per request: server",
        "CPU: client",
        "CPU: all else",
    ];
    headings.extend(has_cores.then_some("cores busy"));
    headings.extend(has_floor.then_some("share of floor"));
    let rows = view.rows.iter().map(|row| cells_of(row, false, has_cores, has_floor));
    let floors = view.floors.iter().map(|row| cells_of(row, true, has_cores, has_floor));
    Table {
        headings: headings.into_iter().map(str::to_owned).collect(),
        rows: rows.chain(floors).collect(),
    }
}

const NONE: &str = "–";

fn cells_of(row: &Row<'_>, is_floor: bool, has_cores: bool, has_floor: bool) -> Vec<String> {
    let Figures { throughput_rps, latency_us, cpu_s_per_million, ratio_to_baseline, .. } =
        &row.of.figures;
    let ratio = match row {
        _ if is_floor => NONE.to_owned(),
        row if is_own_baseline(row) => "1".to_owned(),
        _ => with_interval(ratio_to_baseline, digits),
    };
    let mut cells = vec![
        row.label.clone(),
        // Much of what is credited to bypass is not sleeping: it is shown who spins.
        row.of.obtained["wait"].as_str().unwrap_or(NONE).to_owned(),
        with_interval(throughput_rps, si),
        ratio,
        duration(latency_us.p50),
        duration(latency_us.p99),
        duration(latency_us.p99_9),
        thousands(float(row.of.figures.errors)),
        duration(cpu_s_per_million.server),
        duration(cpu_s_per_million.client),
        duration(cpu_s_per_million.rest),
    ];
    if has_cores {
        let cost = row.of.figures.cost.as_ref();
        cells.push(cost.map_or_else(|| NONE.to_owned(), |cost| digits(cost.cores_busy)));
    }
    if has_floor {
        let share = row.of.figures.share_of_floor;
        cells.push(share.map_or_else(|| NONE.to_owned(), |share| percent(share.median)));
    }
    cells
}

/// A column of the table of costs: its heading and how to read it.
type Column = (&'static str, fn(&Cost) -> Option<String>);

/// What a request cost beside CPU time. Columns that no server has are left out.
fn costs(view: &View<'_>) -> Option<Table> {
    const COLUMNS: [Column; 18] = [
        ("cores busy", |cost| Some(digits(cost.cores_busy))),
        ("idle polls", |cost| cost.idle_poll_share.map(percent)),
        ("interrupts", |cost| cost.interrupts.map(digits)),
        ("server: syscalls", |cost| cost.server.syscalls.map(digits)),
        ("context switches", |cost| cost.server.context_switches.map(digits)),
        ("page faults", |cost| cost.server.page_faults.map(digits)),
        ("cycles", |cost| cost.server.cycles.map(digits)),
        ("instructions", |cost| cost.server.instructions.map(digits)),
        ("LLC misses", |cost| cost.server.llc_misses.map(digits)),
        ("client: syscalls", |cost| cost.client.syscalls.map(digits)),
        ("client: context switches", |cost| cost.client.context_switches.map(digits)),
        ("client: page faults", |cost| cost.client.page_faults.map(digits)),
        ("client: cycles", |cost| cost.client.cycles.map(digits)),
        ("client: instructions", |cost| cost.client.instructions.map(digits)),
        ("client: LLC misses", |cost| cost.client.llc_misses.map(digits)),
        ("memory", |cost| cost.rss_bytes.map(|rss| bytes(float(rss)))),
        ("memory per connection", |cost| cost.bytes_per_connection.map(bytes)),
        ("CPU time", |cost| Some(duration(cost.user_us + cost.system_us + cost.softirq_us))),
    ];
    let rows: Vec<(&Row<'_>, &Cost)> =
        view.rows.iter().filter_map(|row| Some((row, row.of.figures.cost.as_ref()?))).collect();
    let has_values = |(_, read): &&Column| rows.iter().any(|(_, cost)| read(cost).is_some());
    let columns: Vec<&Column> = COLUMNS.iter().filter(has_values).collect();
    if rows.is_empty() {
        return None;
    }
    let headings = columns.iter().map(|(heading, _)| (*heading).to_owned());
    let cells = rows.iter().map(|(row, cost)| {
        let values = columns.iter().map(|(_, read)| read(cost).unwrap_or_else(|| NONE.to_owned()));
        [row.label.clone()].into_iter().chain(values).collect()
    });
    Some(Table {
        headings: ["server".to_owned()].into_iter().chain(headings).collect(),
        rows: cells.collect(),
    })
}

/// What could not be counted, each reason once.
fn unavailable(view: &View<'_>) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for cost in view.rows.iter().filter_map(|row| row.of.figures.cost.as_ref()) {
        for reason in &cost.unavailable {
            if !reasons.contains(reason) {
                reasons.push(reason.clone());
            }
        }
    }
    reasons
}

fn disturbed(summary: &Summary) -> Table {
    let rows = summary.rounds.disturbed.iter().map(|round| {
        let mut why: Vec<String> = round
            .reasons
            .iter()
            .map(|reason| format!("{} ({}): {}", reason.rule, reason.cell, reason.evidence))
            .collect();
        if why.is_empty() {
            why.push("steal".to_owned());
        }
        let fate = if round.used { "used, for want of better ones" } else { "dropped" };
        vec![round.round.to_string(), fate.to_owned(), percent(round.steal_share), why.join("; ")]
    });
    let headings = ["round", "what became of it", "taken by the hypervisor", "why"];
    Table { headings: headings.map(str::to_owned).to_vec(), rows: rows.collect() }
}

/// Notes that begin with a word in capitals, and those that call the client the limit, warn.
fn note(text: &str) -> Note {
    let first = text.split([' ', ':']).next().unwrap_or_default();
    let shouts = first.chars().count() > 2 && first.chars().all(char::is_uppercase);
    let limit = text.contains("capable of more") || text.contains("itself the limit");
    Note { text: text.to_owned(), warns: shouts || limit }
}

fn conformance(verdicts: &[Verdict]) -> Table {
    let rows = verdicts.iter().map(|verdict| {
        let Verdict { passed, failed, excepted, failures, .. } = verdict;
        let parts = [Some(&verdict.mode), verdict.tcp.as_ref(), verdict.wait.as_ref()];
        let parts: Vec<&str> = parts
            .into_iter()
            .chain([verdict.link.as_ref()])
            .flatten()
            .map(String::as_str)
            .collect();
        let what = if *failed == 0 { "conforms" } else { "FAILED: no figures are shown" };
        vec![
            parts.join(" "),
            what.to_owned(),
            passed.to_string(),
            excepted.to_string(),
            failed.to_string(),
            failures.first().cloned().unwrap_or_default(),
        ]
    });
    let headings =
        ["server", "verdict", "as it should be", "listed exceptions", "wrong", "first failure"];
    Table { headings: headings.map(str::to_owned).to_vec(), rows: rows.collect() }
}

fn reproduce(view: &View<'_>) -> Vec<String> {
    let name = &view.run.name;
    vec![
        shell(&view.run.summary.environment.command_line),
        format!("showdown run results/{name}/experiment.toml"),
        format!("showdown report --check results/{name}"),
    ]
}

fn commands(row: &Row<'_>) -> Option<Commands> {
    let first = row.all.first()?;
    Some(Commands {
        label: row.label.clone(),
        server: shell(&first.server.command),
        client: shell(&first.client.command),
        obtained: row.of.obtained.to_string(),
    })
}

/// A command line that a shell takes as it is.
fn shell(words: &[String]) -> String {
    let plain = |word: &str| {
        let harmless = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
        !word.is_empty() && word.chars().all(harmless)
    };
    let quoted = words.iter().map(|word| match word.as_str() {
        word if plain(word) => word.to_owned(),
        word => format!("'{}'", word.replace('\'', r"'\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_quoted_for_a_shell() {
        let words = ["sh", "-c", "it's; done", ""].map(str::to_owned);
        assert_eq!(shell(&words), r"sh -c 'it'\''s; done' ''");
    }

    #[test]
    fn notes_that_shout_warn() {
        assert!(note("ERRORS with xdp: see there.").warns);
        assert!(note("The server may be capable of more than is shown.").warns);
        assert!(!note("A plain remark.").warns);
    }
}
