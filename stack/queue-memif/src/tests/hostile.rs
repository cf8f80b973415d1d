//! Peers that break the rules. What must hold: no panic, no byte that was not sent, every frame
//! accounted for, the link dropped under the counter of what was done, and the next peer served.

use super::{PATIENCE, contents, counter, frame_of, packet, socket};
use crate::channel::{Channel, Received};
use crate::handshake::{Client, ClientStep, Refusal};
use crate::link::{Link, RingPlace};
use crate::shared::Shared;
use crate::sys::Mapping;
use crate::wire::{Descriptor, Message, ring};
use crate::{Config, MemifQueue, Port, Role};
use proptest::prelude::*;
use queue::{Burst, Queue};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A queue without a socket, and the peer's view of the same memory, to write to at will.
struct Victim {
    queue: MemifQueue,
    shared: Arc<Shared>,
    memory: Mapping,
    /// The ring that the victim receives on, and the one that it sends on.
    rx: RingPlace,
    tx: RingPlace,
}

impl Victim {
    /// A victim in this role; its peer's memory, or its own, is one region of one queue.
    fn new(role: Role) -> Self {
        let config = Config { ring_frames: 64, ..Config::new("@unused", role) };
        let shared = Arc::new(Shared::new().expect("an eventfd"));
        let mut queue = MemifQueue::new(&config, 0, Arc::clone(&shared));
        let (link, fd) = Link::make(crate::link::Dimensions::within(&config, 1, 6)).expect("room");
        let memory = Mapping::shared(fd.as_fd(), link.regions[0].len()).expect("mapped");
        let link = Link { role, ..link };
        let (rx, tx) = link.rings(0).expect("one queue");
        shared.publish(Some(link));
        queue.rx_burst(&mut Burst::new());
        assert!(queue.is_up());
        Self { queue, shared, memory, rx, tx }
    }

    fn put_index(&self, place: RingPlace, index: u16) {
        let field = match self.queue_role() {
            Role::Server => ring::HEAD,
            Role::Client => ring::TAIL,
        };
        self.memory.u16(place.offset + field).store(index, Ordering::Release);
    }

    fn queue_role(&self) -> Role {
        // The receiving ring of a server is the first one in memory.
        if self.rx.offset == 0 { Role::Server } else { Role::Client }
    }

    fn put(&self, place: RingPlace, slot: usize, descriptor: Descriptor) {
        let at = place.offset + ring::DESCRIPTORS + slot * ring::DESCRIPTOR_BYTES;
        for (nth, word) in descriptor.to_words().into_iter().enumerate() {
            self.memory.u64(at + 8 * nth).store(word, Ordering::Relaxed);
        }
    }

    /// Polls until nothing more happens; returns what was received.
    fn poll(&mut self) -> Vec<Vec<u8>> {
        let mut burst = Burst::new();
        self.queue.rx_burst(&mut burst);
        contents(&mut self.queue, &mut burst)
    }

    fn assert_dropped(&mut self, name: &str, refusal: Refusal) {
        assert!(!self.queue.is_up(), "the link is dropped");
        assert_eq!(counter(&self.queue, name), 1, "{name}");
        assert_eq!(self.shared.fault(), Some(refusal), "the control thread is told");
        assert_eq!(self.poll(), [[0; 0]; 0], "and nothing comes from it any more");
        assert!(!self.queue.is_up(), "not taken over again");
        assert_eq!(self.queue.outstanding(), 0);
        self.queue.audit();
    }
}

fn good(victim: &Victim, len: u32) -> Descriptor {
    let offset = u32::try_from(victim.rx.buffers_offset).expect("a small region");
    Descriptor { flags: 0, region: 0, length: len, offset }
}

