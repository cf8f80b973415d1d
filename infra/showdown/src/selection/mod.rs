//! What the command line chooses: an experiment, and what is different from its file.

use crate::experiment::{Experiment, FewerValues, Mode, Offloads, Overrides, Service, Tcp, Wait};
use crate::reach::Transport;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

/// An experiment and other values for it.
#[derive(Args)]
pub(crate) struct Selection {
    /// Name of an experiment (see 'showdown list'), or path of a .toml file
    #[arg(value_name = "NAME|FILE", default_value = "quick")]
    experiment: String,
    /// Take the short form of the experiment: at most a minute
    #[arg(long)]
    quick: bool,
    /// Rounds; each measures every server once
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// Whole seconds of each measurement
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u32>,
    /// Run servers and generator on the two ends that this file describes: machines reached by
    /// ssh, or anything else that a command enters; see infra/hosts
    #[arg(long, value_name = "FILE")]
    hosts: Option<PathBuf>,
    /// Seed of the order of measurements [default: drawn and recorded]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// One more server: NAME=COMMAND, where {address}, {host}, {port}, {cpu} and {dir} are
    /// replaced, a contender's .toml file, or one that comes with the program; may be repeated
    #[arg(long = "contender", value_name = "WHICH")]
    contenders: Vec<String>,
    /// Only these modes, for example epoll,xdp; the baseline must be among them
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',', help_heading = "Axes")]
    modes: Option<Vec<Mode>>,
    /// TCP of the servers that bypass the kernel
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',', help_heading = "Axes")]
    tcp: Option<Vec<Tcp>>,
    /// How the servers wait: block, spin, busy-poll or suspend, both also with :USEC
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Axes")]
    wait: Option<Vec<Wait>>,
    /// What the servers do; echo is loaded by ping-pong
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',', help_heading = "Axes")]
    service: Option<Vec<Service>>,
    /// How the generator reaches the servers
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',', help_heading = "Axes")]
    transport: Option<Vec<Transport>>,
    /// Offloads of the veth pair
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',', help_heading = "Axes")]
    offloads: Option<Vec<Offloads>>,
    /// Connections of the load
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Axes")]
    connections: Option<Vec<u64>>,
    /// Bytes of the body that is asked for, or of the message that is echoed
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Axes")]
    payload: Option<Vec<u64>>,
    /// Requests sent at once on each connection
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Axes")]
    pipeline: Option<Vec<u64>>,
    /// Requests per second of an open loop
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Axes")]
    rate: Option<Vec<u64>>,
}

impl Selection {
    /// Whether the short form is asked for.
    pub(crate) const fn is_quick(&self) -> bool {
        self.quick
    }

    /// The experiment as it shall run.
    ///
    /// # Errors
    /// A sentence where there is none of that name, or where file and command line contradict
    /// each other.
    pub(crate) fn experiment(self) -> Result<Experiment> {
        let overrides = Overrides {
            quick: self.quick,
            axes: FewerValues {
                mode: self.modes,
                tcp: self.tcp,
                wait: self.wait,
                service: self.service,
                transport: self.transport,
                offloads: self.offloads,
                connections: self.connections,
                payload: self.payload,
                pipeline: self.pipeline,
                rate: self.rate,
            },
            contenders: self.contenders,
            seed: self.seed,
            rounds: self.rounds,
            duration_s: self.duration,
            hosts: self.hosts,
        };
        Experiment::load(&self.experiment)?.with(&overrides)
    }
}
