//! `GET /plaintext` on may_minihttp: stackful coroutines on one thread. The library writes
//! `Server: M` itself.
//!
//! Usage: contender-may-minihttp ADDRESS:PORT
#![forbid(unsafe_code)]

use may_minihttp::{HttpServer, HttpService, Request, Response};
use std::io;

#[derive(Clone)]
struct Plaintext;

impl HttpService for Plaintext {
    fn call(
        &mut self,
        request: Request<'_, '_, '_>,
        response: &mut Response<'_>,
    ) -> io::Result<()> {
        if request.path() == "/plaintext" {
            response.header("Content-Type: text/plain").body("Hello, World!");
        } else {
            response.status_code(404, "Not Found");
        }
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).ok_or_else(usage)?;
    may::config().set_workers(1);
    let server = HttpServer(Plaintext).start(address)?;
    server.join().map_err(|_| io::Error::other("the server's coroutine has panicked"))
}

fn usage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "usage: contender-may-minihttp ADDRESS:PORT")
}
