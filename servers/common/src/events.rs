//! The JSON lines on standard output: ready, report (on SIGUSR1), exit.

use std::io::{self, Write};
use std::net::SocketAddr;

/// Keys and values of an event line; printed sorted by key.
pub type Details = serde_json::Map<String, serde_json::Value>;

/// Prints `{"event":"ready",…}`: from now on connections are answered.
///
/// `details` says what was really obtained: attach and copy mode, features of io_uring, waiting.
///
/// # Errors
/// Whatever writing to standard output returns.
pub fn ready_line(mode: &str, listen: SocketAddr, details: Details) -> io::Result<()> {
    let mut line = Details::new();
    line.insert("listen".to_owned(), listen.to_string().into());
    line.extend(details);
    print("ready", mode, line)
}

/// Prints `{"event":"report",…}` with every counter, on SIGUSR1.
///
/// # Errors
/// Whatever writing to standard output returns.
pub fn report_line(mode: &str, counters: Details) -> io::Result<()> {
    print("report", mode, nested(counters))
}

/// Prints `{"event":"exit",…}` with every counter, last of all.
///
/// # Errors
/// Whatever writing to standard output returns.
pub fn exit_line(mode: &str, counters: Details) -> io::Result<()> {
    print("exit", mode, nested(counters))
}

fn nested(counters: Details) -> Details {
    let mut line = Details::new();
    line.insert("counters".to_owned(), counters.into());
    line
}

fn print(event: &str, mode: &str, rest: Details) -> io::Result<()> {
    let mut line = Details::new();
    line.insert("event".to_owned(), event.into());
    line.insert("mode".to_owned(), mode.into());
    line.insert("pid".to_owned(), std::process::id().into());
    line.extend(rest);
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, &line)?;
    output.write_all(b"\n")?;
    output.flush()
}
