//! How many connections may be open: one bound over all threads.

use crate::sys;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Descriptors that a server needs besides its connections: standard streams, eventfd, spare ones.
const DESCRIPTORS_OF_PROCESS: u64 = 8;
/// Descriptors that each thread needs: listener, epoll or ring, spare ones.
const DESCRIPTORS_OF_THREAD: u64 = 4;

/// Admits connections up to a bound. Clones share it.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    open: AtomicU32,
    most: u32,
}

impl Admission {
    /// Admits up to `most` connections.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self(Arc::new(Inner { open: AtomicU32::new(0), most }))
    }

    /// Admits up to `wanted` connections, or as many as the open-file limit leaves room for.
    ///
    /// The soft limit is raised to the hard limit first. Print [`most`](Self::most) in the ready
    /// line: it is what was obtained.
    ///
    /// # Errors
    /// A sentence where the limit cannot be read, or leaves no room for a single connection.
    pub fn within_open_files(wanted: u32, threads: usize) -> Result<Self, String> {
        let files = sys::raise_open_files()
            .map_err(|error| format!("the open-file limit cannot be raised: {error}"))?;
        let threads = u64::try_from(threads).unwrap_or(u64::MAX);
        let own = threads.saturating_mul(DESCRIPTORS_OF_THREAD) + DESCRIPTORS_OF_PROCESS;
        match files.saturating_sub(own) {
            0 => Err(format!(
                "an open-file limit of {files} leaves no room for connections: {own} are needed \
                 for the server itself; raise it with ulimit -n"
            )),
            room => Ok(Self::new(wanted.min(u32::try_from(room).unwrap_or(u32::MAX)))),
        }
    }

    /// The bound.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.0.most
    }

    /// Counts a connection in, unless the bound is reached.
    #[must_use = "a connection that is not admitted must be closed and counted as refused"]
    pub fn admit(&self) -> bool {
        if self.0.open.fetch_add(1, Ordering::Relaxed) < self.0.most {
            return true;
        }
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Counts an admitted connection out.
    pub fn leave(&self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether `error`, returned by accept, says that no descriptor was left.
#[must_use]
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_to_the_bound_and_again_when_one_has_left() {
        let admission = Admission::new(2);
        let same = admission.clone();
        assert!(admission.admit());
        assert!(same.admit());
        assert!(!admission.admit());
        assert!(!same.admit(), "a refusal does not use up a place, nor free one");
        same.leave();
        assert!(admission.admit());
        assert!(!admission.admit());
    }

    #[test]
    fn asks_for_no_more_than_wanted() {
        let admission = Admission::within_open_files(3, 1).expect("tests have more than 12 files");
        assert_eq!(admission.most(), 3);
        let message = Admission::within_open_files(1, usize::MAX / 8).expect_err("no room");
        assert!(message.contains("ulimit -n"), "{message}");
    }
}
