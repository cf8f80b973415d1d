//! Applying a profile, and undoing it.

use super::journal::{Entry, Header, Journal, Place, Record};
use super::profile::{Profile, Setting, Step};
use super::target::Target;
use crate::machine::Machine;
use anyhow::{Context, Result, bail, ensure};

/// What was done, a sentence each.
pub(super) type Log = Vec<String>;

/// Applies a profile whole, or not at all: what was done before something fails is undone.
///
/// Where there is nothing to change, nothing is left to be undone, and the journal is removed.
///
/// # Errors
/// Where another is applied already, and where something that is not optional fails.
pub(super) fn apply(
    machine: &Machine,
    profile: &Profile,
    interface: Option<&str>,
    place: &Place,
) -> Result<Log> {
    if let Some(record) = place.read()? {
        let how = if record.is_complete { "is applied" } else { "was applied in part" };
        bail!("profile '{}' {how} already; cure: showdown tune revert", record.header.profile);
    }
    let header = Header::new(machine, &profile.name, interface);
    let mut log = Log::new();
    let mut journal = place.begin(machine, &header)?;
    let mut done = Ok(());
    for setting in &profile.settings {
        if let Err(error) = set(machine, &mut journal, setting, interface, &mut log) {
            if !setting.optional {
                done = Err(error);
                break;
            }
            log.push(format!("left out: {error:#}"));
        }
    }
    match done.and_then(|()| journal.complete()) {
        Ok(()) => {
            if place.read()?.is_none_or(|record| record.entries.is_empty()) {
                place.keep(&header, &[])?;
            }
            Ok(log)
        }
        Err(error) => {
            let undone = undo(machine, place, false)
                .context("and not all of it could be undone; cure: showdown tune revert --force");
            match undone {
                Ok(_) => Err(error.context("nothing was changed, for something failed")),
                Err(second) => Err(error.context(format!("{second:#}"))),
            }
        }
    }
}

/// Whether a setting is left out on this interface.
pub(super) fn is_left_out(machine: &Machine, setting: &Setting, interface: Option<&str>) -> bool {
    let on_a_bus = |name: &str| machine.exists(&format!("/sys/class/net/{name}/device"));
    setting.devices_only && !interface.is_some_and(on_a_bus)
}

/// Makes the changes of one setting. Where one of an optional setting fails, the others stay.
fn set(
    machine: &Machine,
    journal: &mut Journal<'_>,
    setting: &Setting,
    interface: Option<&str>,
    log: &mut Log,
) -> Result<()> {
    if is_left_out(machine, setting, interface) {
        let name = setting.name().replace("{interface}", interface.unwrap_or_default());
        log.push(format!("left out: {name}: the interface is no device on a bus"));
        return Ok(());
    }
    let mut failed = None;
    for step in setting.steps(machine, interface)? {
        match change(machine, journal, &step) {
            Ok(Some(line)) => log.push(line),
            Ok(None) => {}
            Err(error) if setting.optional => failed = Some(error),
            Err(error) => return Err(error),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Makes one change, noted before and after; `None` where all is as it is wanted.
fn change(machine: &Machine, journal: &mut Journal<'_>, step: &Step) -> Result<Option<String>> {
    let Step { target, wanted } = step;
    let before = target.read(machine);
    let before = before.with_context(|| format!("{target}: this machine has no such setting"))?;
    if target.is_in_force(&before, wanted) {
        return Ok(None);
    }
    ensure!(!Target::is_fixed(&before), "{target}: the driver fixes it as {before}");
    journal.note(target, &before, wanted)?;
    let obtained = target.write(machine, wanted).and_then(|()| {
        let now = target.read(machine).unwrap_or_default();
        // A driver may round a number; anything else is a refusal.
        let rounded =
            is_number(&now) && is_number(wanted) && matches!(target, Target::Ethtool { .. });
        ensure!(
            target.is_in_force(&now, wanted) || rounded,
            "{target}: '{wanted}' was asked for, '{now}' is what it became"
        );
        Ok(now)
    });
    match obtained {
        Ok(now) => {
            journal.obtained(&now)?;
            Ok(Some(format!("{target}: {before} -> {now}")))
        }
        Err(error) => {
            // An optional one is left behind as it was; the note of it does no harm.
            restore(machine, target, &before).context("it could not be undone")?;
            Err(error)
        }
    }
}

fn is_number(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// Gives a target its value of before, unless it has it.
fn restore(machine: &Machine, target: &Target, before: &str) -> Result<()> {
    let is_there = || target.read(machine).is_some_and(|now| target.is_same(&now, before));
    if is_there() {
        return Ok(());
    }
    target.write(machine, before)?;
    ensure!(is_there(), "{target}: '{before}' was written, and is not what it has now");
    Ok(())
}

/// What became of one entry.
enum Undone {
    /// It has its value of before; a line says so where it had not.
    Yes(Option<String>),
    /// It is left, for the reason in the line.
    No(String),
}

/// Undoes what the journal says, last first. Entries whose value somebody else has changed
/// meanwhile stay as they are, and in the journal, unless `force`.
///
/// # Errors
/// Names those that were left.
pub(super) fn undo(machine: &Machine, place: &Place, force: bool) -> Result<Log> {
    let Some(Record { header, entries, .. }) = place.read()? else {
        return Ok(vec!["nothing is applied".to_owned()]);
    };
    if header.is_of_another_boot(machine) {
        place.keep(&header, &[])?;
        let profile = header.profile;
        return Ok(vec![format!(
            "the machine was started anew since; of {profile} nothing is left"
        )]);
    }
    header.check_namespace(machine)?;
    let (mut log, mut left, mut why) = (Log::new(), Vec::new(), Log::new());
    for entry in entries.iter().rev() {
        match undo_one(machine, entry, force) {
            Undone::Yes(line) => log.extend(line),
            Undone::No(line) => {
                left.push(entry.clone());
                why.push(line);
            }
        }
    }
    left.reverse();
    place.keep(&header, &left)?;
    if !why.is_empty() {
        // What was done is told, too: it is not done again next time.
        bail!("{}", [log, why].concat().join("\n"));
    }
    log.push(format!("reverted: {}", header.profile));
    Ok(log)
}

fn undo_one(machine: &Machine, entry: &Entry, force: bool) -> Undone {
    let Entry { target, before, wanted, obtained } = entry;
    let Some(now) = target.read(machine) else {
        if target.is_gone(machine) {
            return Undone::Yes(Some(format!("{target}: is gone, and its value with it")));
        }
        return Undone::No(format!("{target}: cannot be read; it was '{before}'"));
    };
    if target.is_same(&now, before) {
        return Undone::Yes(None);
    }
    // Without a value that was obtained the change was under way: whatever is there, is ours.
    let is_ours = obtained.as_ref().is_none_or(|ours| target.is_same(&now, ours));
    if !is_ours && !force {
        return Undone::No(format!(
            "{target}: is '{now}', not the '{wanted}' that was set here: somebody else has changed \
             it, so that it is left; to restore '{before}': showdown tune revert --force"
        ));
    }
    match restore(machine, target, before) {
        Ok(()) => Undone::Yes(Some(format!("{target}: {now} -> {before}"))),
        Err(error) => Undone::No(format!("{error:#}")),
    }
}
