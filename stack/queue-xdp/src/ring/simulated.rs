//! A ring in ordinary memory of one thread, for tests that play both sides.

use super::{RingMemory, Side};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

struct Shared<T> {
    producer: Cell<u32>,
    consumer: Cell<u32>,
    flags: Cell<u32>,
    /// `None` where nothing was written, or what was there has been given back: reading it is the
    /// fault that tests look for.
    entries: RefCell<Vec<Option<T>>>,
}

/// One side's handle to a simulated ring.
pub(crate) struct SimulatedRing<T>(Rc<Shared<T>>);

impl<T> Clone for SimulatedRing<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T: Copy> SimulatedRing<T> {
    /// An empty ring, both of whose cursors stand at `start`.
    pub(crate) fn new(capacity: u32, start: u32) -> Self {
        assert!(capacity.is_power_of_two());
        Self(Rc::new(Shared {
            producer: Cell::new(start),
            consumer: Cell::new(start),
            flags: Cell::new(0),
            entries: RefCell::new(vec![None; capacity as usize]),
        }))
    }

    /// Sets what the producer sees as flags.
    pub(crate) fn set_flags(&self, flags: u32) {
        self.0.flags.set(flags);
    }

    fn index(&self, cursor: u32) -> usize {
        (cursor & (self.capacity() - 1)) as usize
    }
}

impl<T: Copy> RingMemory for SimulatedRing<T> {
    type Entry = T;

    fn capacity(&self) -> u32 {
        u32::try_from(self.0.entries.borrow().len()).expect("a small ring")
    }

    fn load(&self, side: Side) -> u32 {
        match side {
            Side::Producer => self.0.producer.get(),
            Side::Consumer => self.0.consumer.get(),
        }
    }

    fn store(&mut self, side: Side, cursor: u32) {
        match side {
            Side::Producer => self.0.producer.set(cursor),
            Side::Consumer => {
                // What is given back must not be read again.
                let mut given_back = self.0.consumer.get();
                while given_back != cursor {
                    let index = self.index(given_back);
                    self.0.entries.borrow_mut()[index] = None;
                    given_back = given_back.wrapping_add(1);
                }
                self.0.consumer.set(cursor);
            }
        }
    }

    fn flags(&self) -> u32 {
        self.0.flags.get()
    }

    fn read(&self, cursor: u32) -> T {
        let distance = self.0.producer.get().wrapping_sub(cursor);
        assert!((1..=self.capacity()).contains(&distance), "read outside of the cursors");
        self.0.entries.borrow()[self.index(cursor)].expect("an entry that was written")
    }

    fn write(&mut self, cursor: u32, entry: T) {
        let index = self.index(cursor);
        let overwritten = self.0.entries.borrow_mut()[index].replace(entry);
        assert!(overwritten.is_none(), "overwrote an entry that was not given back");
    }
}
