//! The exchange against a kernel of our own: no frame is lost, doubled, or starved of.

use super::{Exchange, Kernel, Rings, Settings, Shares};
use crate::ledger::Owner;
use crate::ring::simulated::SimulatedRing;
use crate::ring::{Consumer, NEED_WAKEUP, Producer};
use crate::umem::Umem;
use libc::xdp_desc;
use proptest::prelude::*;
use queue::{BURST_MAX, Burst, Frame, Meta};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::rc::Rc;

const CHUNK_BYTES: u64 = 2048;
/// What the kernel leaves free before a received packet, in bytes.
const HEADROOM: u64 = 256;
/// What one kick sends in copy mode.
const TX_BATCH: u32 = 32;

/// What the simulated kernel has, and how it behaves.
struct State {
    fill: Consumer<SimulatedRing<u64>>,
    completion: Producer<SimulatedRing<u64>>,
    rx: Producer<SimulatedRing<xdp_desc>>,
    tx: Consumer<SimulatedRing<xdp_desc>>,
    /// Chunks it may receive into, oldest first.
    receivable: VecDeque<u64>,
    /// Chunks being sent, whose completion it still owes.
    sending: VecDeque<u64>,
    /// All chunks it has, for the oracle that none is given to it twice.
    held: BTreeSet<u64>,
    sent: Vec<(u64, u32)>,
}

/// One side of a pair of handles: the other one is the test's.
#[derive(Clone)]
struct Simulated {
    state: Rc<RefCell<State>>,
    /// The error of every kick, if it fails without sending anything.
    refusal: Rc<Cell<Option<i32>>>,
}

impl Kernel for Simulated {
    type Addresses = SimulatedRing<u64>;
    type Descriptors = SimulatedRing<xdp_desc>;

    /// As `__xsk_generic_xmit`: sends up to a batch, and asks for another call if there is more.
    fn wake_tx(&self) -> io::Result<()> {
        if let Some(errno) = self.refusal.get() {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let mut state = self.state.borrow_mut();
        for _ in 0..TX_BATCH {
            if !state.send_one() {
                return Ok(());
            }
        }
        Err(io::Error::from_raw_os_error(libc::EAGAIN))
    }

    fn wake_rx(&self) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::ENETDOWN))
    }
}

impl State {
    fn chunk(address: u64) -> u64 {
        address / CHUNK_BYTES
    }

    /// Takes all of FILL.
    fn take_fill(&mut self) {
        for _ in 0..self.fill.available(u32::MAX) {
            let address = self.fill.pop();
            assert!(self.held.insert(Self::chunk(address)), "chunk given to the kernel twice");
            self.receivable.push_back(address);
        }
        self.fill.release();
    }

    /// Receives up to `count` packets of `len` bytes; returns how many it did not have to drop.
    fn receive(&mut self, count: u32, len: u32) -> u32 {
        self.take_fill();
        let mut received = 0;
        while received < count && self.rx.room(1) == 1 {
            let Some(address) = self.receivable.pop_front() else { break };
            assert!(self.held.remove(&Self::chunk(address)));
            let addr = address - address % CHUNK_BYTES + HEADROOM;
            self.rx.push(xdp_desc { addr, len, options: 0 });
            received += 1;
        }
        self.rx.commit();
        received
    }

    /// Takes one packet from TX, if it has a place to complete it.
    fn send_one(&mut self) -> bool {
        if self.tx.available(1) == 0 {
            return false;
        }
        let descriptor = self.tx.pop();
        self.tx.release();
        let chunk = Self::chunk(descriptor.addr);
        assert!(self.held.insert(chunk), "chunk given to the kernel twice");
        assert_eq!(Self::chunk(descriptor.addr + u64::from(descriptor.len) - 1), chunk);
        self.sending.push_back(descriptor.addr);
        self.sent.push((descriptor.addr, descriptor.len));
        true
    }

    /// Completes up to `count` of the packets being sent, the oldest or the newest first.
    fn complete(&mut self, count: u32, is_newest_first: bool) {
        for _ in 0..self.completion.room(count) {
            let next =
                if is_newest_first { self.sending.pop_back() } else { self.sending.pop_front() };
            let Some(address) = next else { break };
            assert!(self.held.remove(&Self::chunk(address)));
            self.completion.push(address);
        }
        self.completion.commit();
    }
}

/// A queue and its kernel, both in the test's hands.
struct World {
    exchange: Exchange<Simulated>,
    kernel: Simulated,
    fill_flags: SimulatedRing<u64>,
    tx_flags: SimulatedRing<xdp_desc>,
    burst: Burst,
    held: Vec<Frame>,
}

