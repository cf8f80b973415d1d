//! Which CPU does the receiving: soft interrupts of frames that arrive over veth.
//!
//! A frame that one end sends is received by the other in a soft interrupt on the same CPU, so
//! that the client's CPU does much of the server's kernel work, and the other way round. Receive
//! packet steering or a thread for each NAPI moves that to the CPU of the receiver.

use crate::experiment::{Network, Softirq};
use crate::programs::{Place, Programs};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::process::Command;

/// Settings of the two ends of a veth pair. Dropping it sets them back, which matters where the
/// topology was there before and stays.
#[derive(Default)]
pub(crate) struct Placement {
    /// In the order in which they were set: a namespace and a command for its shell.
    undo: Vec<(String, String)>,
}

/// Prints the steering of every receive queue of interface `$1`, and steers to the mask `$2`.
const STEER: &str = r#"
for file in /sys/class/net/"$1"/queues/rx-*/rps_cpus; do
  echo "echo $(cat "$file") >$file"
  echo "$2" >"$file"
done"#;

/// Gives interface `$1` a NAPI with a thread for each queue, and ties the threads to CPU `$2`.
const THREAD: &str = r#"
ethtool -K "$1" gro on
echo "echo 0 >/sys/class/net/$1/threaded; ethtool -K $1 gro off"
echo 1 >"/sys/class/net/$1/threaded"
tied=0
for name in /proc/[0-9]*/comm; do
  # A process may be gone by the time that it is looked at.
  case $(cat "$name" 2>/dev/null) in
    "napi/$1-"*)
      pid=${name%/comm}
      taskset -pc "$2" "${pid#/proc/}" >&2
      tied=$((tied + 1)) ;;
  esac
done
if [ "$tied" = 0 ]; then
  echo 0 >"/sys/class/net/$1/threaded"
  ethtool -K "$1" gro off
  echo "no thread of $1 was found" >&2
  exit 1
fi"#;

impl Placement {
    /// Sets both ends as the experiment asks.
    ///
    /// # Errors
    /// What the kernel or a tool says where it cannot be had; what was set is set back.
    pub(crate) fn apply(softirq: Softirq, programs: &Programs) -> Result<Self> {
        let mut placement = Self::default();
        let Place::Veth(names) = &programs.network else { return Ok(placement) };
        let ends = [
            (&names.server_namespace, &names.server_interface, programs.server_cpu),
            (&names.client_namespace, &names.client_interface, programs.client_cpu),
        ];
        for (namespace, interface, cpu) in ends {
            let (script, argument) = match softirq {
                Softirq::Sender => continue,
                Softirq::Rps => (STEER, cpu_mask(cpu)),
                Softirq::ThreadedNapi => (THREAD, cpu.to_string()),
            };
            let undo = inside(namespace, &[script, "sh", interface, &argument])
                .with_context(|| format!("soft interrupts of {interface} cannot be placed"))?;
            placement.undo.push((namespace.clone(), undo));
        }
        Ok(placement)
    }
}

impl Drop for Placement {
    fn drop(&mut self) {
        for (namespace, undo) in self.undo.drain(..).rev() {
            if let Err(error) = inside(&namespace, &[&undo, "sh"]) {
                eprintln!("showdown: soft interrupts in {namespace} stay placed: {error:#}");
            }
        }
    }
}

/// Runs a script in a namespace: what it printed.
fn inside(namespace: &str, script: &[&str]) -> Result<String> {
    let output = Command::new("ip")
        .args(["netns", "exec", namespace, "sh", "-euc"])
        .args(script)
        .output()
        .context("ip cannot be started")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} ({})", complaint.trim(), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A CPU as the kernel writes sets of them: 32 in each word of eight hexadecimal digits, the
/// highest first.
fn cpu_mask(cpu: usize) -> String {
    let first = format!("{:x}", 1_u32 << (cpu % 32));
    first + &",00000000".repeat(cpu / 32)
}

/// What the CPUs of server and client do, by their number.
pub(crate) fn roles(softirq: Softirq, programs: &Programs) -> BTreeMap<String, String> {
    let frames = match softirq {
        Softirq::Sender => "what it sends, as far as the receiver's socket or ring",
        Softirq::Rps => "what it receives, by receive packet steering",
        Softirq::ThreadedNapi => "what it receives, in the thread of a NAPI",
    };
    let role = |who: &str| match programs.network {
        Place::Veth(_) | Place::Loopback(_) => format!("{who}; soft interrupts of {frames}"),
        Place::Hosts(_) => format!("{who}; interrupts of the interface as they are set there"),
    };
    let [server_cpu, client_cpu] = programs.recorded_cpus();
    BTreeMap::from([
        (server_cpu.to_string(), role("server")),
        (client_cpu.to_string(), role("load generator")),
    ])
}

/// What the reader of the columns of CPU time must know.
pub(crate) fn note(softirq: Softirq, network: Network) -> &'static str {
    match softirq {
        _ if network == Network::Hosts => {
            "Each end receives on the CPUs that its interface's interrupts go to, as it was set \
             before the run."
        }
        Softirq::Sender => {
            "Whoever sends a packet over veth or loopback also receives it, in a soft interrupt: \
             the client's CPU does that work for requests, the server's for responses."
        }
        Softirq::Rps => {
            "Receive packet steering has each end of the veth pair receive on its own CPU; waking \
             that CPU is part of the cost."
        }
        Softirq::ThreadedNapi => {
            "Each end of the veth pair receives in a thread on its own CPU, for which GRO is on."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;

    #[test]
    fn masks_are_as_the_kernel_writes_them() {
        assert_eq!(cpu_mask(0), "1");
        assert_eq!(cpu_mask(1), "2");
        assert_eq!(cpu_mask(31), "80000000");
        assert_eq!(cpu_mask(32), "1,00000000");
        assert_eq!(cpu_mask(69), "20,00000000,00000000");
    }

    #[test]
    fn an_experiment_names_the_placement_and_loopback_has_none() {
        let text = include_str!("../../experiments/quick.toml");
        let with = |text: &str, value: &str| {
            let line = format!("baseline = \"epoll\"\nsoftirq = \"{value}\"");
            Experiment::parse("x", &text.replacen("baseline = \"epoll\"", &line, 1))
        };
        let check = |value, expect| assert_eq!(with(text, value).unwrap().softirq, expect);
        check("sender", Softirq::Sender);
        check("rps", Softirq::Rps);
        check("threaded-napi", Softirq::ThreadedNapi);
        assert!(with(text, "receiver").is_err());
        let loopback = include_str!("../../experiments/loopback.toml");
        let message = format!("{:#}", with(loopback, "rps").unwrap_err());
        assert!(message.contains("loopback has none"), "{message}");
    }
}
