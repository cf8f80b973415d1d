//! `GET /plaintext` on axum, hyper and tokio: one thread, with the headers of our own servers.
//!
//! Usage: contender-axum ADDRESS:PORT
#![forbid(unsafe_code)]

use axum::Router;
use axum::http::header::{CONTENT_TYPE, SERVER};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt;
use std::io;
use tokio::net::TcpListener;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).ok_or_else(usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?.tap_io(|socket| {
            if let Err(error) = socket.set_nodelay(true) {
                eprintln!("contender-axum: TCP_NODELAY: {error}");
            }
        });
        axum::serve(listener, Router::new().route("/plaintext", get(plaintext))).await
    })
}

async fn plaintext() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain"), (SERVER, "showdown")], "Hello, World!")
}

fn usage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "usage: contender-axum ADDRESS:PORT")
}
