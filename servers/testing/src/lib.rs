//! One body of black-box tests for every server on kernel TCP, and the harness it runs on.
//!
//! A server's `tests/server.rs` is one line, and every case becomes a `#[test]` of its own:
//!
//! ```ignore
//! server_testing::suite!(env!("CARGO_BIN_EXE_server-epoll"));
//! ```
//!
//! Beside the binary's path it takes a list of cases, in place of all that every server must pass:
//! those of [`cases`] that need a flag not all servers have, for example.
//!
//! A case starts the binary on a free port of 127.0.0.1, drives it over loopback, stops it by
//! SIGTERM and checks the counters of its exit line. Nothing here sleeps to wait for a server: a
//! case waits for bytes, for the end of a connection, or for a counter in a report line. What goes
//! wrong by never happening fails after [`PATIENCE`].
//!
//! What it deliberately does not do: share code with the servers, need root, or test HTTP row by
//! row, which is the matter of `server-http`'s own tests.
//!
//! Entry points: [`suite!`] for the cases, [`Server`] and [`Client`] for tests of your own.
#![forbid(unsafe_code)]

#[expect(clippy::missing_panics_doc, reason = "a case that panics is a test that fails")]
pub mod cases;
mod client;
mod process;

pub use client::{Client, Response};
pub use process::{PATIENCE, Server, refused};

/// Makes a `#[test]` of every case, against the binary at the path given.
#[macro_export]
macro_rules! suite {
    ($binary:expr) => {
        $crate::suite!($binary;
            routes {
                every_route_answers
                head_is_get_without_a_body
                a_request_may_arrive_byte_by_byte
                a_hundred_pipelined_requests_are_answered_in_order
                a_client_that_does_not_read_is_waited_for
                one_mebibyte_comes_back
                one_mebibyte_comes_back_in_chunks
                sixteen_mebibytes_reach_a_slow_reader
                an_idle_connection_costs_nobody_else_anything
            }
            closing {
                a_half_closed_client_is_answered_then_closed
                connection_close_is_obeyed
                a_refusal_reaches_a_client_that_still_sends
                a_reset_client_disturbs_nobody
                a_thousand_connections_leave_nothing_behind
            }
            timeouts {
                a_head_that_never_ends_is_answered_408
                an_idle_connection_is_closed_without_a_word
                a_client_that_takes_nothing_is_reset
                a_client_that_takes_little_is_waited_for
                a_client_that_sends_on_after_a_refusal_is_cut_off
            }
            bounds {
                more_connections_than_allowed_are_closed
                without_descriptors_the_established_are_served
                a_greedy_client_does_not_starve_others
            }
            echo {
                echo_sends_every_byte_back
                echo_closes_an_idle_client
                echo_sends_every_datagram_back
                datagrams_of_many_clients_go_back_to_each
                datagrams_are_for_echo_alone
            }
            threads {
                threads_share_one_port_and_one_bound
            }
            process {
                the_ready_line_says_what_was_obtained
                a_report_is_printed_on_sigusr1
                sigterm_lets_responses_in_flight_finish
                the_drain_is_cut_off_at_its_deadline
                wrong_flags_are_refused_with_a_sentence
                a_port_in_use_is_refused_with_a_sentence
            }
        );
    };
    ($binary:expr; $($module:ident { $($case:ident)+ })+) => {
        $(mod $module {
            $(#[test]
            fn $case() {
                $crate::cases::$module::$case($binary);
            })+
        })+
    };
}