#[test]
fn indices_that_jump_drop_the_link() {
    // Receiving: further than the ring is long, and back.
    for (first, second) in [(65, None), (u16::MAX, None), (3, Some(2)), (3, Some(3 + 65))] {
        let mut victim = Victim::new(Role::Server);
        (0..64).for_each(|slot| victim.put(victim.rx, slot, good(&victim, 60)));
        victim.put_index(victim.rx, first);
        if let Some(second) = second {
            assert_eq!(victim.poll().len(), 3);
            victim.put_index(victim.rx, second);
        }
        assert_eq!(victim.poll(), [[0; 0]; 0]);
        victim.assert_dropped("rx_bad_indices", Refusal::BadIndex);
    }
    // Sending: a server has taken what was not sent; a client has offered more than there is.
    for (role, index) in [(Role::Client, 65), (Role::Client, u16::MAX), (Role::Server, 65)] {
        let mut victim = Victim::new(role);
        victim.put_index(victim.tx, index);
        let mut burst = Burst::new();
        for number in 0..64 {
            burst.push(frame_of(&mut victim.queue, &packet(number, 60))).expect("room");
        }
        victim.queue.tx_burst(&mut burst);
        burst.push(frame_of(&mut victim.queue, &packet(64, 60))).unwrap_or_else(|frame| {
            victim.queue.free(frame);
        });
        while !burst.is_empty() {
            victim.queue.tx_burst(&mut burst);
        }
        victim.assert_dropped("tx_bad_indices", Refusal::BadIndex);
    }
}

#[test]
fn descriptors_outside_of_the_regions_drop_the_link() {
    let len = u32::try_from(Victim::new(Role::Server).memory.len()).expect("a small region");
    let wrong = [
        Descriptor { region: 1, ..Descriptor::default() },
        Descriptor { region: u16::MAX, ..Descriptor::default() },
        Descriptor { length: len + 1, ..Descriptor::default() },
        Descriptor { length: 61, offset: len - 60, ..Descriptor::default() },
        Descriptor { length: 0, offset: len + 1, ..Descriptor::default() },
        Descriptor { length: u32::MAX, offset: u32::MAX, ..Descriptor::default() },
    ];
    for descriptor in wrong {
        let mut victim = Victim::new(Role::Server);
        victim.memory.write(victim.rx.buffers_offset, &packet(7, 60));
        victim.put(victim.rx, 0, good(&victim, 60));
        victim.put(victim.rx, 1, descriptor);
        victim.put_index(victim.rx, 2);
        assert_eq!(victim.poll(), [packet(7, 60)], "what came before is good");
        assert_eq!(victim.poll(), [[0; 0]; 0], "{descriptor:?}");
        victim.assert_dropped("rx_bad_descriptors", Refusal::BadDescriptor);

        let mut victim = Victim::new(Role::Server);
        victim.put(victim.tx, 0, descriptor);
        victim.put_index(victim.tx, 1);
        let mut burst = Burst::new();
        burst.push(frame_of(&mut victim.queue, &packet(0, 60))).expect("room");
        assert_eq!((victim.queue.tx_burst(&mut burst), burst.len()), (0, 1));
        assert_eq!(victim.queue.tx_burst(&mut burst), 1, "dropped, without a peer");
        victim.assert_dropped("tx_bad_descriptors", Refusal::BadDescriptor);
    }
    // A client knows where its buffers are; only lengths can lie.
    let mut victim = Victim::new(Role::Client);
    victim.put(victim.rx, 0, Descriptor { region: 9, length: 60, offset: u32::MAX, flags: 0 });
    victim.put(victim.rx, 1, Descriptor { length: 2049, ..Descriptor::default() });
    victim.put_index(victim.rx, 2);
    assert_eq!(victim.poll().len(), 1);
    victim.poll();
    victim.assert_dropped("rx_bad_descriptors", Refusal::BadDescriptor);
}

#[test]
fn chains_without_an_end_drop_the_link_and_long_ones_are_counted() {
    let mut victim = Victim::new(Role::Server);
    let next = Descriptor { flags: Descriptor::FLAG_NEXT, ..good(&victim, 60) };
    (0..64).for_each(|slot| victim.put(victim.rx, slot, next));
    victim.put_index(victim.rx, 3);
    victim.poll();
    victim.assert_dropped("rx_bad_chains", Refusal::BadChain);

    let mut victim = Victim::new(Role::Server);
    for slot in 0..64 {
        let flags = if slot % 32 == 31 { 0 } else { Descriptor::FLAG_NEXT };
        victim.put(victim.rx, slot, Descriptor { flags, ..good(&victim, 2048) });
    }
    victim.put_index(victim.rx, 64);
    assert_eq!(victim.poll(), [[0; 0]; 0]);
    assert_eq!(counter(&victim.queue, "rx_long_frames"), 2);
    victim.put(victim.rx, 0, good(&victim, 13));
    victim.put_index(victim.rx, 65);
    assert_eq!(victim.poll(), [[0; 0]; 0]);
    assert_eq!(counter(&victim.queue, "rx_short_frames"), 1);
    assert!(victim.queue.is_up(), "useless, but harmless");
}

