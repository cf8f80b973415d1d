//! One end of a connection, and the exchange of a ping for its pongs.

use super::receiver::Receiver;
use super::sys::{self, PollFd};
use socket2::{SockAddr, Socket};
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

/// What bytes travel through.
pub(super) enum Io {
    /// A socket, and where its datagrams go if it is not connected.
    Socket { socket: Socket, to: Option<SockAddr> },
    /// A pipe for each direction.
    Pipe { reader: PipeReader, writer: PipeWriter },
}

impl Io {
    /// The descriptor that is read.
    pub(super) fn read_fd(&self) -> RawFd {
        match self {
            Self::Socket { socket, .. } => socket.as_raw_fd(),
            Self::Pipe { reader, .. } => reader.as_raw_fd(),
        }
    }

    /// Lets no read or write wait.
    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Socket { socket, .. } => socket.set_nonblocking(true),
            Self::Pipe { reader, writer } => {
                sys::set_nonblocking(reader.as_fd())?;
                sys::set_nonblocking(writer.as_fd())
            }
        }
    }

    /// Lets a read of a socket wait at most this long. A pipe has no such option.
    pub(super) fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Socket { socket, .. } => socket.set_read_timeout(Some(timeout)),
            Self::Pipe { .. } => Ok(()),
        }
    }

    /// Receives what there is, up to the length of `buffer`.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket { socket, .. } => (&*socket).read(buffer),
            Self::Pipe { reader, .. } => (&*reader).read(buffer),
        }
    }

    /// Sends without waiting; `more` says that another send follows at once (MSG_MORE).
    ///
    /// NB: a pipe in blocking mode waits all the same, which is why a ping through it is bounded
    /// by what a pipe holds.
    pub(super) fn send(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | if more { libc::MSG_MORE } else { 0 };
        match self {
            Self::Socket { socket, to: None } => socket.send_with_flags(bytes, flags),
            Self::Socket { socket, to: Some(to) } => socket.send_to_with_flags(bytes, to, flags),
            Self::Pipe { writer, .. } => (&*writer).write(bytes),
        }
    }

    /// Waits until there is room to send.
    ///
    /// # Errors
    /// `TimedOut` where none comes.
    pub(super) fn wait_for_room(&self, timeout: Duration) -> io::Result<()> {
        let fd = match self {
            Self::Socket { socket, .. } => socket.as_raw_fd(),
            Self::Pipe { writer, .. } => writer.as_raw_fd(),
        };
        match sys::poll(&mut [PollFd::new(fd, false, true)], timeout)? {
            0 => Err(ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }

    /// Waits until there is room to send or something to receive; says whether there is the
    /// latter.
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let mut fds = match self {
            Self::Socket { socket, .. } => [PollFd::new(socket.as_raw_fd(), true, true); 2],
            Self::Pipe { reader, writer } => [
                PollFd::new(reader.as_raw_fd(), true, false),
                PollFd::new(writer.as_raw_fd(), false, true),
            ],
        };
        if sys::poll(&mut fds, timeout)? == 0 {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(fds[0].is_readable())
    }
}

/// Something that is pinged: sends what was prepared, and waits until all of the answer is there.
pub(super) trait Exchange {
    /// Makes messages of `size` bytes ready.
    ///
    /// # Errors
    /// A sentence where that size cannot be sent.
    fn prepare(&mut self, size: usize) -> Result<(), String>;

    /// One exchange: this is what is timed.
    ///
    /// # Errors
    /// A sentence that says what came instead of the answer.
    fn exchange(&mut self) -> Result<(), String>;

    /// Whether the last answer was the right one, byte for byte: asked outside of the measurement.
    ///
    /// # Errors
    /// A sentence that says what was wrong with it.
    fn verify(&mut self) -> Result<(), String>;
}

/// An end whose peer sends every byte back.
pub(super) struct Link {
    io: Io,
    receiver: Receiver,
    /// Messages have no boundaries.
    is_stream: bool,
    /// Messages of a ping; as many come back.
    pings: usize,
    /// Whether all but the last of them are sent with MSG_MORE.
    more: bool,
    message: Vec<u8>,
    /// What came back: all messages of a ping, one after the other.
    answer: Vec<u8>,
}

/// Most bytes of one ping, all its messages together.
pub(super) const PING_MAX_BYTES: usize = 64 << 20;
/// What a pipe holds (pipe(7), since Linux 2.6.11).
pub(super) const PIPE_BYTES: usize = 64 << 10;

impl Link {
    /// An end whose pings have `pings` messages each.
    pub(super) fn new(
        io: Io,
        receiver: Receiver,
        is_stream: bool,
        pings: usize,
        more: bool,
    ) -> Self {
        let (message, answer) = (Vec::new(), Vec::new());
        Self { io, receiver, is_stream, pings, more, message, answer }
    }

    /// Waits for room to send, and takes what comes meanwhile: a peer that cannot send what it
    /// owes reads no more, and then the room would never come.
    fn make_room(&mut self, received: &mut usize) -> Result<(), String> {
        let waited = self.io.wait(self.receiver.timeout());
        let readable = waited.map_err(|error| self.explain(&error))?;
        if readable && *received < self.answer.len() {
            let count = match self.io.receive(&mut self.answer[*received..]) {
                Ok(0) => return Err(self.closed()),
                Ok(count) => count,
                Err(error) if is_transient(&error) => 0,
                Err(error) => return Err(self.explain(&error)),
            };
            *received += count;
        }
        Ok(())
    }

    fn exchange_stream(&mut self) -> Result<(), String> {
        let (size, total) = (self.message.len(), self.answer.len());
        let (mut sent, mut received) = (0, 0);
        while sent < total {
            let more = self.more && total - sent > size;
            match self.io.send(&self.message[sent % size..], more) {
                Ok(count) => sent += count,
                Err(error) if is_transient(&error) => self.make_room(&mut received)?,
                Err(error) => return Err(self.explain(&error)),
            }
        }
        while received < total {
            match self.receiver.receive(&self.io, &mut self.answer[received..]) {
                Ok(0) => return Err(self.closed()),
                Ok(count) => received += count,
                Err(error) => return Err(self.explain(&error)),
            }
        }
        Ok(())
    }

    fn exchange_datagrams(&mut self) -> Result<(), String> {
        let size = self.message.len();
        let mut sent = 0;
        while sent < self.pings {
            let more = self.more && sent + 1 < self.pings;
            match self.io.send(&self.message, more) {
                Ok(_) => sent += 1,
                Err(error) if is_transient(&error) => {
                    let waited = self.io.wait_for_room(self.receiver.timeout());
                    waited.map_err(|error| self.explain(&error))?;
                }
                Err(error) => return Err(self.explain(&error)),
            }
        }
        for pong in 0..self.pings {
            // One byte more than is expected, so that a longer datagram shows.
            let room = &mut self.answer[pong * size..=(pong + 1) * size];
            match self.receiver.receive(&self.io, room) {
                Ok(count) if count == size => {}
                Ok(count) => {
                    return Err(format!("a pong has {count} bytes, the ping had {size}"));
                }
                Err(error) => return Err(self.explain(&error)),
            }
        }
        Ok(())
    }

    fn closed(&self) -> String {
        format!(
            "the server closed the connection instead of sending {} bytes back: \
             is it one that echoes (--service echo)?",
            self.message.len()
        )
    }

    fn explain(&self, error: &io::Error) -> String {
        let size = self.message.len();
        let echoes = "does the server echo there (--service echo)?";
        match error.kind() {
            ErrorKind::TimedOut if self.is_stream => format!(
                "no pong of {size} bytes within {:?} (--timeout): {echoes}",
                self.receiver.timeout()
            ),
            ErrorKind::TimedOut => format!(
                "no pong of {size} bytes within {:?} (--timeout): a datagram was lost, or nobody \
                 listens; {echoes}",
                self.receiver.timeout()
            ),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => self.closed(),
            ErrorKind::ConnectionRefused => format!("nobody listens there: {error}; {echoes}"),
            _ if error.raw_os_error() == Some(libc::EMSGSIZE) => format!(
                "a datagram of {size} bytes is too long for this transport: give --maxmsg or \
                 --sizes"
            ),
            _ => format!("a ping of {size} bytes failed: {error}"),
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

impl Exchange for Link {
    fn prepare(&mut self, size: usize) -> Result<(), String> {
        if size == 0 && self.is_stream {
            return Err("a message of 0 bytes cannot be seen in a byte stream: begin at 1".into());
        }
        let total = size * self.pings;
        if total > PING_MAX_BYTES {
            return Err(format!("{total} bytes in one ping, more than {PING_MAX_BYTES}"));
        }
        if matches!(self.io, Io::Pipe { .. }) && total > PIPE_BYTES {
            return Err(format!(
                "a ping of {total} bytes does not fit into a pipe, which holds {PIPE_BYTES}: \
                 give --maxmsg or --sizes, or take unix_stream"
            ));
        }
        self.message = pattern(size);
        self.answer = vec![0; if self.is_stream { total } else { total + 1 }];
        Ok(())
    }

    fn exchange(&mut self) -> Result<(), String> {
        if self.is_stream { self.exchange_stream() } else { self.exchange_datagrams() }
    }

    fn verify(&mut self) -> Result<(), String> {
        let size = self.message.len();
        let pongs = &self.answer[..size * self.pings];
        if size == 0 || pongs.chunks_exact(size).all(|pong| pong == self.message) {
            return Ok(());
        }
        Err("other bytes came back than were sent: the server does not echo; start it with \
             --service echo, or measure it with `http`"
            .to_owned())
    }
}

/// `size` bytes, of which no two neighbours are alike: an answer that is shifted shows.
fn pattern(size: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(size).collect()
}

#[cfg(test)]
mod tests {
    use super::super::receiver::Muxer;
    use super::*;
    use socket2::{Domain, Type};

    /// A link over a pair of Unix sockets, and the other end.
    fn link(kind: Type, pings: usize) -> (Link, Socket) {
        let (near, far) = Socket::pair(Domain::UNIX, kind, None).unwrap();
        far.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let io = Io::Socket { socket: near, to: None };
        let receiver =
            Receiver::new(&io, Muxer::None, false, Duration::from_secs(60), Vec::new()).unwrap();
        (Link::new(io, receiver, kind == Type::STREAM, pings, false), far)
    }

    fn refused(kind: Type, answer: &[&[u8]], part: &str) {
        let (mut link, far) = link(kind, 1);
        link.prepare(4).unwrap();
        for piece in answer {
            far.send(piece).unwrap();
        }
        if kind == Type::STREAM && answer.concat().len() < 4 {
            far.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let message = link.exchange().and_then(|()| link.verify()).expect_err(part);
        assert!(message.contains(part), "{message}");
    }

    #[test]
    fn an_answer_in_pieces_is_put_together_and_compared() {
        let (mut link, far) = link(Type::STREAM, 1);
        link.prepare(4).unwrap();
        for piece in [&b"a"[..], b"bc", b"d"] {
            far.send(piece).unwrap();
        }
        link.exchange().unwrap();
        link.verify().unwrap();
        let mut sent = [0; 8];
        assert_eq!((&far).read(&mut sent).unwrap(), 4);
        assert_eq!(&sent[..4], b"abcd");
    }

    #[test]
    fn an_answer_that_is_no_echo_is_refused_with_a_sentence() {
        refused(Type::STREAM, &[b"HTTP"], "does not echo");
        refused(Type::STREAM, &[b"ab"], "--service echo");
        refused(Type::DGRAM, &[b"abc"], "has 3 bytes, the ping had 4");
        refused(Type::DGRAM, &[b"abcde"], "has 5 bytes, the ping had 4");
        refused(Type::DGRAM, &[b"abcD"], "does not echo");
    }

    #[test]
    fn several_messages_go_out_and_as_many_come_back() {
        let (mut link, far) = link(Type::DGRAM, 3);
        link.prepare(2).unwrap();
        for _ in 0..3 {
            far.send(b"ab").unwrap();
        }
        link.exchange().unwrap();
        link.verify().unwrap();
        for _ in 0..3 {
            assert_eq!((&far).read(&mut [0; 8]).unwrap(), 2);
        }
    }

    #[test]
    fn the_byte_of_room_behind_a_datagram_is_no_part_of_the_answer() {
        let (mut link, far) = link(Type::DGRAM, 1);
        link.prepare(1).unwrap();
        far.send(b"a").unwrap();
        link.exchange().unwrap();
        link.verify().unwrap();
    }

    #[test]
    fn an_empty_datagram_is_a_message_and_an_empty_stream_message_is_refused() {
        let (mut datagrams, far) = link(Type::DGRAM, 1);
        datagrams.prepare(0).unwrap();
        far.send(b"").unwrap();
        datagrams.exchange().unwrap();
        datagrams.verify().unwrap();
        let (mut stream, _far) = link(Type::STREAM, 1);
        stream.prepare(0).expect_err("nothing to wait for");
        let (mut many, _far) = link(Type::STREAM, 1 << 20);
        many.prepare(65).expect_err("more than is allowed");
    }

    #[test]
    fn a_peer_that_is_gone_is_told_apart_from_one_that_is_slow() {
        let (mut gone, far) = link(Type::STREAM, 1);
        gone.prepare(1).unwrap();
        drop(far);
        gone.exchange().expect_err("nobody is there");
        let (near, _far) = Socket::pair(Domain::UNIX, Type::DGRAM, None).unwrap();
        let io = Io::Socket { socket: near, to: None };
        let brief = Duration::from_millis(1);
        let receiver = Receiver::new(&io, Muxer::Poll, false, brief, Vec::new()).unwrap();
        let mut silent = Link::new(io, receiver, false, 1, false);
        silent.prepare(1).unwrap();
        let message = silent.exchange().expect_err("no answer");
        assert!(message.contains("a datagram was lost"), "{message}");
    }
}
