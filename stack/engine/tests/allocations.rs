//! In its steady state the engine allocates nothing, whatever the number of connections.

mod common;

use common::{Heard, Mode, Peer, Segment, TestTcp, World, config};
use engine::Config;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

/// The system's allocator, counting what the current thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps to the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the contract of `dealloc`; the pointer is from `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

fn ten_thousand_polls_with_requests_and_timers_allocate_nothing<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(100), Config { connections: 256, ..config() });
    let mut peers: Vec<Peer> = (0..256).map(|port| world.open(20_000 + port)).collect();
    let mut in_polls = 0;
    let mut answers = 0;
    // The first rounds fill the pools of the simulated link; the rest is counted.
    for round in 0..10_500 {
        let count = peers.len();
        let peer = &mut peers[round * 7 % count];
        world.port.send(&peer.frame(&Segment { payload: b"GET\n", ..Segment::NONE }));
        if round % 50 == 0 {
            // Timers fire, segments are retransmitted.
            world.clock.advance(Duration::from_millis(300));
        }
        world.engine.app().events.clear();
        let before = allocations();
        world.poll();
        if round >= 500 {
            in_polls += allocations() - before;
        }
        let heard = world.heard();
        answers += heard.len();
        peer.seq = peer.seq.wrapping_add(4);
        if let Some(answer) = heard.iter().find(|answer| answer.port == peer.port) {
            peer.ack = Some(Heard::seq_end(answer));
        }
    }
    assert!(answers > 10_000, "{answers}");
    assert_eq!(in_polls, 0);
    world.assert_at_rest();
}

on_both! {
    ten_thousand_polls_with_requests_and_timers_allocate_nothing,
}