#[test]
fn a_flag_left_from_an_earlier_lap_chains_nothing() {
    let mut victim = Victim::new(Role::Server);
    victim.memory.write(victim.rx.buffers_offset, &packet(7, 60));
    let next = Descriptor { flags: Descriptor::FLAG_NEXT, ..good(&victim, 60) };
    for lap in 0..2 {
        for slot in 0..64 {
            // As DPDK's client does: it sets the flag where a packet goes on, and clears none.
            let at = victim.rx.offset + ring::DESCRIPTORS + slot * ring::DESCRIPTOR_BYTES;
            let words = [victim.memory.u64(at).load(Ordering::Relaxed), 0];
            let flags = Descriptor::from_words(words).flags;
            let goes_on = lap == 0 && slot % 2 == 0;
            let flags = if goes_on { next.flags } else { flags };
            victim.put(victim.rx, slot, Descriptor { flags, ..next });
        }
        victim.put_index(victim.rx, (lap + 1) * 64);
        assert_eq!(victim.poll().len(), if lap == 0 { 32 } else { 64 });
    }
    assert!(victim.queue.is_up());
}

/// What a peer does between two polls of the victim.
#[derive(Clone, Debug)]
enum Deed {
    /// Anything, anywhere.
    Scribble {
        at: usize,
        word: u64,
    },
    /// An index of either ring.
    Index {
        is_rx: bool,
        index: u16,
    },
    /// A descriptor that may even be good.
    Descriptor {
        is_rx: bool,
        slot: usize,
        flags: u16,
        region: u16,
        length: u32,
        offset: u32,
    },
    Receive,
    Send(u16),
}

fn deed() -> impl Strategy<Value = Deed> {
    let descriptor = (any::<bool>(), 0..64_usize, 0..2_u16, 0..2_u16, 0..4000_u32, 0..300_000_u32);
    prop_oneof![
        (0..280_000_usize, any::<u64>()).prop_map(|(at, word)| Deed::Scribble { at, word }),
        // Mostly the descriptors and the indices.
        (0..3000_usize, any::<u64>()).prop_map(|(at, word)| Deed::Scribble { at, word }),
        (any::<bool>(), 0..200_u16).prop_map(|(is_rx, index)| Deed::Index { is_rx, index }),
        descriptor.prop_map(|(is_rx, slot, flags, region, length, offset)| Deed::Descriptor {
            is_rx,
            slot,
            flags,
            region,
            length,
            offset
        }),
        Just(Deed::Receive),
        (1..64_u16).prop_map(Deed::Send),
    ]
}

impl Victim {
    fn suffer(&mut self, deed: Deed) {
        match deed {
            Deed::Scribble { at, word } => {
                let at = at.next_multiple_of(8).min(self.memory.len() - 8);
                self.memory.u64(at).store(word, Ordering::Relaxed);
            }
            Deed::Index { is_rx, index } => {
                self.put_index(if is_rx { self.rx } else { self.tx }, index);
            }
            Deed::Descriptor { is_rx, slot, flags, region, length, offset } => {
                let place = if is_rx { self.rx } else { self.tx };
                self.put(place, slot, Descriptor { flags, region, length, offset });
            }
            Deed::Receive => drop(self.poll()),
            Deed::Send(count) => {
                let mut burst = Burst::new();
                for number in 0..count {
                    let Some(mut frame) = self.queue.alloc() else { break };
                    self.queue.bytes_mut(&mut frame, 14 + 20 * number);
                    burst.push(frame).expect("at most 64");
                }
                self.queue.tx_burst(&mut burst);
                let refused = burst.len();
                burst.drain(refused).for_each(|frame| self.queue.free(frame));
            }
        }
    }
}

