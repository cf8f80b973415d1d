//! `GET /plaintext` on ntex, over its own io_uring runtime: one worker thread, with the headers of
//! our own servers.
//!
//! Usage: contender-ntex ADDRESS:PORT
#![forbid(unsafe_code)]

use ntex::http::header::{CONTENT_TYPE, SERVER};
use ntex::web::{self, App, HttpResponse, HttpServer};
use std::io;

#[ntex::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).ok_or_else(usage)?;
    let server = HttpServer::new(async || App::new().route("/plaintext", web::get().to(plaintext)));
    // SIGTERM is to end it at once.
    server.workers(1).backlog(4096).disable_signals().bind(address)?.run().await
}

async fn plaintext() -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.header(SERVER, "showdown").header(CONTENT_TYPE, "text/plain");
    response.body("Hello, World!")
}

fn usage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "usage: contender-ntex ADDRESS:PORT")
}
