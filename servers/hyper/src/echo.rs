//! `--service echo`: every byte is sent back, without hyper.

use crate::socket::Socket;
use crate::supervise::{Run, Stage, supervise};
use crate::vitals::{Late, Vitals};
use crate::worker::Thread;
use server_common::{Count, Counters, DATAGRAM_BYTES, count_answer};
use server_http::Reason;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UdpSocket;

/// Bytes taken by one read.
const READ_BYTES: usize = 16 * 1024;

/// Bytes that were received and not yet sent back.
struct Echo {
    bytes: Box<[u8; READ_BYTES]>,
    from: usize,
    to: usize,
}

/// Serves one connection to its end, and says which counter that is.
pub(crate) async fn serve<'a>(
    mut socket: Socket,
    vitals: &'a Vitals,
    thread: &Thread,
) -> &'a Count {
    let mut echo = Echo { bytes: Box::new([0; READ_BYTES]), from: 0, to: 0 };
    let run = supervise(&thread.ending, vitals, |context, stage| {
        echo.advance(&mut socket, vitals, stage, context)
    });
    let counters = &*vitals.counters;
    let (closed, count) = match run.await {
        Run::Ended(Ok(why)) => (socket.shutdown().await, counters.closed_because(why)),
        Run::Ended(Err(error)) => (Err(error), &counters.closed_error),
        Run::Late(Late::Send) => (socket.reset(), &counters.closed_send_timeout),
        Run::Late(_) => (socket.shutdown().await, &counters.closed_idle_timeout),
        Run::CutOff => (Ok(()), &counters.closed_drain_deadline),
    };
    // A connection that cannot be closed in an orderly way is gone already.
    drop(closed);
    count
}

/// Sends every datagram back, for ever; without a socket there is nothing to do, as long.
pub(crate) async fn serve_datagrams(socket: Option<&UdpSocket>, counters: &Counters) {
    let Some(socket) = socket else { return std::future::pending().await };
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((count, from)) => {
                counters.datagrams_received.add(1);
                counters.received_bytes.add(count as u64);
                count_answer(socket.try_send_to(&buffer[..count], from), counters);
            }
            // Reading it has cleared it: the next datagram may be there.
            Err(_) => counters.datagram_errors.add(1),
        }
    }
}

impl Echo {
    /// Sends back what there is and reads more, until the connection ends.
    fn advance(
        &mut self,
        socket: &mut Socket,
        vitals: &Vitals,
        stage: Stage,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Reason>> {
        loop {
            while self.from < self.to {
                let left = &self.bytes[self.from..self.to];
                let sent = ready!(Pin::new(&mut *socket).poll_write(context, left))?;
                if sent == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.from += sent;
            }
            let mut buffer = ReadBuf::new(&mut *self.bytes);
            match Pin::new(&mut *socket).poll_read(context, &mut buffer) {
                Poll::Ready(read) => read?,
                // All that was received is sent back: the last that is owed.
                Poll::Pending if stage != Stage::Serving => {
                    return Poll::Ready(Ok(Reason::Drained));
                }
                Poll::Pending => return Poll::Pending,
            }
            (self.from, self.to) = (0, buffer.filled().len());
            if self.to == 0 {
                return Poll::Ready(Ok(Reason::PeerClosed));
            }
            vitals.stirred();
        }
    }
}
