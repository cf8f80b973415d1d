//! Tests of the binary that are repeated over io_uring.

use loadgen::transport::Endpoint;
use loadgen::transport::uring::UringTransport;
use std::cell::Cell;

thread_local! {
    static TRANSPORT: Cell<&str> = const { Cell::new("epoll") };
}

/// The transport of the test that this thread runs.
pub(crate) fn transport() -> &'static str {
    TRANSPORT.get()
}

/// Runs a test over io_uring; says so where the kernel refuses that.
pub(crate) fn over_uring(test: fn()) {
    let somewhere = Endpoint::Tcp(([127, 0, 0, 1], 1).into());
    if let Err(error) = UringTransport::new(&[somewhere], 1, 1) {
        eprintln!("not tested: {error}");
        return;
    }
    TRANSPORT.set("uring");
    test();
}

/// Makes a test in the module `uring` of each of these tests.
macro_rules! repeat_over_uring {
    ($($name:ident)*) => {
        mod uring {
            $(#[test]
            fn $name() {
                crate::support::transports::over_uring(super::$name);
            })*
        }
    };
}
