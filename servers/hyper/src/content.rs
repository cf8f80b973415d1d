//! The body of a response, as hyper asks for it.

use crate::vitals::Vitals;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use server_http::catalogue::pattern_from;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The bytes that are still to be sent.
#[derive(Debug)]
enum Left {
    /// All that there are.
    Whole(Bytes),
    /// The pattern of `/bytes/N`, from `sent` to `total`.
    Pattern { sent: usize, total: usize },
}

/// A body of known length. Counts the response when it was taken whole.
#[derive(Debug)]
pub(crate) struct Content {
    left: Left,
    /// HEAD: the length is told, and nothing is sent.
    head_only: bool,
    vitals: Rc<Vitals>,
}

impl Content {
    /// A body that is there whole.
    pub(crate) fn whole(bytes: Bytes, head_only: bool, vitals: Rc<Vitals>) -> Self {
        Self { left: Left::Whole(bytes), head_only, vitals }
    }

    /// `total` bytes of the pattern.
    pub(crate) fn pattern(total: usize, head_only: bool, vitals: Rc<Vitals>) -> Self {
        Self { left: Left::Pattern { sent: 0, total }, head_only, vitals }
    }

    /// Bytes still to be sent.
    pub(crate) fn len(&self) -> usize {
        match &self.left {
            Left::Whole(bytes) => bytes.len(),
            Left::Pattern { sent, total } => total - sent,
        }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut self.left {
            Left::Whole(bytes) => std::mem::take(bytes),
            Left::Pattern { sent, total } => {
                let piece = pattern_from(*sent);
                let piece = &piece[..piece.len().min(*total - *sent)];
                *sent += piece.len();
                Bytes::from_static(piece)
            }
        };
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        // hyper drops a body once it has taken all of it, or when the connection fails.
        if self.head_only || self.len() == 0 {
            self.vitals.answered();
        }
    }
}
