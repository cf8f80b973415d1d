//! The handler of one poll, lent to the application that the engine owns.
//!
//! A [`Transport`](crate::transport::Transport) is lent its handler for the time of one poll; the
//! engine owns its application for good, and calls it back from inside that poll, with bytes that
//! lie in their frame only then. So the application keeps a place for the handler, which is filled
//! while the engine is polled and empty otherwise.

use crate::transport::Handler;
use std::cell::Cell;
use std::fmt;
use std::ptr::NonNull;

/// The place, which lender and borrower share.
#[derive(Default)]
pub(super) struct Loan(Cell<Option<NonNull<dyn Handler>>>);

/// Takes the handler back when the time of the loan is over, a panic included.
struct Return<'a>(&'a Loan);

impl Drop for Return<'_> {
    fn drop(&mut self) {
        self.0.0.set(None);
    }
}

impl Loan {
    /// Lends `handler` to whoever calls [`with`](Self::with) during `body`.
    pub(super) fn lend<R>(&self, handler: &mut dyn Handler, body: impl FnOnce() -> R) -> R {
        let handler = NonNull::from(handler);
        // SAFETY: only the lifetime changes. `Return` empties the place before this call, and so
        // the borrow of the handler, ends; nothing else copies the pointer out for longer than a
        // call of `with`, which lies within `body`.
        let handler: NonNull<dyn Handler> = unsafe { std::mem::transmute(handler) };
        self.0.set(Some(handler));
        let _returned = Return(self);
        body()
    }

    /// Uses the handler.
    ///
    /// # Panics
    /// Where none is lent, or it is in use already: programmer's errors.
    pub(super) fn with<R>(&self, job: impl FnOnce(&mut dyn Handler) -> R) -> R {
        let mut handler = self.0.take().expect("the engine calls back from its poll, once a time");
        // SAFETY: `lend` holds the only other reference, and does not use it while the pointer is
        // here. The place is empty meanwhile, so a second call cannot make a second reference.
        let result = job(unsafe { handler.as_mut() });
        self.0.set(Some(handler));
        result
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_lent = self.0.get().is_some();
        formatter.debug_struct("Loan").field("is_lent", &is_lent).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Failure, Next};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// Counts what it is told.
    struct Count(u32);

    impl Handler for Count {
        fn opened(&mut self, _now_ns: u64, _slot: usize) -> Next {
            self.0 += 1;
            Next::Wait
        }

        fn received(&mut self, _: u64, _: usize, _: &[u8], _: bool) -> Next {
            Next::Wait
        }

        fn closed(&mut self, _now_ns: u64, _slot: usize) -> Next {
            Next::Wait
        }

        fn failed(&mut self, _: u64, _: usize, _: Failure, _: i32) -> Next {
            Next::Close
        }

        fn request(&self, _slot: usize) -> &[u8] {
            b""
        }
    }

    fn is_refused(job: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(job)).is_err()
    }

    #[test]
    fn a_handler_is_there_while_it_is_lent_and_only_then() {
        let (loan, mut count) = (Loan::default(), Count(0));
        let told = loan.lend(&mut count, || {
            loan.with(|handler| handler.opened(1, 0));
            loan.with(|handler| handler.opened(2, 0))
        });
        assert_eq!((told, count.0), (Next::Wait, 2));
        assert!(is_refused(|| assert_eq!(loan.with(|handler| handler.opened(3, 0)), Next::Wait)));
    }

    #[test]
    fn a_handler_in_use_is_not_handed_out_again() {
        let (loan, mut count) = (Loan::default(), Count(0));
        loan.lend(&mut count, || {
            assert!(loan.with(|_| is_refused(|| loan.with(|_| ()))));
        });
    }

    #[test]
    fn a_panic_ends_the_loan() {
        let (loan, mut count) = (Loan::default(), Count(0));
        assert!(is_refused(|| loan.lend(&mut count, || panic!("as a mistake would"))));
        assert!(is_refused(|| loan.with(|_| ())));
    }
}