proptest! {
    #[test]
    fn a_peer_that_scribbles_does_no_harm(
        is_server in any::<bool>(),
        deeds in prop::collection::vec(deed(), 1..200),
    ) {
        let mut victim = Victim::new(if is_server { Role::Server } else { Role::Client });
        for deed in deeds {
            victim.suffer(deed);
            prop_assert_eq!(victim.queue.outstanding(), 0);
        }
        victim.queue.audit();
        let drops = counter(&victim.queue, "link_downs");
        prop_assert_eq!(drops, u64::from(!victim.queue.is_up()));
        let named = ["indices", "descriptors", "chains"].iter().flat_map(|what| {
            ["rx", "tx"].map(|way| counter(&victim.queue, &format!("{way}_bad_{what}")))
        });
        prop_assert_eq!(named.sum::<u64>(), drops, "every drop has a name");
    }
}

/// Opens a server, has `talk` break its rules, and expects a good-bye, a count, and that the next
/// client is served.
fn check_talk(
    change: impl FnOnce(&mut Config),
    talk: impl FnOnce(&Channel, &mut Client) -> Option<String>,
    counter_name: &str,
) {
    let socket = socket();
    let mut config = Config::new(&socket, Role::Server);
    change(&mut config);
    let mut port = Port::open(&config).expect("a free name");
    let queue = port.take_queues().remove(0);
    let channel = Channel::connect(&socket).expect("it listens");
    let mut client = Client::new(&Config::new(&socket, Role::Client));
    let said = talk(&channel, &mut client);
    assert!(said.is_some(), "the server says why it leaves");
    assert_eq!(counter(&queue, counter_name), 1, "{counter_name}: {said:?}");
    // The next one is served.
    let secret = config.secret;
    let mut good =
        Port::open(&Config { secret, ..Config::new(&socket, Role::Client) }).expect("ours");
    assert!(good.wait_for_link(true, PATIENCE), "after {said:?}");
    assert!(port.wait_for_link(true, PATIENCE));
    drop((good.take_queues(), good));
}

/// The next message, waited for.
fn hear(channel: &Channel) -> Option<Message> {
    loop {
        match channel.receive().expect("connected") {
            Received::Message(message, _) => return Some(message),
            Received::Nothing => std::thread::yield_now(),
            Received::End => return None,
            Received::Malformed => panic!("malformed"),
        }
    }
}

/// Answers the server until it says good-bye: the reason.
fn go_on(channel: &Channel, client: &mut Client) -> Option<String> {
    while let Some(message) = hear(channel) {
        if let Message::Disconnect { reason, .. } = message {
            return Some(reason.to_string());
        }
        match client.handle(&message).expect("the server keeps the rules") {
            ClientStep::Send(message, fd) => {
                channel.send(&message, fd.as_ref().map(|fd| fd.as_fd())).expect("connected");
            }
            ClientStep::Connected(_) => panic!("the server took it"),
        }
    }
    None
}

#[test]
fn strangers_are_told_why_and_the_next_is_served() {
    let secret = |config: &mut Config| "mellon".clone_into(&mut config.secret);
    check_talk(secret, go_on, "control_stranger_refusals");
    let early = |channel: &Channel, client: &mut Client| {
        channel.send(&Message::Connected(crate::wire::Text::new("x")), None).expect("connected");
        hear(channel);
        go_on(channel, client)
    };
    check_talk(|_| (), early, "control_malformed_refusals");
}

#[test]
fn a_second_peer_is_refused_while_there_is_one() {
    let socket = socket();
    let open = |role| Port::open(&Config::new(&socket, role)).expect("a good configuration");
    let (mut server, client) = (open(Role::Server), open(Role::Client));
    assert!(server.wait_for_link(true, PATIENCE) && client.wait_for_link(true, PATIENCE));
    let channel = Channel::connect(&socket).expect("it listens");
    let mut second = Client::new(&Config::new(&socket, Role::Client));
    assert_eq!(go_on(&channel, &mut second).as_deref(), Some("already connected"));
    assert_eq!(counter(&server.take_queues()[0], "control_surplus_refusals"), 1);
    assert!(client.wait_for_link(true, PATIENCE), "the first one stays");
}
