//! The far end: every frame goes back as it came.

use crate::link::{Link, Open};
use crate::pin;
use anyhow::{Context, Result};
use queue::{Burst, Queue};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Reflects until SIGTERM or SIGINT. Prints the lines of a server: what was obtained, and every
/// counter at the end.
pub(crate) fn run(open: Open, link: &Link, cpu: Option<usize>) -> Result<()> {
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&is_over))
            .context("signals cannot be taken over")?;
    }
    pin(cpu)?;
    // The port is dropped behind its queue: the link lasts as long as there is something to send.
    match open {
        Open::Memif(_port, queue) => reflect(*queue, link, &is_over),
        Open::Xdp(_port, queue) => reflect(*queue, link, &is_over),
    }
}

fn reflect(mut queue: impl Queue, link: &Link, is_over: &AtomicBool) -> Result<()> {
    say(&ready_line(&queue, link))?;
    let mut burst = Burst::new();
    while !is_over.load(Ordering::Relaxed) {
        queue.rx_burst(&mut burst);
        // What is refused stays in the burst, and is offered again before more is taken in.
        queue.tx_burst(&mut burst);
        std::hint::spin_loop();
    }
    let left = burst.len();
    burst.drain(left).for_each(|frame| queue.free(frame));
    let mut counters = serde_json::Map::new();
    queue.counters(&mut |counter, value| _ = counters.insert(counter.0.to_owned(), value.into()));
    say(&json!({"event": "exit", "mode": "floor", "counters": counters}))
}

fn ready_line(queue: &impl Queue, link: &Link) -> Value {
    let caps = queue.caps();
    json!({
        "event": "ready", "mode": "floor", "pid": std::process::id(), "wait": "spin",
        "listen": link.address().to_string(), "driver": caps.driver,
        "attach": format!("{:?}", caps.attach).to_lowercase(),
        "copy": format!("{:?}", caps.copy_mode).to_lowercase(),
        "busy_poll": format!("{:?}", caps.busy_poll).to_lowercase(),
    })
}

/// Prints a line of JSON.
pub(crate) fn say(line: &Value) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("standard output is closed")
}
