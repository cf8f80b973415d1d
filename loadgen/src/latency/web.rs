//! Pings over HTTP: `GET /bytes/N` on a connection that is kept, its answer checked in full.

use super::link::{Exchange, Io};
use super::receiver::Receiver;
use crate::response::{HeadCache, Parser, Progress};
use std::io::{self, ErrorKind};

/// Room for one receive.
const RECEIVE_BYTES: usize = 128 << 10;

/// A connection to an HTTP server.
pub(super) struct WebLink {
    io: Io,
    receiver: Receiver,
    /// What the `Host` field says.
    authority: String,
    /// Requests of a ping, sent together; as many responses come back.
    pings: usize,
    request: Vec<u8>,
    parser: Parser,
    cache: HeadCache,
    buffer: Vec<u8>,
    size: usize,
    /// Bytes of the last response, head and body.
    response_len: usize,
    /// Its first bytes, as many as one receive brought.
    head: Vec<u8>,
    status: u16,
}

impl WebLink {
    /// A connection whose pings have `pings` pipelined requests each.
    pub(super) fn new(io: Io, receiver: Receiver, authority: String, pings: usize) -> Self {
        Self {
            io,
            receiver,
            authority,
            pings,
            request: Vec::new(),
            parser: Parser::new(false),
            cache: HeadCache::default(),
            buffer: vec![0; RECEIVE_BYTES],
            size: 0,
            response_len: 0,
            head: Vec::new(),
            status: 0,
        }
    }

    fn receive_all(&mut self) -> Result<(), String> {
        let (mut from, mut to, mut length) = (0, 0, 0);
        let mut left = self.pings;
        while left > 0 {
            if from == to {
                from = 0;
                to = self
                    .receiver
                    .receive(&self.io, &mut self.buffer)
                    .map_err(|error| self.explain(&error))?;
                if to == 0 {
                    return Err("the server closed the connection inside the answer".to_owned());
                }
                if length == 0 {
                    self.head.clear();
                    self.head.extend_from_slice(&self.buffer[..to.min(512)]);
                }
            }
            let progress = self.parser.advance(&self.buffer[from..to], &mut self.cache);
            match progress.map_err(|error| format!("the answer is not HTTP: {error}"))? {
                Progress::Partial => {
                    length += to - from;
                    from = to;
                }
                Progress::Complete { consumed, status, keep_alive } => {
                    from += consumed;
                    self.response_len = length + consumed;
                    (length, self.status) = (0, status);
                    left -= 1;
                    if status != 200 || !keep_alive {
                        return Err(self.unwanted(keep_alive));
                    }
                }
            }
        }
        if from < to {
            return Err("more came back than was asked for".to_owned());
        }
        Ok(())
    }

    fn unwanted(&self, keep_alive: bool) -> String {
        let kept = if keep_alive { "" } else { " and closes the connection" };
        format!(
            "the server answers GET /bytes/{} with status {}{kept}: is it one of this project?",
            self.size, self.status
        )
    }

    fn explain(&self, error: &io::Error) -> String {
        match error.kind() {
            ErrorKind::TimedOut => {
                format!(
                    "no answer to GET /bytes/{} within {:?}",
                    self.size,
                    self.receiver.timeout()
                )
            }
            _ => format!("GET /bytes/{} failed: {error}", self.size),
        }
    }
}

impl Exchange for WebLink {
    fn prepare(&mut self, size: usize) -> Result<(), String> {
        self.size = size;
        let request = format!("GET /bytes/{size} HTTP/1.1\r\nHost: {}\r\n\r\n", self.authority);
        self.request = request.repeat(self.pings).into_bytes();
        Ok(())
    }

    fn exchange(&mut self) -> Result<(), String> {
        let mut sent = 0;
        while sent < self.request.len() {
            // Requests are small: a socket that has no room for them has a peer that reads none.
            sent +=
                self.io.send(&self.request[sent..], false).map_err(|error| self.explain(&error))?;
        }
        self.receive_all()
    }

    fn verify(&mut self) -> Result<(), String> {
        let end = self.head.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        match end {
            Some(head_len) if self.response_len - head_len == self.size => Ok(()),
            Some(head_len) => Err(format!(
                "GET /bytes/{} was answered with {} bytes",
                self.size,
                self.response_len - head_len
            )),
            None => Err("the head of the answer is longer than 512 bytes".to_owned()),
        }
    }
}
