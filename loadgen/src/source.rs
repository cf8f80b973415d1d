//! Where the bytes of requests come from: the same ones each time, or a script.

use std::fmt;
use std::time::Duration;

/// What a thread sends, batch by batch.
///
/// A *batch* is what is written at once on a connection: as many requests as [`Source::depth`]
/// says, pipelined. One source belongs to one thread; it is asked right before each send.
///
/// What only scripts have need not be written for a source that has it not: by default there are
/// no rests, no batch is the same at every call, responses are not told, and it never stops.
pub trait Source {
    /// Requests in each batch, at least 1. Found once, before the run, as wrk finds it.
    fn depth(&self) -> usize;

    /// How long a connection rests before its next batch, the first included; `None` where the
    /// source has no such wish at all, so that it need not be asked again. An open loop, whose
    /// requests are due by the clock, does not ask, as wrk2 does not.
    ///
    /// # Errors
    /// Where the source cannot go on; that ends the run.
    fn delay(&mut self) -> Result<Option<Duration>, SourceError> {
        Ok(None)
    }

    /// The batch to send, the same at every call: no copy per connection is needed.
    /// `None` where each batch is made for itself, by [`Source::render`].
    fn fixed(&self) -> Option<&[u8]> {
        None
    }

    /// Replaces `into` by the next batch.
    ///
    /// # Errors
    /// Where the source cannot go on; that ends the run.
    fn render(&mut self, into: &mut Vec<u8>) -> Result<(), SourceError>;

    /// Whether [`Source::response`] is to be called: heads and bodies are kept only where it is.
    fn wants_responses(&self) -> bool {
        false
    }

    /// A response came whole. Header fields are as received, in order; `body` is decoded.
    ///
    /// # Errors
    /// Where the source cannot go on; that ends the run.
    fn response(
        &mut self,
        _status: u16,
        _fields: &[(&[u8], &[u8])],
        _body: &[u8],
    ) -> Result<(), SourceError> {
        Ok(())
    }

    /// Whether the source wants its thread to stop (wrk's `thread:stop()`).
    fn stopped(&self) -> bool {
        false
    }
}

/// Why a source cannot go on: a sentence that names file and line where there are such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError(pub String);

impl fmt::Display for SourceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for SourceError {}

/// The same request each time, rendered before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    batch: Vec<u8>,
    depth: usize,
}

impl Fixed {
    /// A batch of `depth` requests.
    #[must_use]
    pub fn new(batch: Vec<u8>, depth: usize) -> Self {
        Self { batch, depth: depth.max(1) }
    }
}

impl Source for Fixed {
    fn depth(&self) -> usize {
        self.depth
    }

    fn fixed(&self) -> Option<&[u8]> {
        Some(&self.batch)
    }

    fn render(&mut self, into: &mut Vec<u8>) -> Result<(), SourceError> {
        into.clone_from(&self.batch);
        Ok(())
    }
}
