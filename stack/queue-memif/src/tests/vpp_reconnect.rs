//! A hundred links with VPP, played by hand, in both roles: nothing stays of any.
//!
//! Other tests of this process open and close what they like meanwhile. So what is counted is who
//! still holds the very files that a link was made of.

use super::vpp::{BUFFER_BYTES, S2C, Vpp, VppServer, place};
use super::{End, contents, counter, frame_of, packet, socket};
use crate::channel::{Channel, Listener};
use crate::wire::{Descriptor, Message, Text, ring};
use crate::{Config, Role};
use queue::{Burst, Queue};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

const ROUNDS: u64 = 100;

/// How many descriptors and mappings of this process are of the file with this inode: all are
/// memory files, and so of one device.
fn holders(inode: u64) -> (usize, usize) {
    let fds = fs::read_dir("/proc/self/fd").expect("procfs");
    // One that another test has closed in the meantime is none.
    let files = fds.filter_map(|fd| fs::metadata(fd.ok()?.path()).ok());
    let descriptors = files.filter(|file| file.ino() == inode && file.is_file()).count();
    let maps = fs::read_to_string("/proc/self/maps").expect("procfs");
    let is_mapped = |line: &&str| line.split_whitespace().nth(4) == Some(&inode.to_string());
    (descriptors, maps.lines().filter(is_mapped).count())
}

/// VPP says why it leaves where its interface goes down, and nothing where it dies.
fn leave(channel: Channel, round: u64) {
    if round.is_multiple_of(2) {
        let reason = Text::new("interface admin down");
        channel.send(&Message::Disconnect { code: 0, reason }, None).expect("connected");
    }
    drop(channel);
}

/// All that may have happened to a queue that met a hundred peers, each for a packet either way.
fn check(end: &End) {
    let queue = &end.queues[0];
    for name in ["link_ups", "link_downs", "control_peer_ends", "rx_frames", "tx_frames"] {
        assert_eq!(counter(queue, name), ROUNDS, "{name}");
    }
    for name in [
        "control_errors",
        "control_malformed_refusals",
        "control_ring_faults",
        "control_slow_refusals",
        "control_surplus_refusals",
        "tx_link_down_frames",
        "tx_refused_frames",
    ] {
        assert_eq!(counter(queue, name), 0, "{name}");
    }
    assert_eq!(end.port.farewell().as_deref(), Some("interface admin down"));
    assert_eq!(queue.outstanding(), 0);
    queue.audit();
}

#[test]
fn nothing_stays_of_a_hundred_clients() {
    let socket = socket();
    let mut server = End::open(&Config::new(&socket, Role::Server));
    let mut burst = Burst::new();
    for round in 0..ROUNDS {
        let vpp = Vpp::connect(&socket, None).expect("a good client");
        server.expect_up();
        let queue = &mut server.queues[0];
        let sent = packet(round, 60);
        let (ours, theirs) = (place(1, 0), place(2, 0));
        vpp.buffers.write(ours as usize, &sent);
        vpp.put(0, 0, Descriptor { flags: 0, region: 1, length: 60, offset: ours });
        vpp.head(0, 1);
        assert_eq!(queue.rx_burst(&mut burst), 1);
        assert_eq!(contents(queue, &mut burst), [sent]);
        vpp.put(S2C, 0, Descriptor { flags: 0, region: 1, length: BUFFER_BYTES, offset: theirs });
        vpp.head(S2C, 1);
        let answer = packet(round + ROUNDS, 60);
        burst.push(frame_of(queue, &answer)).expect("room");
        assert_eq!(queue.tx_burst(&mut burst), 1);
        let mut bytes = vec![0; 60];
        vpp.buffers.read(theirs as usize, &mut bytes);
        assert_eq!((vpp.tail(S2C), vpp.descriptor(S2C, 0).length, bytes), (1, 60, answer));
        // Either end maps each region; of the files the server keeps those that would wake VPP.
        let held: Vec<_> = vpp.given.iter().map(|inode| holders(*inode)).collect();
        assert_eq!(held, [(0, 2), (0, 2), (1, 0), (1, 0)], "regions, then interrupts");
        let Vpp { channel, given, rings, buffers } = vpp;
        drop((rings, buffers));
        leave(channel, round);
        server.expect_down();
        let held: Vec<_> = given.iter().map(|inode| holders(*inode)).collect();
        assert_eq!(held, [(0, 0); 4], "round {round}");
    }
    check(&server);
    assert_eq!(counter(&server.queues[0], "control_handshakes"), ROUNDS);
}

#[test]
fn nothing_stays_of_a_hundred_servers() {
    let socket = socket();
    let mut client = End::open(&Config::new(&socket, Role::Client));
    let listener = Listener::bind(&socket).expect("a free name");
    let mut burst = Burst::new();
    for round in 0..ROUNDS {
        let vpp = VppServer::accept(&listener);
        client.expect_up();
        let queue = &mut client.queues[0];
        let sent = packet(round, 60);
        burst.push(frame_of(queue, &sent)).expect("room");
        assert_eq!(queue.tx_burst(&mut burst), 1);
        assert_eq!(vpp.head(vpp.c2s), 1);
        let first = vpp.first(vpp.c2s);
        let mut bytes = vec![0; 60];
        vpp.region.read(first.offset as usize, &mut bytes);
        assert_eq!((first.length, bytes), (60, sent));
        vpp.tail(vpp.c2s, 1);
        assert_eq!(vpp.head(vpp.s2c), 1024, "all buffers are offered");
        let answer = packet(round + ROUNDS, 60);
        let offered = vpp.first(vpp.s2c);
        vpp.region.write(offered.offset as usize, &answer);
        let [filled, _] = Descriptor { length: 60, ..offered }.to_words();
        vpp.region.u64(vpp.s2c + ring::DESCRIPTORS).store(filled, Ordering::Release);
        vpp.tail(vpp.s2c, 1);
        assert_eq!(queue.rx_burst(&mut burst), 1);
        assert_eq!(contents(queue, &mut burst), [answer]);
        assert_eq!(holders(vpp.inode).1, 2, "the region is mapped by either end");
        let VppServer { channel, region, inode, .. } = vpp;
        drop(region);
        leave(channel, round);
        client.expect_down();
        assert_eq!(holders(inode), (0, 0), "round {round}");
    }
    check(&client);
}