impl World {
    /// With `frame_count` frames, rings of `ring_frames`, and cursors that start at `start`.
    fn new(frame_count: u32, ring_frames: u32, start: u32) -> Self {
        let fill = SimulatedRing::new(ring_frames, start);
        let completion = SimulatedRing::new(ring_frames, start);
        let rx = SimulatedRing::new(ring_frames, start);
        let tx = SimulatedRing::new(ring_frames, start);
        tx.set_flags(NEED_WAKEUP);
        let state = State {
            fill: Consumer::new(fill.clone()),
            completion: Producer::new(completion.clone()),
            rx: Producer::new(rx.clone()),
            tx: Consumer::new(tx.clone()),
            receivable: VecDeque::new(),
            sending: VecDeque::new(),
            held: BTreeSet::new(),
            sent: Vec::new(),
        };
        let kernel =
            Simulated { state: Rc::new(RefCell::new(state)), refusal: Rc::new(Cell::new(None)) };
        let rings = Rings {
            fill: Producer::new(fill.clone()),
            completion: Consumer::new(completion),
            rx: Consumer::new(rx),
            tx: Producer::new(tx.clone()),
        };
        let settings = Settings {
            shares: Shares::of(frame_count, ring_frames, ring_frames),
            packet_len_max: 1514,
            busy_poll: false,
        };
        let umem = Umem::map(frame_count, 2048).expect("memory");
        let exchange = Exchange::new(kernel.clone(), rings, umem, settings);
        let burst = Burst::new();
        Self { exchange, kernel, fill_flags: fill, tx_flags: tx, burst, held: Vec::new() }
    }

    fn state(&self) -> std::cell::RefMut<'_, State> {
        self.kernel.state.borrow_mut()
    }

    fn count(&self, owner: Owner) -> u32 {
        self.exchange.umem().ledger.count(owner)
    }

    /// Receives into the hands of the caller.
    fn rx(&mut self) -> usize {
        let received = self.exchange.rx_burst(&mut self.burst);
        let len = self.burst.len();
        self.held.extend(self.burst.drain(len));
        received
    }

    /// Sends up to `count` of the held frames; those refused stay held.
    fn tx(&mut self, count: usize) -> usize {
        let count = count.min(self.held.len()).min(BURST_MAX);
        for frame in self.held.drain(..count) {
            self.burst.push(frame).expect("room in an empty burst");
        }
        let sent = self.exchange.tx_burst(&mut self.burst);
        let left = self.burst.len();
        self.held.extend(self.burst.drain(left));
        sent
    }

    fn free_all(&mut self) {
        for frame in self.held.drain(..) {
            self.exchange.free(frame);
        }
    }

    /// Takes a frame and makes a packet of `len` bytes of it.
    fn make(&mut self, len: u16) -> bool {
        let Some(mut frame) = self.exchange.alloc() else { return false };
        self.exchange.umem_mut().bytes_mut(&mut frame, len).fill(7);
        self.held.push(frame);
        true
    }

    /// What must hold at every moment.
    fn check(&self) {
        let ledger = &self.exchange.umem().ledger;
        ledger.audit();
        assert_eq!(self.exchange.outstanding() as usize, self.held.len() + self.burst.len());
        let shares = self.exchange.settings.shares;
        assert!(ledger.count(Owner::Rx) <= shares.rx);
        assert!(ledger.count(Owner::Tx) <= shares.tx);
    }
}

/// One thing that happens to a queue.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Packets arrive.
    Arrive { count: u32, len: u32 },
    /// Packets that were sent come back.
    Complete { count: u32, is_newest_first: bool },
    /// The caller receives.
    Rx,
    /// The caller makes packets.
    Make(usize),
    /// The caller sends what it holds.
    Tx(usize),
    /// The caller frees what it holds.
    Free,
    /// Kicks fail from now on, or work again.
    Refuse(Option<i32>),
    /// The kernel wants to be woken for TX from now on, or does not.
    NeedWakeup(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let refusals = prop_oneof![
        3 => Just(None),
        1 => Just(Some(libc::EAGAIN)),
        1 => Just(Some(libc::EBUSY)),
        1 => Just(Some(libc::ENOBUFS)),
        1 => Just(Some(libc::ENETDOWN)),
        1 => Just(Some(libc::ENXIO)),
    ];
    let step = prop_oneof![
        (0..200_u32, 14..1515_u32).prop_map(|(count, len)| Step::Arrive { count, len }),
        (0..200_u32, any::<bool>())
            .prop_map(|(count, is_newest_first)| Step::Complete { count, is_newest_first }),
        Just(Step::Rx),
        (0..100_usize).prop_map(Step::Make),
        (0..=BURST_MAX).prop_map(Step::Tx),
        Just(Step::Free),
        refusals.prop_map(Step::Refuse),
        any::<bool>().prop_map(Step::NeedWakeup),
    ];
    prop::collection::vec(step, 1..120)
}

