//! Frames into an engine with connections: the oracle is that none leaks, and that nothing is left.

use crate::reader::Reader;
use crate::victim::{self, CONNECTIONS, HALF_OPEN, Peer, Segment, TCP, Victim, mend};
use server_http_fuzz::engine::{Failure, Random, Target, fnv};
use std::time::Duration;

/// The target.
pub(crate) struct EngineFrames;

/// Operations of one input, at most.
const OPERATIONS_MAX: usize = 200;
/// Bytes of random input that `generate` makes, at most.
const GENERATED_MAX: usize = 60;

impl Target for EngineFrames {
    fn name(&self) -> &'static str {
        "engine_frames"
    }

    fn input_bytes_max(&self) -> usize {
        2000
    }

    fn dictionary(&self) -> &'static [&'static [u8]] {
        &[&[0x02, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0x66], &[0x08, 0], &[0x08, 6], &[2, 4, 5, 0xb4]]
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        let count = random.below(GENERATED_MAX);
        (0..count).map(|_| u8::try_from(random.below(256)).expect("a byte")).collect()
    }

    fn check(&self, input: &[u8]) -> Result<u64, Failure> {
        let mut victim = victim::native_victim();
        let mut peer = victim.opens();
        let mut reader = Reader::new(input);
        for _ in 0..OPERATIONS_MAX {
            let Some(operation) = reader.operation() else { break };
            act(&mut victim, &mut peer, operation % 8, &mut reader);
            let (connections, half_open) = victim.tables();
            if connections > CONNECTIONS.into() || half_open > HALF_OPEN.into() {
                return Err(Failure::new("bounds", format!("{:?}", victim.counters())));
            }
        }
        let story = story(&victim);
        let now = victim.clock.now();
        victim.host.drain(now, now + Duration::from_secs(5));
        victim.passes(Duration::from_secs(10));
        if victim.tables() == (0, 0) && victim.host.outstanding() == 0 {
            return Ok(story);
        }
        Err(Failure::new("leak", format!("{:?}", victim.counters())))
    }
}

fn act(victim: &mut Victim, peer: &mut Peer, operation: u8, reader: &mut Reader<'_>) {
    match operation {
        0 => {
            victim.hears_frame(reader.bytes());
        }
        1 => {
            let wait = Duration::from_millis(u64::from(reader.short()));
            victim.passes(wait);
        }
        2 => *peer = victim_opens(victim, reader),
        3 => {
            let mut frame = segment(peer, reader).frame();
            // A few bytes of any header are changed, and the checksums are good again or not.
            for _ in 0..1 + reader.byte() % 4 {
                let place = usize::from(reader.byte()) % frame.len();
                frame[place] ^= reader.byte();
            }
            if !reader.byte().is_multiple_of(4) {
                mend(&mut frame);
            }
            victim.hears_frame(&frame);
        }
        4 => {
            let mut frame = segment(peer, reader).frame();
            frame.truncate(TCP);
            frame[23] = 1;
            frame.extend_from_slice(reader.bytes());
            let len = u16::try_from(frame.len() - 14).expect("short");
            frame[16..18].copy_from_slice(&len.to_be_bytes());
            mend(&mut frame);
            victim.hears_frame(&frame);
        }
        _ => {
            let segment = segment(peer, reader);
            let said = victim.hears(&segment);
            if segment.seq == peer.seq && said.iter().any(|it| it.ack == segment.seq_end()) {
                peer.seq = segment.seq_end();
            }
            if let Some(last) = said.last() {
                peer.ack = last.seq_end();
            }
        }
    }
}

/// Opens another connection if there is room for one.
fn victim_opens(victim: &mut Victim, reader: &mut Reader<'_>) -> Peer {
    let mut peer = Peer::new(1 + reader.short() % 1000);
    if let Some(syn_ack) = victim.hears(&peer.syn()).first() {
        peer.seq = peer.seq.wrapping_add(1);
        peer.ack = syn_ack.seq.wrapping_add(1);
        victim.hears(&peer.ack());
    }
    peer
}

/// A segment near the numbers of a connection.
fn segment(peer: &Peer, reader: &mut Reader<'_>) -> Segment {
    let shape = reader.byte();
    let pick = |bit: u8, value: u32| if shape & bit == 0 { 0 } else { value };
    let (seq, ack) = (reader.distance(), reader.distance());
    let options = if shape & 4 == 0 { &[] } else { reader.bytes() };
    Segment {
        seq: peer.seq.wrapping_add(pick(1, seq)),
        ack: peer.ack.wrapping_add(pick(2, ack)),
        flags: if shape & 8 == 0 { victim::ACK } else { reader.byte() },
        wnd: reader.short(),
        up: if shape & 16 == 0 { 0 } else { reader.short() },
        options: options[..options.len().min(40)].to_vec(),
        payload: if shape & 32 == 0 { b"100\n".to_vec() } else { reader.bytes().to_vec() },
        ..peer.ack()
    }
}

/// What the input did: which counters it moved, and how far, roughly.
fn story(victim: &Victim) -> u64 {
    let magnitude = |count: u64| u8::try_from(count.min(1 << 20).ilog2()).expect("at most 20");
    let counters = victim.counters();
    let moved = counters.iter().filter(|(_, count)| **count > 0);
    let bytes: Vec<u8> =
        moved.flat_map(|(name, count)| name.bytes().chain([magnitude(*count) / 2])).collect();
    fnv(&bytes)
}
