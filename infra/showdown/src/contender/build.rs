//! Building the program of a contender that is not there yet.

use super::{Contender, Site};
use crate::process::Events;
use anyhow::{Context, Result};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longest time that a build gets: some 200 packages take a quarter of an hour on a slow machine.
const BUILD_MAX: Duration = Duration::from_secs(3600);
/// Time between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(100);

/// Builds what is not there of those contenders that say how, and takes out those for which that
/// fails, with a sentence for each. What the commands write goes to standard error.
///
/// # Errors
/// [`crate::process::Interrupted`]; a command that runs then is ended.
pub(crate) fn build_missing(
    contenders: &mut Vec<Contender>,
    site: &Site,
    events: &Events,
) -> Result<Vec<String>> {
    let mut left_out = Vec::new();
    let mut present = Vec::with_capacity(contenders.len());
    for contender in std::mem::take(contenders) {
        let why_not = match contender.build_words(site) {
            Some(words) if contender.program(site).is_none() => {
                contender.build(&words, site, events)?
            }
            _ => None,
        };
        match why_not {
            None => present.push(contender),
            Some(why) => left_out.push(format!("{}: {why}", contender.name)),
        }
    }
    *contenders = present;
    Ok(left_out)
}

impl Contender {
    /// The words of the command that builds it; none where there is none.
    pub(super) fn build_words(&self, site: &Site) -> Option<Vec<String>> {
        let words = self.build.as_ref()?;
        Some(words.iter().map(|word| site.fill(word)).collect())
    }

    /// Builds its program; says why it is not there all the same, if it is not.
    fn build(&self, words: &[String], site: &Site, events: &Events) -> Result<Option<String>> {
        let command = words.join(" ");
        let program = site.fill(self.command.program());
        eprintln!("contender {}: {program} is not there; building it: {command}", self.name);
        let cure = format!("to see why: {command}");
        let status = match start(words) {
            Ok(child) => wait(child, events)?,
            Err(error) => {
                return Ok(Some(format!("{} cannot be started ({error}); {cure}", words[0])));
            }
        };
        Ok(match status {
            None => Some(format!(
                "was not built within {} minutes; by hand, before the run: {command}",
                BUILD_MAX.as_secs() / 60
            )),
            Some(status) if !status.success() => {
                Some(format!("could not be built ({status}); {cure}"))
            }
            Some(_) if self.program(site).is_none() => {
                Some(format!("{program} is not there after '{command}'"))
            }
            Some(_) => None,
        })
    }
}

/// Starts a command in a process group of its own, so that Ctrl-C reaches this program alone, which
/// then ends the command and all that it has started.
fn start(words: &[String]) -> io::Result<Child> {
    let output = io::stderr().as_fd().try_clone_to_owned()?;
    let (program, arguments) = words.split_first().expect("a command needs a program");
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output)
        .process_group(0)
        .spawn()
}

/// Waits for the end of a build; none where it took too long and was killed.
fn wait(mut child: Child, events: &Events) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + BUILD_MAX;
    loop {
        if let Some(status) = child.try_wait().context("a build cannot be waited for")? {
            return Ok(Some(status));
        }
        let interrupted = events.wait_until(Instant::now() + LOOK, || false).err();
        if interrupted.is_some() || Instant::now() >= deadline {
            // Not reaped yet, so that the number of the group still means it.
            let group = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL)
                .context("a build cannot be killed")?;
            child.wait().context("a build cannot be reaped")?;
            return interrupted.map_or(Ok(None), |interrupted| Err(interrupted.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::Words;
    use std::path::PathBuf;

    /// A folder with a contender for each pair of name and build command; the program of each is
    /// the file of its name.
    struct Workshop(Site);

    impl Workshop {
        fn new(name: &str) -> Self {
            let folder = format!("showdown-build-{}-{name}", std::process::id());
            let bin = std::env::temp_dir().join(folder);
            std::fs::create_dir_all(&bin).unwrap();
            let host = String::new();
            Self(Site { host, port: 0, cpu: 0, dir: PathBuf::new(), bin })
        }

        /// What remains of these contenders, and what is said of the others.
        fn build(&self, pairs: &[(&str, Option<&str>)]) -> (Vec<String>, Vec<String>) {
            let mut contenders: Vec<Contender> = Vec::new();
            for (name, build) in pairs {
                let mut one =
                    Contender::named(&format!("{name}={{bin}}/{name}")).unwrap().remove(0);
                one.build = build.map(|build| build.parse::<Words>().unwrap());
                contenders.push(one);
            }
            let events = Events::new().unwrap();
            let left_out = build_missing(&mut contenders, &self.0, &events).unwrap();
            (contenders.into_iter().map(|one| one.name).collect(), left_out)
        }
    }

    impl Drop for Workshop {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0.bin).unwrap();
        }
    }

    #[test]
    fn what_is_not_there_is_built_once_and_what_is_there_is_left_alone() {
        let workshop = Workshop::new("once");
        let append = "sh -c 'echo built >>{bin}/one'";
        for _ in 0..2 {
            let (names, left_out) = workshop.build(&[("one", Some(append)), ("two", None)]);
            assert_eq!((names, left_out), (vec!["one".to_owned(), "two".to_owned()], vec![]));
        }
        let built = std::fs::read_to_string(workshop.0.bin.join("one")).unwrap();
        assert_eq!(built, "built\n");
    }

    #[test]
    fn what_cannot_be_built_is_left_out_with_the_command() {
        let workshop = Workshop::new("fails");
        let bin = workshop.0.bin.display();
        let builds =
            [("a", Some("sh -c 'exit 3'")), ("b", Some("/no/such")), ("c", Some("true x"))];
        let (names, left_out) = workshop.build(&builds);
        assert_eq!(names, Vec::<String>::new());
        assert_eq!(
            left_out,
            [
                "a: could not be built (exit status: 3); to see why: sh -c exit 3".to_owned(),
                "b: /no/such cannot be started (No such file or directory (os error 2)); to see \
                 why: /no/such"
                    .to_owned(),
                format!("c: {bin}/c is not there after 'true x'"),
            ]
        );
    }
}