fn run(world: &mut World, step: Step) {
    match step {
        Step::Arrive { count, len } => {
            world.state().receive(count, len);
        }
        Step::Complete { count, is_newest_first } => world.state().complete(count, is_newest_first),
        Step::Rx => {
            world.rx();
        }
        Step::Make(count) => while world.held.len() < count && world.make(60) {},
        Step::Tx(count) => {
            world.tx(count);
        }
        Step::Free => world.free_all(),
        Step::Refuse(errno) => world.kernel.refusal.set(errno),
        Step::NeedWakeup(wanted) => {
            world.tx_flags.set_flags(if wanted { NEED_WAKEUP } else { 0 });
            // A kernel that does not want to be woken looks for itself.
            if !wanted {
                while world.state().send_one() {}
            }
        }
    }
}

/// After everything has come back, every frame is where it was at the start.
fn settle(world: &mut World) {
    world.kernel.refusal.set(None);
    world.tx_flags.set_flags(NEED_WAKEUP);
    world.free_all();
    let rounds = world.exchange.umem().frame_count() / 32;
    for _ in 0..rounds {
        world.tx(0);
        world.state().complete(u32::MAX >> 8, false);
        world.rx();
        world.free_all();
        world.check();
    }
    assert_eq!(world.exchange.outstanding(), 0);
    world.exchange.reap();
    world.exchange.refill();
    assert_eq!(world.count(Owner::Tx), 0);
    assert_eq!(world.count(Owner::Rx), world.exchange.settings.shares.rx);
    let counts = world.exchange.counts();
    assert_eq!(counts.tx_frames, counts.tx_completed_frames);
    assert_eq!(usize::try_from(counts.tx_frames), Ok(world.state().sent.len()));
    assert_eq!((counts.rx_bad_frames, counts.tx_bad_completions), (0, 0));
    // Twice, because what was forgotten in a ring would only be missed then.
    for _ in 0..2 {
        let share = world.exchange.settings.shares.rx;
        assert_eq!(world.state().receive(share, 60), share, "reception has its whole share");
        while world.rx() > 0 {
            world.free_all();
        }
        world.exchange.refill();
    }
    world.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever happens, in whatever order: each frame has one owner, each direction keeps its
    /// share, and in the end all of them are back. The cursors start anywhere, also at the wrap.
    #[test]
    fn no_frame_is_lost_or_doubled(
        frame_count in prop_oneof![Just(256_u32), Just(300), 256..1500_u32],
        ring_frames in prop_oneof![Just(64_u32), Just(128), Just(2048)],
        start in prop_oneof![(u32::MAX - 300)..=u32::MAX, any::<u32>()],
        steps in steps(),
    ) {
        let mut world = World::new(frame_count, ring_frames, start);
        for step in steps {
            run(&mut world, step);
            world.check();
        }
        settle(&mut world);
    }
}

#[test]
fn a_stuck_transmission_does_not_starve_reception() {
    let mut world = World::new(256, 2048, 0);
    world.kernel.refusal.set(Some(libc::ENETDOWN));
    // A reflector: each packet received is sent, and none gets out.
    let mut refused = 0;
    for _ in 0..20 {
        world.state().receive(64, 60);
        let received = world.rx();
        refused += received - world.tx(BURST_MAX);
        world.free_all();
        world.check();
    }
    // Frames freed after a burst are given to the kernel with the next one.
    world.rx();
    assert_eq!(world.count(Owner::Tx), 128, "transmission has its share, and not more");
    assert!(refused > 0);
    assert_eq!(world.state().receive(1000, 60), 128, "reception has all of its own");
    assert!(world.exchange.counts().tx_link_down_errors >= 20, "each call tries again");
    world.rx();
    settle(&mut world);
}

#[test]
fn reception_at_rest_does_not_starve_transmission() {
    let mut world = World::new(256, 2048, 0);
    let mut made = 0;
    while world.make(60) {
        made += 1;
    }
    assert_eq!(made, 128, "half of the frames can be taken while nothing is received");
    assert_eq!(world.exchange.counts().alloc_refusals, 1);
    assert_eq!(world.state().receive(1000, 60), 128);
    assert_eq!(world.tx(64) + world.tx(64), 128);
    world.state().complete(128, false);
    assert!(world.make(60), "what was sent can be taken again, without a call of rx_burst");
    settle(&mut world);
}

#[test]
fn what_reception_lacks_is_not_given_away() {
    let mut world = World::new(256, 2048, 0);
    while world.make(60) {}
    world.state().receive(64, 60);
    assert_eq!(world.rx(), 64);
    assert_eq!(world.count(Owner::Rx), 64, "there was nothing to refill with");
    for frame in world.held.drain(..64) {
        world.exchange.free(frame);
    }
    assert!(!world.make(60), "64 frames are free, and reception lacks as many");
    world.rx();
    assert_eq!(world.count(Owner::Rx), 128);
    settle(&mut world);
}

