//! The commands of the documents are run as they stand there, against a server in this process:
//! each has to succeed, and to leave the files that it names.
//!
//! What depends on who reads is replaced: the server's address, and how long or how fast things go,
//! so that a minute's reading does not take a minute. A replacement that nothing needs any more
//! fails the test, and so does a command that no document shows any more.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// What is replaced in commands, beside the server's address.
const REPLACED: [(&str, &str); 10] = [
    (" -d5 ", " -d1 "),
    (" -d 1m", " -d 20ms"),
    (" -l 10 ", " -l -20 "),
    (" -t HTTP_CRR ", " -t HTTP_CRR -l -20 "),
    (" -R20k ", " -R100 -T1h "),
    ("--rates 10k,20k-100k+10k ", "--rates 50,100 -d1 "),
    // A machine that stops now and then still holds this.
    ("'p99<=200us' ", "'errors==0' --min 10 --max 20 -d1 -T1h "),
    ("pingpong ", "pingpong --warmupms 0 --warmupiter 1 --minms 0 --maxms 0 --miniter 5 "),
    // A machine may have one CPU.
    ("--affinity 1 ", "--affinity 0 "),
    ("--cpu 1 ", "--cpu 0 "),
];

/// Programs of others, and servers, which the blocks show beside ours.
const NOT_RUN: [&str; 4] = ["sockperf", "server-epoll", "server-memif", "ip"];
/// What commands need that want another peer than a socket: `tests/bypass.rs` runs their like.
const NOT_HERE: [&str; 2] = ["--transport memif", "--transport dpdk"];

/// A field with which either side says that it will close the connection.
const CLOSE: &str = "Connection: close\r\n";

/// A server that answers `GET` with HTTP, and sends back what is no HTTP.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            // A client that goes away ends its thread.
            thread::spawn(move || serve(stream).ok());
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        input.extend_from_slice(&buffer[..count]);
        if !input.starts_with(b"GET ") {
            stream.write_all(&input)?;
            input.clear();
        }
        while let Some(end) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head: Vec<u8> = input.drain(..end + 4).collect();
            let head = std::str::from_utf8(&head).expect("it is ours");
            answer(&mut stream, head)?;
            if head.contains(CLOSE) {
                return Ok(());
            }
        }
    }
}

fn answer(stream: &mut TcpStream, head: &str) -> std::io::Result<()> {
    let path = head.split(' ').nth(1).expect("a request has a path");
    let length: usize = match path.strip_prefix("/bytes/") {
        Some(digits) => digits.parse().expect("a number"),
        None => 13,
    };
    let close = if head.contains(CLOSE) { CLOSE } else { "" };
    let head = format!("HTTP/1.1 200 OK\r\n{close}Content-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), &vec![b'x'; length]].concat())
}

/// The lines of the `text` blocks, those put together that end in a backslash.
fn commands(document: &str) -> Vec<String> {
    let blocks = document.split("```text\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let joined: String = blocks.collect::<String>().replace("\\\n", " ");
    let lines = joined.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect()
}

/// The files that a command says it writes.
fn files(command: &str) -> Vec<&str> {
    let words: Vec<&str> = command.split(' ').collect();
    let writes = |option: &str| matches!(option, "--json" | "--hgrm" | "--hlog" | "--csv");
    words.windows(2).filter(|pair| writes(pair[0])).map(|pair| pair[1]).collect()
}

/// A folder that holds the binary's name and the scripts where the documents have them.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_MANIFEST_DIR"), folder.join("loadgen")).unwrap();
    folder
}

/// Runs a command in the folder, as a shell would.
fn run(folder: &Path, command: &str) {
    let arguments = command.strip_prefix("loadgen ").expect("it is ours");
    let line = format!("exec {} {arguments}", env!("CARGO_BIN_EXE_loadgen"));
    let output = Command::new("sh").args(["-c", &line]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    assert!(!output.stdout.is_empty(), "{command}");
    for file in files(command) {
        let length = std::fs::metadata(folder.join(file)).map(|metadata| metadata.len());
        assert!(length.is_ok_and(|length| length > 0), "{command}: no {file}");
    }
}

#[test]
fn every_command_of_the_documents_succeeds_and_leaves_its_files() {
    let address = server();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let folder = folder();
    let mut unused: Vec<&str> = REPLACED.iter().map(|(from, _)| *from).collect();
    let mut seen = Vec::new();
    for document in [include_str!("../README.md"), include_str!("../scripts/README.md")] {
        for shown in commands(document) {
            let program = shown.split(' ').next().unwrap();
            if NOT_RUN.contains(&program) || NOT_HERE.iter().any(|one| shown.contains(one)) {
                continue;
            }
            let mut command = shown.clone();
            for (from, to) in REPLACED {
                if command.contains(from) {
                    command = command.replace(from, to);
                    unused.retain(|one| *one != from);
                }
            }
            let here = format!("{host}:{port}");
            command = command.replace("198.18.0.1:8080", &here).replace("127.0.0.1:8080", &here);
            command = command.replace("-H 198.18.0.1", &format!("-H {host} -p {port}"));
            assert!(!command.contains("198.18"), "{command} would leave this machine");
            run(&folder, &command);
            let of_its_own = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
            seen.extend(shown.split(' ').nth(1).filter(of_its_own).map(str::to_owned));
        }
    }
    assert_eq!(unused, [""; 0], "nothing is replaced by these any more");
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["crr", "noise", "pingpong", "rr", "search", "stream", "sweep"]);
    std::fs::remove_dir_all(&folder).unwrap();
}
