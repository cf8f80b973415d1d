//! What a response costs in CPU time.

use super::{bars, of_how_many, table};
use crate::report::View;
use crate::report::cells::Row;
use crate::report::chart::{BarRow, Bars};
use crate::report::page::Figure;
use crate::report::text::{digits, duration};

/// One kind of time: the class of its part of a bar, its name, how to read it off a cell.
struct Part {
    class: &'static str,
    name: &'static str,
    us: fn(&Row<'_>) -> f64,
}

/// By what the CPUs did: user, system, soft interrupts.
pub(super) fn by_kind(view: &View<'_>) -> Option<Figure> {
    let cost = |row: &Row<'_>| row.of.figures.cost.clone();
    if !view.rows.iter().any(|row| cost(row).is_some()) {
        return None;
    }
    let parts = [
        Part {
            class: "k-user",
            name: "user",
            us: |row| row.of.figures.cost.as_ref().map_or(0.0, |cost| cost.user_us),
        },
        Part {
            class: "k-system hatch-1",
            name: "system",
            us: |row| row.of.figures.cost.as_ref().map_or(0.0, |cost| cost.system_us),
        },
        Part {
            class: "k-softirq hatch-2",
            name: "interrupts",
            us: |row| row.of.figures.cost.as_ref().map_or(0.0, |cost| cost.softirq_us),
        },
    ];
    let all = || view.rows.iter().collect();
    let rows = bars(all()).into_iter().filter(|row| row.of.figures.cost.is_some());
    let mut figure = stacked("cost-kind", "CPU time per request, by kind", &parts, rows.collect());
    figure.caption = format!(
        "A shorter bar is better. It is the time of all CPUs, the client's included, and a core \
         that polls is busy all the time: polling shows as user time.{}",
        of_how_many(figure.table.rows.len(), view.rows.len())
    );
    Some(figure)
}

/// By who used the CPUs: the server, the client, all else.
pub(super) fn by_process(view: &View<'_>) -> Option<Figure> {
    // CPU seconds per million responses are microseconds per response.
    let parts = [
        Part {
            class: "k-server",
            name: "server",
            us: |row| row.of.figures.cpu_s_per_million.server,
        },
        Part {
            class: "k-client hatch-1",
            name: "client",
            us: |row| row.of.figures.cpu_s_per_million.client,
        },
        Part {
            class: "k-rest hatch-2",
            name: "all else",
            us: |row| row.of.figures.cpu_s_per_million.rest,
        },
    ];
    let rows: Vec<&Row<'_>> = bars(view.rows.iter().collect());
    if rows.is_empty() {
        return None;
    }
    let mut figure = stacked("cost-process", "CPU time per request, by process", &parts, rows);
    figure.caption = format!(
        "Who used the CPUs. All else is mostly the kernel's soft interrupts; over veth those run \
         on the sender's core, whoever the packet is for.{}",
        of_how_many(figure.table.rows.len(), view.rows.len())
    );
    Some(figure)
}

fn stacked(id: &str, title: &str, parts: &[Part], rows: Vec<&Row<'_>>) -> Figure {
    let sum = |row: &Row<'_>| parts.iter().map(|part| (part.us)(row)).sum::<f64>();
    let bar = |row: &&Row<'_>| BarRow {
        label: row.label.clone(),
        look: row.look.clone(),
        from: None,
        parts: parts.iter().map(|part| (part.class, (part.us)(row))).collect(),
        interval: None,
        text: duration(sum(row)),
    };
    let described = rows.iter().map(|row| format!("{} {}", row.label, duration(sum(row))));
    let svg = Bars {
        id,
        title,
        description: &described.collect::<Vec<_>>().join(", "),
        axis: "CPU time per request, microseconds",
        format: digits,
        reference: None,
        logarithmic: false,
        legend: parts.iter().map(|part| (part.class, part.name)).collect(),
        rows: rows.iter().map(bar).collect(),
    };
    let mut headings = vec!["server"];
    headings.extend(parts.iter().map(|part| part.name));
    headings.push("sum");
    let data = rows.iter().map(|row| {
        let times = parts.iter().map(|part| (part.us)(row)).chain([sum(row)]);
        [row.label.clone()].into_iter().chain(times.map(duration)).collect()
    });
    Figure {
        id: id.to_owned(),
        heading: title.to_owned(),
        caption: String::new(),
        svg: svg.draw(),
        table: table(&headings, data),
    }
}
