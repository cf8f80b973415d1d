//! Both sides of a ring, against a plain queue, and across threads.

use super::simulated::SimulatedRing;
use super::{Consumer, NEED_WAKEUP, Producer, RingMemory, Side};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const CAPACITY: u32 = 8;

/// What a side does next, with a count.
#[derive(Clone, Copy, Debug)]
enum Step {
    Produce(u32),
    Commit,
    Consume(u32),
    Release,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..=CAPACITY + 2).prop_map(Step::Produce),
        Just(Step::Commit),
        (0..=CAPACITY + 2).prop_map(Step::Consume),
        Just(Step::Release),
    ];
    prop::collection::vec(step, 1..200)
}

/// Starts shortly before the cursors wrap, and elsewhere.
fn starts() -> impl Strategy<Value = u32> {
    prop_oneof![(u32::MAX - 2 * CAPACITY)..=u32::MAX, any::<u32>(), Just(0)]
}

proptest! {
    /// A ring is a bounded queue: nothing is lost, doubled or reordered, an entry is seen after
    /// its commit and not before, its place is free after its release and not before.
    #[test]
    fn a_ring_is_a_bounded_queue(start in starts(), steps in steps()) {
        let ring = SimulatedRing::new(CAPACITY, start);
        let mut producer = Producer::new(ring.clone());
        let mut consumer = Consumer::new(ring);
        let (mut written, mut committed, mut popped) = (0_u32, VecDeque::new(), 0_u32);
        let mut uncommitted = VecDeque::new();
        for step in steps {
            let in_use = u32::try_from(uncommitted.len() + committed.len()).unwrap() + popped;
            match step {
                Step::Produce(wanted) => {
                    let room = producer.room(wanted);
                    prop_assert_eq!(room, wanted.min(CAPACITY - in_use));
                    for _ in 0..room {
                        producer.push(written);
                        uncommitted.push_back(written);
                        written += 1;
                    }
                }
                Step::Commit => {
                    producer.commit();
                    committed.append(&mut uncommitted);
                }
                Step::Consume(wanted) => {
                    let most = wanted.min(u32::try_from(committed.len()).unwrap());
                    let available = consumer.available(wanted);
                    // A consumer may lag behind, but never sees nothing where there is something.
                    prop_assert!(available <= most && (available > 0 || most == 0));
                    for _ in 0..available {
                        prop_assert_eq!(Some(consumer.pop()), committed.pop_front());
                        popped += 1;
                    }
                }
                Step::Release => {
                    consumer.release();
                    popped = 0;
                }
            }
            let pending = u32::try_from(uncommitted.len() + committed.len()).unwrap() + popped;
            prop_assert_eq!(producer.pending(), pending);
        }
    }
}

#[test]
fn cursors_wrap_through_full_and_empty() {
    let mut ring = SimulatedRing::new(4, u32::MAX - 1);
    ring.set_flags(NEED_WAKEUP);
    let mut producer = Producer::new(ring.clone());
    assert!(producer.needs_wakeup());
    let mut consumer = Consumer::new(ring.clone());
    for round in 0..3_u64 {
        assert_eq!(consumer.available(9), 0);
        assert_eq!(producer.room(9), 4);
        (0..4).for_each(|entry| producer.push(10 * round + entry));
        assert_eq!(consumer.available(9), 0, "nothing is seen before the commit");
        producer.commit();
        assert_eq!(producer.room(1), 0);
        assert_eq!(consumer.available(9), 4);
        let entries: Vec<u64> = (0..4).map(|_| consumer.pop()).collect();
        assert_eq!(entries, [0, 1, 2, 3].map(|entry| 10 * round + entry));
        assert_eq!(producer.room(1), 0, "no place is free before the release");
        consumer.release();
    }
    assert_eq!(ring.load(Side::Producer), 10, "the cursor wrapped");
    ring.store(Side::Consumer, 10);
    assert_eq!(producer.pending(), 0);
}

#[test]
#[should_panic(expected = "the ring's memory is damaged")]
fn a_cursor_from_nowhere_is_not_believed() {
    let mut ring = SimulatedRing::<u64>::new(4, 0);
    let mut consumer = Consumer::new(ring.clone());
    ring.store(Side::Producer, 5);
    consumer.available(1);
}

/// A ring between two threads.
struct AtomicRing {
    cursors: [AtomicU32; 2],
    entries: Vec<AtomicU64>,
}

impl RingMemory for Arc<AtomicRing> {
    type Entry = u64;

    fn capacity(&self) -> u32 {
        CAPACITY
    }

    fn load(&self, side: Side) -> u32 {
        self.cursors[side as usize].load(Ordering::Acquire)
    }

    fn store(&mut self, side: Side, cursor: u32) {
        self.cursors[side as usize].store(cursor, Ordering::Release);
    }

    fn flags(&self) -> u32 {
        0
    }

    fn read(&self, cursor: u32) -> u64 {
        self.entries[(cursor % CAPACITY) as usize].load(Ordering::Relaxed)
    }

    fn write(&mut self, cursor: u32, entry: u64) {
        self.entries[(cursor % CAPACITY) as usize].store(entry, Ordering::Relaxed);
    }
}

#[test]
fn two_threads_pass_a_sequence_across_the_wrap() {
    const ENTRIES: u64 = 20_000;
    let start = || AtomicU32::new(u32::MAX - 1000);
    let entries = (0..CAPACITY).map(|_| AtomicU64::new(u64::MAX)).collect();
    let ring = Arc::new(AtomicRing { cursors: [start(), start()], entries });
    let mut producer = Producer::new(Arc::clone(&ring));
    let mut consumer = Consumer::new(ring);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut next = 0;
            while next < ENTRIES {
                for _ in 0..producer.room(3) {
                    producer.push(next);
                    next += 1;
                }
                producer.commit();
                std::thread::yield_now();
            }
        });
        let mut expected = 0;
        while expected < ENTRIES {
            for _ in 0..consumer.available(5) {
                assert_eq!(consumer.pop(), expected);
                expected += 1;
            }
            consumer.release();
            std::thread::yield_now();
        }
    });
}
