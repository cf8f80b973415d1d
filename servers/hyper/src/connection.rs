//! One HTTP connection: hyper, supervised, and what comes after it.

use crate::service::Routes;
use crate::socket::Socket;
use crate::supervise::{Run, Stage, supervise};
use crate::vitals::{Late, Vitals, begins_a_head};
use crate::worker::Thread;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use server_common::{Count, sys};
use server_http::{Date, Limits};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

/// Bytes dropped by one read while lingering.
const LINGER_READ_BYTES: usize = 4096;
/// hyper's smallest bound on its buffers, in bytes; below it the builder panics.
const BUFFER_BYTES_MIN: usize = 8192;
/// The number of fields that hyper has places for without allocating for each request.
const FIELDS_DEFAULT: usize = 100;

/// hyper as every connection of a thread uses it.
pub(crate) fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // A client that has sent its FIN is answered all the same.
        .half_close(true)
        // hyper's own time-out runs on through idle time: the supervisor keeps the two apart.
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes.max(BUFFER_BYTES_MIN))
        .max_header_size(limits.head_bytes);
    if limits.header_count != FIELDS_DEFAULT {
        builder.max_headers(limits.header_count);
    }
    builder
}

/// How a connection ends.
struct End<'a> {
    /// How the socket is closed.
    closing: Closing,
    /// The counter of the reason.
    count: &'a Count,
}

/// How the socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// With a FIN, and no more.
    Fin,
    /// With a FIN, and reading on for a while (RFC 9112 §9.6).
    Linger,
    /// The same, after a 408.
    Answer408,
    /// With a RST.
    Reset,
    /// As the kernel likes.
    Drop,
}

/// Serves one connection to its end, and says which counter that is.
pub(crate) async fn serve<'a>(
    socket: Socket,
    vitals: &'a Rc<Vitals>,
    thread: &Thread,
) -> &'a Count {
    let routes = Routes::new(vitals.clone());
    let mut connection = thread.http.serve_connection(TokioIo::new(socket), routes);
    let mut draining = false;
    let run = loop {
        let run = supervise(&thread.ending, vitals, |context, stage| {
            let polled = connection.poll_without_shutdown(context);
            if polled.is_ready() || stage != Stage::Draining || draining {
                return polled;
            }
            // It has not ended by itself: from now on the answer in flight is the last.
            draining = true;
            Pin::new(&mut connection).graceful_shutdown();
            connection.poll_without_shutdown(context)
        });
        match run.await {
            // The service answers 408; hyper goes on until that is out.
            Run::Late(Late::Body) => vitals.give_up_body(),
            run => break run,
        }
    };
    let parts = connection.into_parts();
    let run = match run {
        // A head that began in one segment with an earlier request lies in hyper's buffer, where
        // nothing shows it before the idle time is over.
        Run::Late(Late::Idle) if begins_a_head(&parts.read_buf) => Run::Late(Late::Head),
        run => run,
    };
    let End { closing, count } = end(run, draining, vitals);
    let socket = parts.io.into_inner();
    if let Err(error) = close(socket, closing, vitals, thread).await {
        // The client was faster: there is nothing left to close in an orderly way.
        debug_assert_ne!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    }
    count
}

/// How to end after `run`.
fn end(run: Run<hyper::Result<()>>, draining: bool, vitals: &Vitals) -> End<'_> {
    let counters = &*vitals.counters;
    let (closing, count) = match run {
        Run::Ended(Ok(())) => match vitals.ending() {
            Some(why) => (Closing::Linger, counters.closed_because(why)),
            None if draining => (Closing::Linger, &counters.closed_drained),
            None => (Closing::Fin, &counters.closed_peer),
        },
        // hyper has answered what it could not parse.
        Run::Ended(Err(error)) if error.is_parse() => (Closing::Linger, &counters.closed_refused),
        Run::Ended(Err(error)) if error.is_incomplete_message() => {
            (Closing::Fin, &counters.closed_peer)
        }
        Run::Ended(Err(_)) => (Closing::Drop, &counters.closed_error),
        Run::Late(Late::Idle) => (Closing::Fin, &counters.closed_idle_timeout),
        Run::Late(Late::Head) => (Closing::Answer408, &counters.closed_head_timeout),
        Run::Late(Late::Body | Late::Linger) => (Closing::Linger, &counters.closed_body_timeout),
        Run::Late(Late::Send) => (Closing::Reset, &counters.closed_send_timeout),
        Run::CutOff => (Closing::Drop, &counters.closed_drain_deadline),
    };
    End { closing, count }
}

/// Closes the socket that hyper is done with.
async fn close(
    mut socket: Socket,
    closing: Closing,
    vitals: &Vitals,
    thread: &Thread,
) -> io::Result<()> {
    match closing {
        Closing::Drop => return Ok(()),
        Closing::Reset => return socket.reset(),
        Closing::Fin => return socket.shutdown().await,
        Closing::Answer408 => {
            // hyper has no 408. It has answered all before, and the send buffer has room for this.
            socket.write_all(timeout_response().as_bytes()).await?;
            vitals.counters.responses.add(1);
        }
        Closing::Linger => {}
    }
    socket.shutdown().await?;
    vitals.lingers();
    let mut left = vitals.limits.linger_bytes;
    let drained =
        supervise(&thread.ending, vitals, |context, _| drop_input(&mut socket, &mut left, context));
    // Whatever ended it, by its end, by volume or by time: now the socket is dropped.
    match drained.await {
        Run::Ended(result) => result,
        Run::Late(_) | Run::CutOff => Ok(()),
    }
}

/// Reads and drops input, until there is no more, or it was too much.
fn drop_input(
    socket: &mut Socket,
    left: &mut usize,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let mut bytes = [0; LINGER_READ_BYTES];
    while *left > 0 {
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut *socket).poll_read(context, &mut buffer))?;
        match buffer.filled().len() {
            0 => break,
            count => *left = left.saturating_sub(count),
        }
    }
    Poll::Ready(Ok(()))
}

/// The bytes that every other mode answers to a head that is not complete in time.
fn timeout_response() -> String {
    let date = Date::from_unix_seconds(sys::realtime_ns() / 1_000_000_000);
    let date = String::from_utf8_lossy(date.as_bytes()).into_owned();
    format!(
        "HTTP/1.1 408 Request Timeout\r\nserver: showdown\r\nconnection: close\r\n\
         content-length: 0\r\ndate: {date}\r\n\r\n"
    )
}
