//! A server's part of the handshake with one client.

use super::{NAME, Refusal};
use crate::config::Config;
use crate::link::Link;
use crate::region::{REGION_BYTES_MAX, REGIONS_MAX};
use crate::wire::{AddRing, Hello, Init, MODE_ETHERNET, Message, Text, VERSION, ring};
use std::os::fd::OwnedFd;

/// What follows from a client's message.
#[derive(Debug)]
pub(crate) enum ServerStep {
    /// Send this.
    Reply(Message),
    /// Send this; the link is up.
    Connected(Message, Link),
}

/// A server's end of a handshake: what the client has offered so far.
#[derive(Debug)]
pub(crate) struct Server {
    id: u32,
    secret: Text<24>,
    queue_count: u16,
    is_init: bool,
    regions: Vec<(OwnedFd, u64)>,
    rings: Vec<AddRing>,
    /// For interrupts, which nobody sends here. Kept open: the client may look at them.
    interrupts: Vec<OwnedFd>,
}

impl Server {
    /// A handshake at its beginning.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            id: config.id,
            secret: Text::new(&config.secret),
            queue_count: config.queue_count,
            is_init: false,
            regions: Vec::new(),
            rings: Vec::new(),
            interrupts: Vec::new(),
        }
    }

    /// What the server says first.
    pub(crate) fn hello(&self) -> Message {
        Message::Hello(Hello {
            name: Text::new(NAME),
            min_version: VERSION,
            max_version: VERSION,
            max_region: REGIONS_MAX - 1,
            max_s2c_ring: self.queue_count - 1,
            max_c2s_ring: self.queue_count - 1,
            max_log2_ring_size: ring::LOG2_SIZE_MAX,
        })
    }

    /// Takes a message of the client, and the descriptor that came with it. `is_taken` says whether
    /// the interface has another peer.
    ///
    /// # Errors
    /// [`Refusal`], after which the client is told and left.
    pub(crate) fn handle(
        &mut self,
        message: &Message,
        fd: Option<OwnedFd>,
        is_taken: bool,
    ) -> Result<ServerStep, Refusal> {
        let wants_fd = matches!(message, Message::AddRegion { .. } | Message::AddRing(_));
        if wants_fd != fd.is_some() {
            return Err(Refusal::Descriptor);
        }
        match message {
            Message::Init(init) if !self.is_init => {
                self.handle_init(init)?;
                if is_taken {
                    return Err(Refusal::Connected);
                }
                self.is_init = true;
            }
            Message::AddRegion { index, size_bytes } if self.is_init => {
                self.add_region(*index, *size_bytes, fd)?;
            }
            Message::AddRing(ring) if self.is_init => self.add_ring(*ring, fd)?,
            Message::Connect(_) if self.is_init => {
                if is_taken {
                    return Err(Refusal::Connected);
                }
                let link = Link::adopt(&self.regions, &self.rings)?;
                // Mapped now: the files are no longer needed.
                self.regions.clear();
                return Ok(ServerStep::Connected(Message::Connected(Text::new(NAME)), link));
            }
            _ => return Err(Refusal::Unexpected),
        }
        Ok(ServerStep::Reply(Message::Ack))
    }

    fn handle_init(&self, init: &Init) -> Result<(), Refusal> {
        if init.version != VERSION {
            return Err(Refusal::Version);
        }
        if init.id != self.id {
            return Err(Refusal::Id);
        }
        if init.mode != MODE_ETHERNET {
            return Err(Refusal::Mode);
        }
        let is_open = self.secret.as_bytes().is_empty();
        if !is_open && !is_equal(self.secret.as_bytes(), init.secret.as_bytes()) {
            return Err(Refusal::Secret);
        }
        Ok(())
    }

    fn add_region(
        &mut self,
        index: u16,
        size_bytes: u64,
        fd: Option<OwnedFd>,
    ) -> Result<(), Refusal> {
        if usize::from(index) != self.regions.len() || index >= REGIONS_MAX {
            return Err(Refusal::RegionIndex);
        }
        let all = self.regions.iter().map(|(_, size_bytes)| size_bytes).sum::<u64>();
        if size_bytes > REGION_BYTES_MAX - all {
            return Err(Refusal::RegionSize);
        }
        self.regions.extend(fd.map(|fd| (fd, size_bytes)));
        Ok(())
    }

    /// Rings of each direction come in order, but the directions in any.
    fn add_ring(&mut self, ring: AddRing, fd: Option<OwnedFd>) -> Result<(), Refusal> {
        let before = self.rings.iter().filter(|other| other.is_c2s == ring.is_c2s).count();
        if usize::from(ring.index) != before || ring.index >= self.queue_count {
            return Err(Refusal::RingIndex);
        }
        self.rings.push(ring);
        self.interrupts.extend(fd);
        Ok(())
    }
}

