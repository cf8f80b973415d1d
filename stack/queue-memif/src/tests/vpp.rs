//! VPP's side of the protocol, played by hand where it differs from DPDK's.
//!
//! What VPP (`src/plugins/memif`) does unlike DPDK's driver: as a client it works without copies by
//! default, so that its first region holds rings alone and the pools of its buffers are further
//! regions; packets begin anywhere in a buffer, behind room for headers, and a long one is a chain
//! of buffers that need not be neighbours; empty buffers are offered one by one, as it has them,
//! into descriptors that were zero before. It asks for interrupts unless its interface polls. As a
//! server it offers the most that the messages can say.

use super::{End, PATIENCE, contents, counter, frame_of, packet, socket};
use crate::channel::{Channel, Listener, Received};
use crate::region;
use crate::sys::Mapping;
use crate::wire::{AddRing, Descriptor, Hello, Init, Message, Text, ring};
use crate::{Config, MemifQueue, Role};
use queue::{Burst, Queue};
use rustix::fs::{MemfdFlags, fstat, ftruncate, memfd_create};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// VPP's default: 1,024 descriptors.
const LOG2_RING_SIZE: u8 = 10;
/// Where the ring from the server begins, behind that of the client.
pub(super) const S2C: usize = ring::bytes(LOG2_RING_SIZE);
/// Of a buffer: what is before a packet, and what a packet may take.
const HEADROOM: u32 = 128;
pub(super) const BUFFER_BYTES: u32 = 2048;

/// A message that must come, and the descriptor beside it.
pub(super) fn hear(channel: &Channel) -> (Message, Option<OwnedFd>) {
    let start = Instant::now();
    loop {
        match channel.receive().expect("connected") {
            Received::Message(message, fd) => return (message, fd),
            Received::Nothing => std::thread::yield_now(),
            other @ (Received::End | Received::Malformed) => panic!("{other:?}"),
        }
        assert!(start.elapsed() < PATIENCE, "no message");
    }
}

/// What it would be woken through. VPP gives an eventfd; a file of its own, in the place of it, can
/// be told from others.
fn interrupt() -> OwnedFd {
    memfd_create("interrupt", MemfdFlags::empty()).expect("a file")
}

/// VPP as a client: rings in one region, buffers in another.
pub(super) struct Vpp {
    pub(super) channel: Channel,
    pub(super) rings: Mapping,
    pub(super) buffers: Mapping,
    /// The files that it gave, by their inodes.
    pub(super) given: Vec<u64>,
}

