//! sfnt-pingpong's options.

use super::super::receiver::Muxer;
use super::super::sizes::Sizes;
use clap::{ArgAction, Parser, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;

/// What the messages travel through; spelled as sfnt-pingpong spells it, and `http`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Through {
    Tcp,
    Udp,
    Pipe,
    UnixStream,
    UnixDatagram,
    /// GET /bytes/SIZE on a connection that is kept
    Http,
}

impl Through {
    /// Messages have no boundaries of their own, or bring them along.
    pub(super) fn is_stream(self) -> bool {
        !matches!(self, Self::Udp | Self::UnixDatagram)
    }

    /// Both ends are in this process.
    pub(super) fn is_local(self) -> bool {
        matches!(self, Self::Pipe | Self::UnixStream | Self::UnixDatagram)
    }
}

/// A value for each end: `client;server`, or one for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends<T> {
    pub(super) client: T,
    pub(super) server: T,
    /// Whether the server's was given by itself, behind a semicolon.
    pub(super) is_split: bool,
}

impl<T: FromStr + Clone> FromStr for Ends<T>
where
    T::Err: std::fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |text: &str| text.parse::<T>().map_err(|error| format!("{text:?}: {error}"));
        match text.split_once(';') {
            None => {
                let both = parse(text)?;
                Ok(Self { client: both.clone(), server: both, is_split: false })
            }
            Some((_, server)) if server.contains(';') => Err("more than two values".to_owned()),
            Some((client, server)) => {
                Ok(Self { client: parse(client)?, server: parse(server)?, is_split: true })
            }
        }
    }
}

/// A switch: on where it is given without a value or with a number other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Switch(pub(super) bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: Result<u32, _> = text.parse();
        number.map(|number| Self(number != 0)).map_err(|_| "not 0 or 1".to_owned())
    }
}

/// A CPU, or `any` for none in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Core(pub(super) Option<usize>);

impl FromStr for Core {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("any") {
            return Ok(Self(None));
        }
        text.parse().map(|cpu| Self(Some(cpu))).map_err(|_| "not a CPU or `any`".to_owned())
    }
}

/// Half round trips over message sizes, with sfnt-pingpong's options and columns
#[derive(Clone, Debug, Parser)]
#[command(
    name = "loadgen pingpong",
    bin_name = "loadgen pingpong",
    after_help = "An option with 'client;server' takes one value for both ends or one for each; \
                  the server's counts where this process is the server as well: without HOST, and \
                  for pipes and Unix sockets. A server elsewhere has flags of its own and need \
                  only echo: server-epoll --service echo.\n\nColumns, in ns: size mean min median \
                  max %ile stddev iter."
)]
pub(super) struct Options {
    /// What the messages travel through
    #[arg(value_enum, value_name = "THROUGH")]
    pub(super) through: Through,
    /// The server; without it a thread of this process answers. For http also a URL
    #[arg(value_name = "HOST[:PORT]")]
    pub(super) target: Option<String>,

