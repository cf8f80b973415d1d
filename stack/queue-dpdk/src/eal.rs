//! EAL, DPDK's environment: set up once per process, from arguments.

use crate::error::Error;
use crate::sys::{Errno, Runtime, version};
use std::ffi::CString;
use std::sync::Arc;

/// EAL, set up. Cleaned up when the last copy, and the last port, is dropped; after that it cannot
/// be set up again.
#[derive(Clone, Debug)]
pub struct Eal {
    runtime: Arc<Runtime>,
}

/// Arguments that choose EAL's own threads, on none of which anything would run.
const THREAD_ARGUMENTS: [&str; 7] =
    ["-c", "-l", "--lcores", "--main-lcore", "--coremask", "--corelist", "--remap-lcore-ids"];

impl Eal {
    /// Sets EAL up. `arguments` are those that every program of DPDK takes, without the program's
    /// name: `["--no-huge", "-m", "256", "--vdev", "net_ring0"]`.
    ///
    /// EAL prints to standard error what it has to say. It gets one thread, the calling one, whose
    /// CPUs stay as they are.
    ///
    /// # Errors
    /// [`Error`], whose text names the likely cause and its cure.
    pub fn init(arguments: &[String]) -> Result<Self, Error> {
        check(arguments)?;
        let allowed = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let all = ["showdown".to_owned(), "--lcores".to_owned(), lcores(&allowed)];
        let strings = all.iter().chain(arguments).map(|argument| {
            let refuse = |_| Error::Config(format!("{argument:?} holds a NUL"));
            CString::new(argument.as_str()).map_err(refuse)
        });
        let runtime =
            Runtime::init(strings.collect::<Result<_, _>>()?).map_err(|errno| Error::Eal {
                arguments: arguments.join(" "),
                text: errno.to_string(),
                cure: cure(errno),
            })?;
        Ok(Self { runtime: Arc::new(runtime) })
    }

    /// Adds a device, as `--vdev` does: `net_ring0`.
    ///
    /// # Errors
    /// [`Error`], where no driver takes it, or the driver refuses it.
    pub fn add_device(&self, arguments: &str) -> Result<(), Error> {
        let refuse = |text: String| Error::Device { arguments: arguments.to_owned(), text };
        let string = CString::new(arguments).map_err(|error| refuse(error.to_string()))?;
        self.runtime.probe(&string).map_err(|errno| refuse(errno.to_string()))
    }

    /// The DPDK that is linked, as it calls itself: `DPDK 22.11.11`.
    #[must_use]
    pub fn version() -> String {
        version()
    }

    /// The names of all ports.
    #[must_use]
    pub fn ports(&self) -> Vec<String> {
        // A port that goes away meanwhile has no name.
        self.runtime.ports().iter().filter_map(|&id| self.runtime.port_name(id).ok()).collect()
    }

    pub(crate) const fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }
}

/// One lcore for EAL, numbered 0, on all the CPUs that this process may use: it starts a thread for
/// every further one, and nothing would run there.
fn lcores(status: &str) -> String {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map_or_else(|| "0".to_owned(), |list| format!("0@({})", list.trim()))
}

fn check(arguments: &[String]) -> Result<(), Error> {
    for argument in arguments {
        let name = argument.split('=').next().unwrap_or(argument);
        let is_short = |name: &&str| name.len() == 2 && argument.starts_with(*name);
        if THREAD_ARGUMENTS.contains(&name) || ["-c", "-l"].iter().any(is_short) {
            return Err(Error::Config(format!(
                "`{argument}` among EAL's arguments chooses EAL's threads, of which none polls a \
                 port here: leave it out, and name the CPUs with --cpus"
            )));
        }
        if argument.contains("net_memif") && argument.contains("zero-copy=yes") {
            return Err(Error::Config(format!(
                "`{argument}`: with zero-copy=yes packets lie in memory that the peer can write \
                 while they are read; leave it out"
            )));
        }
    }
    Ok(())
}

const fn cure(errno: Errno) -> &'static str {
    match errno {
        Errno::ALREADY => "EAL can be set up once in a process",
        Errno::ACCESS_DENIED | Errno::OUT_OF_MEMORY | Errno::NOT_PERMITTED => {
            "the likely cause is that there are no huge pages, or that this user may not use them: \
             sudo infra/scripts/hugepages.sh up, or do without: --no-huge -m 256"
        }
        Errno::NO_DEVICE => "EAL says above which device no driver takes",
        Errno::INVALID => {
            "the likely cause, which EAL names above, is a wrong argument, or another program with \
             the same --file-prefix; `dpdk-testpmd --help` (package dpdk-dev) lists arguments"
        }
        _ => "EAL says more above",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(argument: &str) -> String {
        let arguments = [argument.to_owned()];
        check(&arguments).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn eal_gets_one_lcore_on_all_cpus() {
        assert_eq!(lcores("Name:\tx\nCpus_allowed_list:\t0-1,4\n"), "0@(0-1,4)");
        assert_eq!(lcores(""), "0");
    }

    #[test]
    fn arguments_that_would_not_do_what_they_say_are_refused() {
        for argument in ["-l", "-l0-1", "-c3", "--lcores=0@1", "--lcores", "--main-lcore=1"] {
            assert!(refusal(argument).contains("with --cpus"), "{argument}");
        }
        assert!(refusal("--vdev=net_memif0,zero-copy=yes").contains("leave it out"));
        for argument in ["--no-huge", "--legacy-mem", "--vdev=net_memif0,role=client", "-m"] {
            assert_eq!(refusal(argument), "fine");
        }
    }
}
