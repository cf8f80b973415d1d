//! A client's part of the handshake.

use super::{NAME, Refusal};
use crate::config::Config;
use crate::link::{Dimensions, Link, RingPlace};
use crate::wire::{AddRing, Hello, Init, MODE_ETHERNET, Message, Text, VERSION};
use rustix::event::{EventfdFlags, eventfd};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// What follows from a server's message.
#[derive(Debug)]
pub(crate) enum ClientStep {
    /// Send this, and the descriptor beside it.
    Send(Message, Option<OwnedFd>),
    /// The link is up.
    Connected(Link),
}

/// A client's end of a handshake.
#[derive(Debug)]
pub(crate) struct Client {
    config: Config,
    /// The memory, once the server has said hello.
    link: Option<Link>,
    /// What is still to be sent, each after the answer to the one before it.
    messages: VecDeque<(Message, Option<OwnedFd>)>,
    /// Whether `connect` is on its way.
    is_connecting: bool,
}

impl Client {
    /// A handshake at its beginning.
    pub(crate) fn new(config: &Config) -> Self {
        let config = config.clone();
        Self { config, link: None, messages: VecDeque::new(), is_connecting: false }
    }

    /// Takes a message of the server.
    ///
    /// # Errors
    /// [`Refusal`], after which the server is told and left.
    pub(crate) fn handle(&mut self, message: &Message) -> Result<ClientStep, Refusal> {
        match message {
            Message::Hello(hello) if self.link.is_none() => self.prepare(hello)?,
            Message::Ack if self.link.is_some() && !self.is_connecting => {}
            Message::Connected(_) if self.is_connecting => {
                let link = self.link.take().ok_or(Refusal::Unexpected)?;
                return Ok(ClientStep::Connected(link));
            }
            _ => return Err(Refusal::Unexpected),
        }
        let (message, fd) = self.messages.pop_front().ok_or(Refusal::Unexpected)?;
        self.is_connecting = self.messages.is_empty();
        Ok(ClientStep::Send(message, fd))
    }

    /// Makes the memory, and all messages up to `connect`.
    fn prepare(&mut self, hello: &Hello) -> Result<(), Refusal> {
        if !(hello.min_version..=hello.max_version).contains(&VERSION) {
            return Err(Refusal::Version);
        }
        let queue_count_max = u32::from(hello.max_c2s_ring.min(hello.max_s2c_ring)) + 1;
        let dimensions =
            Dimensions::within(&self.config, queue_count_max, hello.max_log2_ring_size);
        let (link, fd) = Link::make(dimensions).map_err(|_| Refusal::RegionUnmappable)?;
        self.say(Message::Init(Init {
            version: VERSION,
            id: self.config.id,
            mode: MODE_ETHERNET,
            secret: Text::new(&self.config.secret),
            name: Text::new(NAME),
        }));
        let size_bytes = link.regions[0].len() as u64;
        self.messages.push_back((Message::AddRegion { index: 0, size_bytes }, Some(fd)));
        for is_c2s in [true, false] {
            for (index, pair) in (0..).zip(&link.pairs) {
                self.offer(if is_c2s { pair.c2s } else { pair.s2c }, is_c2s, index)?;
            }
        }
        self.say(Message::Connect(Text::new(NAME)));
        self.link = Some(link);
        Ok(())
    }

    fn say(&mut self, message: Message) {
        self.messages.push_back((message, None));
    }

    fn offer(&mut self, place: RingPlace, is_c2s: bool, index: u16) -> Result<(), Refusal> {
        // Nobody reads it, but servers do not take a ring without one.
        let fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
            .map_err(|_| Refusal::Descriptor)?;
        let ring = AddRing {
            is_c2s,
            index,
            region: 0,
            offset: u32::try_from(place.offset).map_err(|_| Refusal::RingPlace)?,
            log2_size: place.log2_size,
        };
        self.messages.push_back((Message::AddRing(ring), Some(fd)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;
    use crate::handshake::Server;

    fn client() -> Client {
        Client::new(&Config::new("@x", Role::Client))
    }

    fn hello() -> Hello {
        match Server::new(&Config::new("@x", Role::Server)).hello() {
            Message::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_servers_bounds_are_kept() {
        let mut client = client();
        let small = Hello { max_log2_ring_size: 7, max_c2s_ring: u16::MAX, ..hello() };
        client.handle(&Message::Hello(small)).expect("a good server");
        let link = client.link.as_ref().expect("prepared");
        assert_eq!((link.pairs.len(), link.pairs[0].c2s.log2_size), (1, 7));
    }

    #[test]
    fn what_comes_at_the_wrong_time_is_refused() {
        let refusal =
            |client: &mut Client, message: &Message| client.handle(message).expect_err("refused");
        assert_eq!(refusal(&mut client(), &Message::Ack), Refusal::Unexpected);
        let connected = Message::Connected(Text::new("x"));
        assert_eq!(refusal(&mut client(), &connected), Refusal::Unexpected);
        let old = Message::Hello(Hello { max_version: 0x0100, ..hello() });
        assert_eq!(refusal(&mut client(), &old), Refusal::Version);
        let mut begun = client();
        begun.handle(&Message::Hello(hello())).expect("a good server");
        assert_eq!(refusal(&mut begun, &Message::Hello(hello())), Refusal::Unexpected);
        assert_eq!(refusal(&mut begun, &connected), Refusal::Unexpected, "too early");
    }
}
