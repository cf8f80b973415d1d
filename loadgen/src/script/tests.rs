//! Scripts in sessions without a load: the bytes they ask to be sent, what they print, and how they
//! fail.

mod api;
mod hooks;
mod mistakes;
mod scripts;

use super::*;
use crate::source::{Source, SourceError};
use crate::url::Url;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A script as a file, taken away with the test.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("loadgen-{}-{number}.lua", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// A session with a server that accepts connections and does nothing else.
struct World {
    session: Session,
    threads: Vec<ThreadScript>,
    /// `host:port` of the server.
    authority: String,
    _server: TcpListener,
}

/// Replaces what prints by something that keeps the text in the global `printed`.
const KEEP_OUTPUT: &str = "
    printed = ''
    function print(...)
        local words = {...}
        for i = 1, select('#', ...) do words[i] = tostring(words[i]) end
        printed = printed .. table.concat(words, '\\t') .. '\\n'
    end
    function io.write(...)
        for _, word in ipairs({...}) do printed = printed .. word end
    end
";

/// What a run of `threads` threads is prepared with.
fn prepare(script: &Path, args: &[&str], threads: usize) -> Result<World, SourceError> {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = server.local_addr().unwrap().to_string();
    let url_text = format!("http://{authority}/start?q=1");
    let mut setup = Setup::new(script, &url_text, &Url::parse(&url_text).unwrap());
    setup.args = args.iter().map(|word| (*word).to_owned()).collect();
    let mut session = Session::load(setup)?;
    session.main().lua().load(KEEP_OUTPUT).exec().unwrap();
    session.resolve()?;
    let threads = (0..threads).map(|_| session.thread()).collect::<Result<Vec<_>, _>>()?;
    Ok(World { session, threads, authority, _server: server })
}

/// A world for a script given as text, with two threads.
fn world(text: &str) -> World {
    let file = File::new(text);
    let mut world = prepare(&file.0, &["one", "two"], 2).unwrap();
    assert_eq!(world.session.warnings(), [""; 0]);
    world
}

impl World {
    /// The next batch of a thread, with the server's address made the same in every test.
    fn request(&mut self, thread: usize) -> String {
        let mut batch = Vec::new();
        self.threads[thread].render(&mut batch).unwrap();
        String::from_utf8(batch).unwrap().replace(&self.authority, "HOST")
    }

    fn respond(&mut self, thread: usize, status: u16, fields: &[(&str, &str)], body: &str) {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        self.threads[thread].response(status, &fields, body.as_bytes()).unwrap();
    }

    /// What the main VM has printed.
    fn printed(&self) -> String {
        self.session.main().lua().globals().get("printed").unwrap()
    }

    /// A global of a thread's VM, as Lua shows it.
    fn global(&self, thread: usize, name: &str) -> String {
        let lua = self.threads[thread].vm().lua();
        lua.load(format!("return tostring({name})")).eval().unwrap()
    }
}

/// Figures of four batches and a rate, from two threads' worth of nothing else.
fn figures(rate_given: bool) -> WrkFigures {
    let mut latency = Recorded::new(2_000_000);
    for value in [100, 200, 200, 900] {
        assert!(latency.record(value));
    }
    let mut requests = Recorded::new(RATE_MAX_RPS);
    assert!(requests.record(40));
    let errors = Errors { connect: 1, read: 2, write: 3, status: 4, timeout: 5 };
    let summary = Summary { duration_us: 1_500_000, requests: 4, bytes: 1 << 33, errors };
    WrkFigures { latency, requests, summary, rate_given }
}

/// The lines of a request with its fields sorted: `pairs` has no order.
fn sorted(request: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = request.lines().collect();
    let end = lines.iter().position(|line| line.is_empty()).unwrap();
    lines[1..end].sort_unstable();
    lines
}
