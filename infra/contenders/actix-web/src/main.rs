//! `GET /plaintext` on actix-web: one worker thread, with the headers of our own servers.
//!
//! Usage: contender-actix-web ADDRESS:PORT
#![forbid(unsafe_code)]

use actix_web::http::header::{CONTENT_TYPE, SERVER};
use actix_web::{App, HttpResponse, HttpServer, web};
use std::io;

#[actix_web::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).ok_or_else(usage)?;
    let server = HttpServer::new(|| App::new().route("/plaintext", web::get().to(plaintext)));
    // SIGTERM is to end it at once.
    server.workers(1).backlog(4096).disable_signals().bind(address)?.run().await
}

async fn plaintext() -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((SERVER, "showdown")).insert_header((CONTENT_TYPE, "text/plain"));
    response.body("Hello, World!")
}

fn usage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "usage: contender-actix-web ADDRESS:PORT")
}
