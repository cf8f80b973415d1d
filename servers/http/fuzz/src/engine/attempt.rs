//! One call of a target, whose panic is a failure like any other.

use super::{Failure, Target};
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Inside an attempt of this thread: where the text of a panic goes instead of the terminal.
    static HEARD: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Applies the oracles of `target` to `input`.
///
/// # Errors
/// The oracle that does not hold; `panic` where the code under test panicked.
pub fn attempt(target: &dyn Target, input: &[u8]) -> Result<u64, Failure> {
    listen();
    HEARD.set(Some(String::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(|| target.check(input)));
    let heard = HEARD.take().unwrap_or_default();
    result.unwrap_or_else(|_| Err(Failure::new("panic", heard)))
}

/// Makes panics of attempts silent: reducing an input may cause thousands. Others stay loud.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let caught = HEARD.with_borrow_mut(|heard| {
                let text = heard.as_mut()?;
                *text = info.to_string().replace('\n', ": ");
                Some(())
            });
            if caught.is_none() {
                loud(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Random;

    struct Panics;

    impl Target for Panics {
        fn name(&self) -> &'static str {
            "panics"
        }

        fn input_bytes_max(&self) -> usize {
            10
        }

        fn dictionary(&self) -> &'static [&'static [u8]] {
            &[]
        }

        fn generate(&self, _: &mut Random) -> Vec<u8> {
            Vec::new()
        }

        fn check(&self, input: &[u8]) -> Result<u64, Failure> {
            assert!(input.is_empty(), "something came");
            Ok(0)
        }
    }

    #[test]
    fn a_panic_is_a_failure() {
        assert_eq!(attempt(&Panics, b""), Ok(0));
        let failure = attempt(&Panics, b"x").expect_err("it panics");
        assert_eq!(failure.oracle, "panic");
        assert!(failure.what.contains("something came"), "{}", failure.what);
    }
}
