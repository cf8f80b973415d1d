//! `GET /plaintext` on monoio (io_uring) and httparse: one thread, pipelined requests answered in
//! one write, with the headers of our own servers.
//!
//! Usage: contender-monoio ADDRESS:PORT
#![forbid(unsafe_code)]

use httparse::{EMPTY_HEADER, Request, Status};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// Input of a connection that has not been answered is at most this long, in bytes.
const INPUT_BYTES: usize = 16 * 1024;
const HEADERS: usize = 32;

/// The value of `date`, made anew each second.
type Date = Rc<RefCell<String>>;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).ok_or_else(usage)?;
    let builder = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().enable_timer();
    builder.build()?.block_on(serve(address))
}

async fn serve(address: String) -> io::Result<()> {
    let date = Rc::new(RefCell::new(today()));
    let clock = date.clone();
    monoio::spawn(async move {
        loop {
            monoio::time::sleep(Duration::from_secs(1)).await;
            *clock.borrow_mut() = today();
        }
    });
    let listener = TcpListener::bind(address)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        monoio::spawn(answer(stream, date.clone()));
    }
}

/// Answers until the client is gone, or says what is no request.
async fn answer(mut stream: TcpStream, date: Date) {
    let (mut input, mut output) = (Vec::with_capacity(INPUT_BYTES), Vec::new());
    let mut held: Vec<u8> = Vec::new();
    while let (Ok(1..), received) = stream.read(input).await {
        held.extend_from_slice(&received);
        let Some(consumed) = respond(&held, &date.borrow(), &mut output) else { return };
        held.drain(..consumed);
        if held.len() > INPUT_BYTES {
            return;
        }
        let (written, buffer) = stream.write_all(output).await;
        if written.is_err() {
            return;
        }
        (input, output) = (received, buffer);
        (input.clear(), output.clear());
    }
}

/// Answers every whole request in `input`; returns how much of it they were, or nothing where it
/// is none.
fn respond(input: &[u8], date: &str, output: &mut Vec<u8>) -> Option<usize> {
    let mut consumed = 0;
    loop {
        let mut headers = [EMPTY_HEADER; HEADERS];
        let mut request = Request::new(&mut headers);
        match request.parse(&input[consumed..]).ok()? {
            Status::Partial => return Some(consumed),
            Status::Complete(len) => consumed += len,
        }
        let (status, body) = match (request.method?, request.path?) {
            ("GET", "/plaintext") => ("200 OK", "Hello, World!"),
            _ => ("404 Not Found", ""),
        };
        let len = body.len();
        write!(
            output,
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\nserver: showdown\r\n\
             content-length: {len}\r\ndate: {date}\r\n\r\n{body}"
        )
        .ok()?;
    }
}

fn today() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

fn usage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "usage: contender-monoio ADDRESS:PORT")
}