/// Compares in a time that does not depend on where two secrets differ.
fn is_equal(ours: &[u8], theirs: &[u8]) -> bool {
    let differences = ours.iter().zip(theirs).fold(0, |seen, (a, b)| seen | (a ^ b));
    ours.len() == theirs.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;
    use crate::handshake::{Client, ClientStep};
    use crate::region;

    fn config() -> Config {
        Config { id: 3, secret: "open sesame".into(), ..Config::new("@x", Role::Server) }
    }

    fn init() -> Init {
        Init {
            version: VERSION,
            id: 3,
            mode: MODE_ETHERNET,
            secret: Text::new("open sesame"),
            name: Text::new("peer"),
        }
    }

    fn refusal(server: &mut Server, message: &Message, fd: Option<OwnedFd>) -> Refusal {
        server.handle(message, fd, false).expect_err("refused")
    }

    /// A server that has taken `init`.
    fn begun() -> Server {
        let mut server = Server::new(&config());
        let step = server.handle(&Message::Init(init()), None, false).expect("taken");
        assert!(matches!(step, ServerStep::Reply(Message::Ack)), "{step:?}");
        server
    }

    fn some_fd() -> Option<OwnedFd> {
        Some(region::make(4096).expect("a region").0)
    }

    #[test]
    fn an_init_must_fit() {
        let check = |change: &dyn Fn(&mut Init), expect: Refusal| {
            let mut init = init();
            change(&mut init);
            assert_eq!(refusal(&mut Server::new(&config()), &Message::Init(init), None), expect);
        };
        check(&|init| init.version = 0x0100, Refusal::Version);
        check(&|init| init.id = 4, Refusal::Id);
        check(&|init| init.mode = 1, Refusal::Mode);
        check(&|init| init.secret = Text::new(""), Refusal::Secret);
        check(&|init| init.secret = Text::new("open sesamf"), Refusal::Secret);
        check(&|init| init.secret = Text::new("open sesame!"), Refusal::Secret);
        let mut server = Server::new(&config());
        let taken = server.handle(&Message::Init(init()), None, true);
        assert_eq!(taken.expect_err("refused"), Refusal::Connected);
    }

    #[test]
    fn messages_come_in_order_and_with_their_descriptors() {
        let add_region = Message::AddRegion { index: 0, size_bytes: 4096 };
        let ring = AddRing { is_c2s: true, index: 0, region: 0, offset: 0, log2_size: 6 };
        let mut fresh = Server::new(&config());
        assert_eq!(refusal(&mut fresh, &add_region, some_fd()), Refusal::Unexpected);
        let connect = Message::Connect(Text::new("x"));
        assert_eq!(refusal(&mut fresh, &connect, None), Refusal::Unexpected);
        assert_eq!(refusal(&mut begun(), &Message::Init(init()), None), Refusal::Unexpected);
        assert_eq!(refusal(&mut begun(), &Message::Ack, None), Refusal::Unexpected);
        assert_eq!(refusal(&mut begun(), &Message::Ack, some_fd()), Refusal::Descriptor);
        assert_eq!(refusal(&mut begun(), &add_region, None), Refusal::Descriptor);
        assert_eq!(refusal(&mut begun(), &Message::AddRing(ring), None), Refusal::Descriptor);
        let second = Message::AddRing(AddRing { index: 1, ..ring });
        assert_eq!(refusal(&mut begun(), &second, some_fd()), Refusal::RingIndex);
        let late = Message::AddRegion { index: 1, size_bytes: 4096 };
        assert_eq!(refusal(&mut begun(), &late, some_fd()), Refusal::RegionIndex);
        let long = Message::AddRegion { index: 0, size_bytes: REGION_BYTES_MAX + 1 };
        assert_eq!(refusal(&mut begun(), &long, some_fd()), Refusal::RegionSize);
    }

    #[test]
    fn rings_must_lie_in_regions_and_begin_with_the_cookie() {
        let good = AddRing { is_c2s: true, index: 0, region: 0, offset: 0, log2_size: 6 };
        let check = |change: &dyn Fn(&mut AddRing), expect: Refusal| {
            let mut server = begun();
            let mut take = |message: Message, fd| {
                server.handle(&message, fd, false).expect("taken");
            };
            take(Message::AddRegion { index: 0, size_bytes: 4096 }, some_fd());
            let mut ring = good;
            change(&mut ring);
            take(Message::AddRing(ring), some_fd());
            take(Message::AddRing(AddRing { is_c2s: false, ..good }), some_fd());
            let connect = Message::Connect(Text::new("x"));
            assert_eq!(refusal(&mut server, &connect, None), expect);
        };
        check(&|_| (), Refusal::RingCookie);
        check(&|ring| ring.region = 1, Refusal::RingPlace);
        check(&|ring| ring.offset = 4096 - 1152 + 8, Refusal::RingPlace);
        check(&|ring| ring.offset = 4, Refusal::RingPlace);
        check(&|ring| ring.offset = u32::MAX - 7, Refusal::RingPlace);
        check(&|ring| ring.log2_size = 8, Refusal::RingPlace);
        check(&|ring| ring.log2_size = 15, Refusal::RingSize);
        check(&|ring| ring.log2_size = 255, Refusal::RingSize);
    }

    #[test]
    fn both_ends_agree_on_the_smaller_number_of_queues() {
        let config = Config { queue_count: 2, ..config() };
        let mut server = Server::new(&config);
        let wants_more = Config { role: Role::Client, queue_count: 3, ..config };
        let mut client = Client::new(&wants_more);
        let mut said = server.hello();
        for _ in 0..16 {
            match client.handle(&said).expect("a good server") {
                ClientStep::Send(message, fd) => {
                    match server.handle(&message, fd, false).expect("a good client") {
                        ServerStep::Reply(message) => said = message,
                        ServerStep::Connected(message, link) => {
                            assert_eq!((link.pairs.len(), link.regions.len()), (2, 1));
                            said = message;
                        }
                    }
                }
                ClientStep::Connected(link) => {
                    assert_eq!(link.pairs.len(), 2);
                    return;
                }
            }
        }
        panic!("the handshake does not end: {said:?}");
    }
}