    /// Port of the server where HOST names none
    #[arg(long, value_name = "N", default_value_t = 8080)]
    pub(super) port: u16,
    /// Message sizes: a list such as 1,2,4, ranges such as 1-64+8 or 1-65536x2
    #[arg(long, value_name = "LIST")]
    pub(super) sizes: Option<Sizes>,
    /// Smallest size of the default sweep; 0: 1 for streams, 0 for datagrams
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(super) minmsg: usize,
    /// Largest size of the default sweep; 0: 65536 for streams, 32768 for datagrams
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(super) maxmsg: usize,
    /// Least time for each size, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub(super) minms: u32,
    /// Time for each size after which no batch is begun, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 3000)]
    pub(super) maxms: u32,
    /// Least iterations for each size, and iterations of a batch
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = iterations())]
    pub(super) miniter: u32,
    /// Most iterations for each size
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = iterations())]
    pub(super) maxiter: u32,
    /// Least iterations of the warm-up
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(super) warmupiter: u32,
    /// Least time of the warm-up, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 500)]
    pub(super) warmupms: u32,

    /// The percentile of the column %ile
    #[arg(long, value_name = "P", default_value_t = 99.0, value_parser = percentile)]
    pub(super) percentile: f64,
    /// Report round trips, not halves of them
    #[arg(long, value_name = "0|1", num_args = 0..=1, require_equals = true,
          default_value = "0", default_missing_value = "1")]
    pub(super) rtt: Switch,
    /// Write every sample of a size to RAW-SIZE.dat, one a line, in the order they were taken
    #[arg(long, value_name = "RAW")]
    pub(super) raw: Option<String>,
    /// Write the run with all samples as a histogram for each size
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write the percentile spectrum of each size to PREFIX-SIZE.hgrm (HdrHistogram), in ns
    #[arg(long, value_name = "PREFIX")]
    pub(super) hgrm: Option<String>,

    /// The receiving side spins instead of sleeping
    #[arg(long, value_name = "0|1;0|1", num_args = 0..=1, require_equals = true,
          default_value = "0", default_missing_value = "1")]
    pub(super) spin: Ends<Switch>,
    /// What waits: none, select, poll, epoll, epoll_mod, epoll_adddel
    #[arg(long, value_name = "M;M", default_value = "none")]
    pub(super) muxer: Ends<Muxer>,
    /// CPU to run on, or any
    #[arg(long, value_name = "CPU;CPU", default_value = "any")]
    pub(super) affinity: Ends<Core>,
    /// Seconds after which a missing pong ends the run
    #[arg(long, value_name = "S", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(super) timeout: u32,
    /// Messages of a ping; the timer stops when all have come back
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) n_pings: u32,
    /// MSG_MORE on all messages of a ping but the last
    #[arg(long, value_name = "0|1", num_args = 0..=1, require_equals = true,
          default_value = "0", default_missing_value = "1")]
    pub(super) more: Switch,
    /// Microseconds to sleep between iterations
    #[arg(long, value_name = "US", default_value_t = 0)]
    pub(super) sleep_gap: u32,
    /// Microseconds to spin between iterations
    #[arg(long, value_name = "US", default_value_t = 0)]
    pub(super) spin_gap: u32,

    /// TCP_NODELAY
    #[arg(long, value_name = "0|1;0|1", num_args = 0..=1, require_equals = true,
          default_value = "0", default_missing_value = "1")]
    pub(super) nodelay: Ends<Switch>,
    /// SO_BUSY_POLL, in microseconds; 0 leaves the system's default
    #[arg(long, value_name = "US;US", default_value = "0")]
    pub(super) busy_poll: Ends<u32>,
    /// connect() the UDP socket
    #[arg(long, value_name = "0|1;0|1", num_args = 0..=1, require_equals = true,
          default_value = "0", default_missing_value = "1")]
    pub(super) connect: Ends<Switch>,
    /// Address, or address and port, that the client's socket is bound to
    #[arg(long, value_name = "ADDR[:PORT]")]
    pub(super) bind: Option<String>,
    /// Interface that the client's socket is bound to (SO_BINDTODEVICE)
    #[arg(long, value_name = "IFACE")]
    pub(super) bindtodev: Option<String>,
    /// IP_TTL, or IPV6_UNICAST_HOPS
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(super) ttl: Option<u32>,
    /// Use IPv4 only
    #[arg(long, action = ArgAction::SetTrue, conflicts_with = "ipv6")]
    pub(super) ipv4: bool,
    /// Use IPv6 only
    #[arg(long, action = ArgAction::SetTrue)]
    pub(super) ipv6: bool,

    /// Idle pipes that the multiplexer watches besides
    #[arg(long, value_name = "N;N", default_value = "0")]
    pub(super) n_pipe: Ends<u16>,
    /// Idle Unix datagram sockets that it watches
    #[arg(long, value_name = "N;N", default_value = "0")]
    pub(super) n_unix_d: Ends<u16>,
    /// Idle Unix stream sockets that it watches
    #[arg(long, value_name = "N;N", default_value = "0")]
    pub(super) n_unix_s: Ends<u16>,
    /// Idle UDP sockets that it watches
    #[arg(long, value_name = "N;N", default_value = "0")]
    pub(super) n_udp: Ends<u16>,
    /// Idle TCP listeners that it watches
    #[arg(long, value_name = "N;N", default_value = "0")]
    pub(super) n_tcpl: Ends<u16>,
}

fn iterations() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=100_000_000)
}

fn percentile(text: &str) -> Result<f64, String> {
    let percent = text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| "not a number from 0 to 100".to_owned())
}

/// sfnt-pingpong's options that are not here, and why.
const REFUSED: [(&str, &str); 8] = [
    ("mcast", "a server under test answers whoever asks it and joins no multicast group"),
    ("mcastintf", "a server under test joins no multicast group"),
    ("mcastloop", "a server under test joins no multicast group"),
    ("forkboth", "leave HOST out: then a thread of this process answers"),
    ("n-pongs", "a server that echoes sends as many pongs as there are pings: give --n-pings"),
    ("n-tcpc", "idle connections to a server would be part of what is measured at that server"),
    ("tcpc-serv", "idle connections to a server would be part of what is measured there"),
    ("v6only", "it concerns sockets that accept, and the server has flags of its own"),
];

