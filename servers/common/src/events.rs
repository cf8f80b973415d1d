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

/// Prints `{"event":"exit",…}` with every counter, last of all; `details` says once more what the
/// threads obtained.
///
/// # Errors
/// Whatever writing to standard output returns.
pub fn exit_line(mode: &str, details: Details, counters: Details) -> io::Result<()> {
    let mut line = nested(counters);
    line.extend(details);
    print("exit", mode, line)
}

fn nested(counters: Details) -> Details {
    let mut line = Details::new();
    line.insert("counters".to_owned(), counters.into());
    line
}

fn print(event: &str, mode: &str, rest: Details) -> io::Result<()> {
    write(&mut io::stdout().lock(), event, mode, rest)
}

fn write(output: &mut impl Write, event: &str, mode: &str, rest: Details) -> io::Result<()> {
    let mut line = Details::new();
    line.insert("event".to_owned(), event.into());
    line.insert("mode".to_owned(), mode.into());
    line.insert("pid".to_owned(), std::process::id().into());
    line.extend(rest);
    // One write for the whole line: a reader never sees half of it between two of ours.
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.push(b'\n');
    output.write_all(&bytes)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_event_mode_pid_and_the_details_sorted_by_key() {
        let mut details = Details::new();
        details.insert("threads".to_owned(), 2.into());
        details.insert("cpus".to_owned(), vec![0, 1].into());
        let mut line = Vec::new();
        write(&mut line, "ready", "epoll", details).expect("memory takes it");
        let pid = std::process::id();
        let expect =
            format!(r#"{{"cpus":[0,1],"event":"ready","mode":"epoll","pid":{pid},"threads":2}}"#);
        assert_eq!(String::from_utf8(line).expect("JSON is UTF-8"), expect + "\n");
    }

    #[test]
    fn counters_are_nested_and_a_full_disk_is_an_error() {
        let mut counters = Details::new();
        counters.insert("responses".to_owned(), 7.into());
        let mut line = Vec::new();
        write(&mut line, "exit", "epoll", nested(counters.clone())).expect("memory takes it");
        let line: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(line["counters"]["responses"], 7);
        write(&mut &mut [0_u8; 4][..], "exit", "epoll", nested(counters)).expect_err("4 bytes");
    }
}
