//! Latency modes: one request at a time, measured as those who measure latency do.
//!
//! | sub-command | vocabulary | question |
//! |---|---|---|
//! | `pingpong` | sfnt-pingpong | half a round trip over message sizes |
//! | `rr`, `crr`, `stream` | netperf | transactions, connections and bytes per second |
//! | `noise` | none | what the machine itself takes from a core |
//!
//! Both tools that are followed here bring a server of their own, which their client tells what to
//! do. Here the server is one of those under test, which only ever echoes (`--service echo`) or
//! answers HTTP; all options are the client's. Where nothing listens elsewhere (Unix sockets,
//! pipes, no host given) a thread of this process answers.
//!
//! What it deliberately does not do: load. One connection, closed loop, except for `-b`; how a
//! server behaves under load is asked with [`crate::run`].
//!
//! Entry point: [`dispatch`].

mod clock;
mod dial;
mod header;
mod link;
mod netperf;
mod noise;
mod pingpong;
mod receiver;
mod responder;
mod sizes;
mod stats;
#[expect(unsafe_code, reason = "the system calls of the latency modes, each wrapped once")]
mod sys;
mod web;

use std::io::{self, Write};

/// Why a sub-command ended without a result.
#[derive(Debug)]
pub enum Failure {
    /// The command line was not understood, or asked for help: clap's own words and exit code.
    Usage(clap::Error),
    /// A sentence for the user.
    Sentence(String),
    /// Standard output is closed.
    Output(io::Error),
}

impl Failure {
    /// The exit code: 2 for a command line that was refused, 0 for help, 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(error) => u8::try_from(error.exit_code()).unwrap_or(2),
            Self::Sentence(_) | Self::Output(_) => 1,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(error) => write!(formatter, "{error}"),
            Self::Sentence(sentence) => formatter.write_str(sentence),
            Self::Output(error) => write!(formatter, "standard output: {error}"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self::Sentence(sentence)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}

/// Runs the sub-command that the first of `words` names; `None` where it names none of them.
///
/// `words` is the command line without the program's name. Results go to `out`, remarks that are
/// no result to standard error.
pub fn dispatch(words: &[String], out: &mut impl Write) -> Option<Result<(), Failure>> {
    let command = words.first()?.as_str();
    let run = match command {
        "pingpong" => pingpong::run,
        "rr" | "crr" | "stream" => netperf::run,
        "noise" => noise::run,
        _ => return None,
    };
    let is_transport = |word: &String| word.split('=').next() == Some("--transport");
    if words.iter().any(is_transport) {
        return Some(Err(Failure::Sentence(format!(
            "{command} goes over the kernel's sockets alone and has no --transport; one \
             connection over userspace TCP is loadgen --transport memif -c1 -L ..., whose \
             latencies are whole round trips"
        ))));
    }
    Some(run(words, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_past_the_kernel_is_refused_with_what_to_use() {
        for transport in [&["--transport", "memif"][..], &["--transport=xdp"]] {
            for command in ["pingpong", "rr", "crr", "stream"] {
                let words: Vec<String> =
                    [&[command], transport].concat().into_iter().map(str::to_owned).collect();
                let failure = dispatch(&words, &mut Vec::new()).unwrap().unwrap_err();
                let sentence = failure.to_string();
                assert!(sentence.contains("loadgen --transport memif -c1 -L"), "{sentence}");
                assert!(sentence.starts_with(command) && failure.exit_code() == 1, "{sentence}");
            }
        }
        assert!(dispatch(&["--transport".to_owned()], &mut Vec::new()).is_none());
    }
}