#[test]
fn a_reflected_packet_is_sent_from_where_it_was_received() {
    let mut world = World::new(256, 2048, 0);
    world.state().receive(1, 77);
    assert_eq!((world.rx(), world.tx(1)), (1, 1));
    let sent = world.state().sent.clone();
    assert_eq!(sent, [(HEADROOM, 77)]);
    settle(&mut world);
}

#[test]
fn one_burst_of_copy_mode_is_kicked_out_in_batches() {
    let mut world = World::new(1024, 256, 0);
    while world.held.len() < BURST_MAX {
        assert!(world.make(60));
    }
    assert_eq!(world.tx(BURST_MAX), BURST_MAX);
    assert_eq!(world.state().sent.len(), BURST_MAX);
    let counts = world.exchange.counts();
    // After the second batch the kernel has not seen yet that the ring is empty.
    assert_eq!((counts.tx_kicks, counts.tx_again_errors), (2, 2));
    world.tx(0);
    assert_eq!(world.exchange.counts().tx_kicks, 2, "an empty ring needs no kick");
    settle(&mut world);
}

#[test]
fn a_kernel_that_polls_is_not_kicked() {
    let mut world = World::new(256, 256, 0);
    world.tx_flags.set_flags(0);
    assert!(world.make(60));
    assert_eq!(world.tx(1), 1);
    assert_eq!(world.exchange.counts().tx_kicks, 0);
    world.tx_flags.set_flags(NEED_WAKEUP);
    assert_eq!(world.tx(0), 0);
    assert_eq!(world.exchange.counts().tx_kicks, 1, "it has gone to sleep since");
    settle(&mut world);
}

#[test]
fn reception_is_kicked_when_the_kernel_asks_for_it() {
    let mut world = World::new(256, 256, 0);
    world.rx();
    assert_eq!(world.exchange.counts().rx_kicks, 0);
    world.fill_flags.set_flags(NEED_WAKEUP);
    world.rx();
    assert_eq!(world.exchange.counts().rx_kicks, 1);
    assert_eq!(world.exchange.counts().rx_kick_errors, 1, "this kernel always fails");
}

#[test]
fn packets_that_cannot_be_sent_are_dropped_by_name() {
    let mut world = World::new(256, 256, 0);
    for len in [0, 13, 14, 1514, 1515] {
        assert!(world.make(len));
    }
    assert_eq!(world.tx(5), 5);
    let sent: Vec<u32> = world.state().sent.iter().map(|&(_, len)| len).collect();
    assert_eq!(sent, [14, 1514]);
    assert_eq!(world.exchange.counts().tx_bad_length_frames, 3);
    world.check();
    settle(&mut world);
}

#[test]
fn descriptors_from_nowhere_take_no_frame() {
    let mut world = World::new(256, 256, 0);
    world.state().take_fill();
    let mine = world.exchange.alloc().expect("a frame");
    let beyond = 256 * CHUNK_BYTES;
    let kernels = *world.state().receivable.front().expect("a frame of the kernel's");
    for (addr, len) in [(mine.addr(), 60), (beyond, 60), (u64::MAX, 60), (kernels + 2000, 60)] {
        world.state().rx.push(xdp_desc { addr, len, options: 0 });
    }
    world.state().rx.commit();
    world.state().completion.push(mine.addr());
    world.state().completion.commit();
    assert_eq!(world.rx(), 0);
    world.exchange.reap();
    let counts = world.exchange.counts();
    assert_eq!((counts.rx_bad_frames, counts.tx_bad_completions), (4, 1));
    assert_eq!(world.exchange.outstanding(), 1, "the caller's frame is still the caller's");
    assert_eq!(world.count(Owner::Rx), 127, "the kernel's frame is free again");
    world.exchange.umem().ledger.audit();
    world.exchange.free(mine);
}

#[test]
#[should_panic(expected = "freed twice")]
fn a_frame_freed_twice_is_noticed() {
    let mut world = World::new(256, 256, 0);
    let frame = world.exchange.alloc().expect("a frame");
    let forged = Frame::from_parts(frame.addr(), 0, 60, Meta::default());
    world.exchange.free(frame);
    world.exchange.free(forged);
}

#[test]
#[should_panic(expected = "is not outstanding")]
fn a_frame_sent_twice_is_noticed() {
    let mut world = World::new(256, 256, 0);
    assert!(world.make(60));
    let forged = Frame::from_parts(world.held[0].addr(), 0, 60, Meta::default());
    world.held.push(forged);
    world.tx(2);
}