impl Options {
    /// Reads a command line whose first word is the sub-command.
    ///
    /// # Errors
    /// In clap's words where an option is unknown or malformed; in a sentence where it cannot be
    /// obeyed here.
    pub(super) fn parse(words: &[String]) -> Result<Self, super::Failure> {
        for word in words.iter().take_while(|word| *word != "--") {
            let Some(name) = word.strip_prefix("--") else { continue };
            let name = name.split('=').next().unwrap_or_default();
            if let Some((name, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
                return Err(format!("loadgen pingpong: --{name} is not there: {why}").into());
            }
        }
        let mut options = Self::try_parse_from(words)?;
        options.maxms = options.maxms.max(options.minms);
        options.maxiter = options.maxiter.max(options.miniter);
        options.check().map_err(|sentence| format!("loadgen pingpong: {sentence}"))?;
        Ok(options)
    }

    /// Whether the other end is a thread of this process.
    pub(super) fn answers_itself(&self) -> bool {
        self.target.is_none()
    }

    /// Refuses what would have no effect.
    fn check(&self) -> Result<(), String> {
        let refuse = |wrong: bool, sentence: &str| {
            if wrong { Err(sentence.to_owned()) } else { Ok(()) }
        };
        let through = self.through;
        refuse(
            through.is_local() && self.target.is_some(),
            "pipes and Unix sockets have both ends in this process: give no HOST",
        )?;
        refuse(
            through == Through::Http && self.target.is_none(),
            "http needs a server: give HOST:PORT, for example that of server-epoll",
        )?;
        let split = self.split_option();
        if let (Some(option), Some(target)) = (split, &self.target) {
            return Err(format!(
                "--{option}: what stands behind the semicolon is for a server started here, and \
                 {target} runs by itself: give it to that server, and here the client's part only"
            ));
        }
        refuse(
            self.nodelay.client.0 && !matches!(through, Through::Tcp | Through::Http),
            "--nodelay is for tcp and http",
        )?;
        refuse(self.connect.client.0 && through != Through::Udp, "--connect is for udp")?;
        refuse(
            self.more.0 && (self.n_pings == 1 || through == Through::Http),
            "--more is for the messages before the last of a ping, of which there are none: give \
             --n-pings, through tcp, udp or a Unix socket",
        )?;
        refuse(self.more.0 && through == Through::Pipe, "--more is for sockets")?;
        let local = through.is_local();
        refuse(local && self.bind.is_some(), "--bind is for tcp, udp and http")?;
        refuse(local && self.bindtodev.is_some(), "--bindtodev is for tcp, udp and http")?;
        refuse(local && self.ttl.is_some(), "--ttl is for tcp, udp and http")?;
        refuse(local && (self.ipv4 || self.ipv6), "--ipv4 and --ipv6 are for tcp, udp and http")?;
        refuse(
            through == Through::Pipe && (self.busy_poll.client > 0 || self.busy_poll.server > 0),
            "--busy-poll is for sockets",
        )?;
        refuse(
            self.sizes.is_some() && (self.minmsg > 0 || self.maxmsg > 0),
            "--sizes says all sizes: --minmsg and --maxmsg bound the default sweep only",
        )?;
        self.check_extras()
    }

    fn check_extras(&self) -> Result<(), String> {
        for (muxer, extras, end) in [
            (self.muxer.client, self.extras().0, "client"),
            (self.muxer.server, self.extras().1, "server"),
        ] {
            if extras.iter().any(|count| *count > 0)
                && matches!(muxer, Muxer::None | Muxer::EpollAdddel)
            {
                let which = "select, poll, epoll or epoll_mod";
                return Err(format!(
                    "--n-pipe and its like are watched by a multiplexer: the {end} needs --muxer \
                     {which}"
                ));
            }
        }
        Ok(())
    }

    /// Idle descriptors for each end: pipes, Unix datagram and stream, UDP, listeners.
    pub(super) fn extras(&self) -> ([u16; 5], [u16; 5]) {
        let all = [self.n_pipe, self.n_unix_d, self.n_unix_s, self.n_udp, self.n_tcpl];
        let server = if self.answers_itself() { all.map(|ends| ends.server) } else { [0; 5] };
        (all.map(|ends| ends.client), server)
    }

    /// An option that has a value for the server alone.
    fn split_option(&self) -> Option<&'static str> {
        [
            (self.spin.is_split, "spin"),
            (self.muxer.is_split, "muxer"),
            (self.affinity.is_split, "affinity"),
            (self.nodelay.is_split, "nodelay"),
            (self.busy_poll.is_split, "busy-poll"),
            (self.connect.is_split, "connect"),
            (self.n_pipe.is_split, "n-pipe"),
            (self.n_unix_d.is_split, "n-unix-d"),
            (self.n_unix_s.is_split, "n-unix-s"),
            (self.n_udp.is_split, "n-udp"),
            (self.n_tcpl.is_split, "n-tcpl"),
        ]
        .into_iter()
        .find_map(|(is_split, name)| is_split.then_some(name))
    }
}