impl Vpp {
    /// Connects, and offers the file `pool`, where given, for its buffers. The server's good-bye,
    /// where it refuses.
    pub(super) fn connect(socket: &str, pool: Option<OwnedFd>) -> Result<Self, String> {
        const POOL_BYTES: usize = 64 * (HEADROOM + BUFFER_BYTES) as usize;
        let channel = Channel::connect(socket).expect("it listens");
        assert!(matches!(hear(&channel).0, Message::Hello(_)));
        let (rings_fd, rings) = region::make(2 * S2C).expect("memory");
        let (own, buffers) = region::make(POOL_BYTES).expect("memory");
        for offset in [0, S2C] {
            rings.u32(offset + ring::COOKIE).store(ring::COOKIE_VALUE, Ordering::Relaxed);
        }
        let init = Init {
            version: crate::wire::VERSION,
            id: 0,
            mode: crate::wire::MODE_ETHERNET,
            secret: Text::new(""),
            name: Text::new("VPP 24.10"),
        };
        let offer = |is_c2s, offset: usize| {
            let offset = u32::try_from(offset).expect("small");
            let log2_size = LOG2_RING_SIZE;
            Message::AddRing(AddRing { is_c2s, index: 0, region: 0, offset, log2_size })
        };
        let size = |index, bytes: usize| Message::AddRegion { index, size_bytes: bytes as u64 };
        let messages = [
            (Message::Init(init), None),
            (size(0, 2 * S2C), Some(rings_fd)),
            (size(1, POOL_BYTES), Some(pool.unwrap_or(own))),
            (offer(true, 0), Some(interrupt())),
            (offer(false, S2C), Some(interrupt())),
        ];
        let fds = messages.iter().filter_map(|(_, fd)| fd.as_ref());
        let given = fds.map(|fd| fstat(fd).expect("open").st_ino).collect();
        for (message, fd) in messages {
            channel.send(&message, fd.as_ref().map(AsFd::as_fd)).expect("connected");
            assert_eq!(hear(&channel).0, Message::Ack, "{message:?}");
        }
        let connect = Message::Connect(Text::new("memif0/0"));
        channel.send(&connect, None).expect("connected");
        match hear(&channel).0 {
            Message::Connected(_) => Ok(Self { channel, rings, buffers, given }),
            Message::Disconnect { reason, .. } => Err(reason.to_string()),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn put(&self, ring_offset: usize, slot: usize, descriptor: Descriptor) {
        let at = ring_offset + ring::DESCRIPTORS + slot * ring::DESCRIPTOR_BYTES;
        for (nth, word) in descriptor.to_words().into_iter().enumerate() {
            self.rings.u64(at + 8 * nth).store(word, Ordering::Relaxed);
        }
    }

    pub(super) fn descriptor(&self, ring_offset: usize, slot: usize) -> Descriptor {
        let at = ring_offset + ring::DESCRIPTORS + slot * ring::DESCRIPTOR_BYTES;
        Descriptor::from_words([0, 8].map(|word| self.rings.u64(at + word).load(Ordering::Relaxed)))
    }

    /// Moves a head: the client's index of either ring.
    pub(super) fn head(&self, ring_offset: usize, head: u16) {
        self.rings.u16(ring_offset + ring::HEAD).store(head, Ordering::Release);
    }

    pub(super) fn tail(&self, ring_offset: usize) -> u16 {
        self.rings.u16(ring_offset + ring::TAIL).load(Ordering::Acquire)
    }
}

/// Where the bytes of the nth buffer begin that follow the room for headers and `skip` bytes.
pub(super) fn place(buffer: u32, skip: u32) -> u32 {
    buffer * (HEADROOM + BUFFER_BYTES) + HEADROOM + skip
}

#[test]
fn a_client_whose_buffers_lie_in_a_pool_is_served() {
    let socket = socket();
    let mut server = End::open(&Config::new(&socket, Role::Server));
    let vpp = Vpp::connect(&socket, None).expect("a good client");
    server.expect_up();
    let queue = &mut server.queues[0];

    // A chain of two buffers that are no neighbours, the first beginning behind 18 bytes; then one
    // packet in one buffer.
    let (long, short) = (packet(1, 1500), packet(2, 60));
    let parts = [(7, 18, &long[..900]), (3, 0, &long[900..]), (5, 2, &short[..])];
    for (slot, (buffer, skip, bytes)) in parts.into_iter().enumerate() {
        let (offset, length) = (place(buffer, skip), u32::try_from(bytes.len()).expect("short"));
        vpp.buffers.write(offset as usize, bytes);
        let flags = if slot == 0 { Descriptor::FLAG_NEXT } else { 0 };
        vpp.put(0, slot, Descriptor { flags, region: 1, length, offset });
    }
    vpp.head(0, 3);
    let mut burst = Burst::new();
    assert_eq!(queue.rx_burst(&mut burst), 2);
    assert_eq!(contents(queue, &mut burst), [long, short.clone()]);
    assert_eq!(vpp.tail(0), 3, "the buffers are free again");

    // Nothing can be sent until it offers a buffer; it offers two, one of them short.
    burst.push(frame_of(queue, &short)).expect("room");
    assert_eq!(queue.tx_burst(&mut burst), 0);
    for (slot, (buffer, length)) in [(9, 40), (2, BUFFER_BYTES)].into_iter().enumerate() {
        let offset = place(buffer, 0);
        vpp.put(S2C, slot, Descriptor { flags: 0, region: 1, length, offset });
    }
    vpp.head(S2C, 2);
    assert_eq!(queue.tx_burst(&mut burst), 1);
    assert_eq!(vpp.tail(S2C), 2);
    let sent = [0, 1].map(|slot| vpp.descriptor(S2C, slot));
    let chained = Descriptor::FLAG_NEXT;
    let expected = [(chained, 9, 40), (0, 2, 20)].map(|(flags, buffer, length)| Descriptor {
        flags,
        region: 1,
        length,
        offset: place(buffer, 0),
    });
    assert_eq!(sent, expected, "its own buffers, in order, where it put them");
    let mut bytes = vec![0; 60];
    let (first, second) = bytes.split_at_mut(40);
    vpp.buffers.read(place(9, 0) as usize, first);
    vpp.buffers.read(place(2, 0) as usize, second);
    assert_eq!(bytes, short);
    drop(vpp.channel);
    server.expect_down();
}

/// An interface of VPP that does not poll leaves the flag at 0.
#[test]
fn a_client_that_asks_for_interrupts_is_served_and_counted() {
    let socket = socket();
    let mut server = End::open(&Config::new(&socket, Role::Server));
    let vpp = Vpp::connect(&socket, None).expect("a good client");
    server.expect_up();
    let queue = &mut server.queues[0];
    assert_eq!(vpp.rings.u16(ring::FLAGS).load(Ordering::Relaxed), 1, "we poll what it sends");
    let offered = Descriptor { flags: 0, region: 1, length: BUFFER_BYTES, offset: place(1, 0) };
    (0..64).for_each(|slot| vpp.put(S2C, slot, offered));
    vpp.head(S2C, 64);
    let mut burst = Burst::new();
    for number in 0..64 {
        burst.push(frame_of(queue, &packet(number, 60))).expect("room");
        assert_eq!(queue.tx_burst(&mut burst), 1);
    }
    assert_eq!(counter(queue, "tx_unmasked_bursts"), 1, "one burst in 64 is looked at");
    assert_eq!(vpp.tail(S2C), 64);
}

/// A pool in huge pages is a file that cannot be sealed: it could shrink under us.
#[test]
fn a_pool_that_could_shrink_is_refused_with_the_cure_and_the_next_is_served() {
    let socket = socket();
    let mut server = End::open(&Config::new(&socket, Role::Server));
    let pool = memfd_create("pool", MemfdFlags::empty()).expect("a file without seals");
    ftruncate(&pool, 1 << 20).expect("room");
    let why = Vpp::connect(&socket, Some(pool)).err().expect("refused");
    assert!(why.contains("F_SEAL_SHRINK") && why.contains("no-zero-copy"), "{why}");
    let _vpp = Vpp::connect(&socket, None).expect("a good client");
    server.expect_up();
}

/// VPP as a server: takes a client, and all that it offers, which is returned in order.
fn accept(listener: &Listener) -> (Channel, Vec<(Message, Option<OwnedFd>)>) {
    let start = Instant::now();
    let channel = loop {
        match listener.accept().expect("it listens") {
            Some(channel) => break channel,
            None => std::thread::yield_now(),
        }
        assert!(start.elapsed() < PATIENCE, "no client");
    };
    let hello = Hello {
        name: Text::new("VPP 24.10"),
        min_version: crate::wire::VERSION,
        max_version: crate::wire::VERSION,
        max_region: 255,
        max_s2c_ring: 255,
        max_c2s_ring: 255,
        max_log2_ring_size: ring::LOG2_SIZE_MAX,
    };
    channel.send(&Message::Hello(hello), None).expect("connected");
    let mut heard = Vec::new();
    while !matches!(heard.last(), Some((Message::Connect(_), _))) {
        let (message, fd) = hear(&channel);
        heard.push((message, fd));
        let answer = match message {
            Message::Connect(_) => Message::Connected(Text::new("memif0/0")),
            _ => Message::Ack,
        };
        channel.send(&answer, None).expect("connected");
    }
    (channel, heard)
}

#[test]
fn a_server_that_offers_all_there_is_gets_what_we_have() {
    let socket = socket();
    let listener = Listener::bind(&socket).expect("a free name");
    let config = Config { queue_count: 2, ..Config::new(&socket, Role::Client) };
    let mut client = End::open(&config);
    let (_channel, heard) = accept(&listener);
    let heard: Vec<_> = heard.into_iter().map(|(message, fd)| (message, fd.is_some())).collect();
    client.expect_up();
    // It takes regions and rings of each kind by their numbers, in order, and each with a file.
    let [(Message::Init(init), false), (Message::AddRegion { index: 0, .. }, true), rings @ .., _] =
        &heard[..]
    else {
        panic!("{heard:?}");
    };
    assert_eq!((init.id, init.mode), (0, crate::wire::MODE_ETHERNET));
    let rings = rings.iter().map(|(message, has_fd)| match message {
        Message::AddRing(ring) => (ring.is_c2s, ring.index, ring.log2_size, *has_fd),
        other => panic!("{other:?}"),
    });
    let expected = [(true, 0), (true, 1), (false, 0), (false, 1)];
    let expected = expected.map(|(is_c2s, index)| (is_c2s, index, 10, true));
    assert_eq!(rings.collect::<Vec<_>>(), expected);
}

/// VPP as a server, with the one region and the two rings of a client.
pub(super) struct VppServer {
    pub(super) channel: Channel,
    pub(super) region: Mapping,
    pub(super) inode: u64,
    pub(super) c2s: usize,
    pub(super) s2c: usize,
}

impl VppServer {
    pub(super) fn accept(listener: &Listener) -> Self {
        let (channel, heard) = accept(listener);
        let (mut region, mut rings) = (None, Vec::new());
        for (message, fd) in heard {
            match (message, fd) {
                (Message::AddRegion { size_bytes, .. }, Some(fd)) => {
                    let inode = fstat(&fd).expect("open").st_ino;
                    region = Some((region::adopt(&fd, size_bytes).expect("sealed"), inode));
                }
                (Message::AddRing(AddRing { is_c2s, offset, .. }), Some(_)) => {
                    rings.push((is_c2s, offset as usize));
                }
                _ => {}
            }
        }
        let (region, inode) = region.expect("it has memory");
        let [(true, c2s), (false, s2c)] = rings[..] else { panic!("{rings:?}") };
        Self { channel, region, inode, c2s, s2c }
    }

    /// The descriptor in the first slot of a ring, as words.
    pub(super) fn first(&self, ring_offset: usize) -> Descriptor {
        let words = [0, 8].map(|word| self.region.u64(ring_offset + ring::DESCRIPTORS + word));
        Descriptor::from_words(words.map(|word| word.load(Ordering::Acquire)))
    }

    pub(super) fn head(&self, ring_offset: usize) -> u16 {
        self.region.u16(ring_offset + ring::HEAD).load(Ordering::Acquire)
    }

    /// Moves a tail: the server's index of either ring.
    pub(super) fn tail(&self, ring_offset: usize, tail: u16) {
        self.region.u16(ring_offset + ring::TAIL).store(tail, Ordering::Release);
    }
}

/// To offer a buffer takes a line from the server that it will need: so many go at a time.
#[test]
fn buffers_are_offered_again_in_batches_and_those_kept_are_not_the_peers() {
    let socket = socket();
    let mut client = End::open(&Config::new(&socket, Role::Client));
    let listener = Listener::bind(&socket).expect("a free name");
    let vpp = VppServer::accept(&listener);
    client.expect_up();
    let queue = &mut client.queues[0];
    let mut burst = Burst::new();
    let mut fill = |queue: &mut MemifQueue, slots: Range<u16>| {
        for slot in slots.clone() {
            let at = vpp.s2c + ring::DESCRIPTORS + usize::from(slot) * ring::DESCRIPTOR_BYTES;
            let [filled, _] = Descriptor { length: 60, ..vpp.first(vpp.s2c) }.to_words();
            vpp.region.u64(at).store(filled, Ordering::Release);
        }
        vpp.tail(vpp.s2c, slots.end);
        let came = queue.rx_burst(&mut burst);
        burst.drain(came).for_each(|frame| queue.free(frame));
        came
    };
    assert_eq!((fill(queue, 0..31), vpp.head(vpp.s2c)), (31, 1024));
    assert_eq!((fill(queue, 31..32), vpp.head(vpp.s2c)), (1, 1056));
    assert_eq!((fill(queue, 32..62), vpp.head(vpp.s2c)), (30, 1056));
    // It was offered 1,056, of which it says that it filled one more.
    assert_eq!(fill(queue, 1057..1057), 0);
    assert_eq!((queue.is_up(), counter(queue, "rx_bad_indices")), (false, 1));
}
