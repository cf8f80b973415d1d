//! End-to-end tests: every server over a real veth pair, in namespaces of its own.
//!
//! `cargo xtask e2e` builds the binaries and runs this suite; it needs root. Each test brings the
//! topology up under the prefix `e2e` and takes it down again, also where it fails, so that it
//! finds no connection, no neighbour and no XDP program of another test. Tests take turns.
//!
//! What it deliberately does not do: measure, or judge HTTP row by row (`conformance` does, and is
//! run here against every server).
#![forbid(unsafe_code)]

mod across;
mod bypass;
mod calibration;
mod clients;
mod contender;
mod devices;
mod diagnose;
mod documents;
mod experiment;
mod frames;
mod hosts;
mod http;
mod lab;
mod life;
mod mode;
mod process;
mod slow;
mod tap;
mod tools;
mod trace;
mod tune;
mod waiting;
mod wire;

/// Makes a module of tests for every mode, each test a function over the mode.
macro_rules! every_mode {
    ($($mode:ident)+ => $cases:tt) => {
        $(mod $mode {
            every_mode!(@tests $mode $cases);
        })+
    };
    (@tests $mode:ident { $($from:ident::$case:ident)+ }) => {
        $(#[test]
        fn $case() {
            crate::$from::$case(crate::mode::Mode::of(stringify!($mode)));
        })+
    };
}

every_mode! {
    epoll hyper uring xdp xdp_native memif_native => {
        http::every_route_answers
        http::a_request_may_be_split_at_every_byte
        http::a_hundred_pipelined_requests_are_answered_in_order
        http::one_mebibyte_goes_both_ways
        http::every_byte_comes_back_from_the_echo_service
        process::a_thousand_connections_leave_nothing_behind
        process::sigterm_lets_a_response_in_flight_finish
        process::wrong_flags_are_refused_with_a_sentence
        process::every_flag_is_documented
        life::sigterm_cuts_no_response_in_flight
        life::clients_killed_mid_response_leave_nothing_behind
        life::clients_that_vanish_are_given_up_by_the_send_timeout
        life::out_of_descriptors_the_connected_are_served
        life::a_burst_of_five_thousand_connects_is_accepted
        slow::slow_clients_are_closed_and_the_others_served
        tools::curl_is_content
        tools::wrk_sees_no_error
        tools::h2load_sees_no_error
        tools::loadgen_accounts_for_every_request
        tools::every_case_of_the_contract_is_met
    }
}

/// What another driver, or another TCP, under a server that passes all of the above can break.
mod shortly {
    every_mode! {
        memif dpdk dpdk_native => {
            http::every_route_answers
            http::one_mebibyte_goes_both_ways
            process::a_thousand_connections_leave_nothing_behind
            process::sigterm_lets_a_response_in_flight_finish
            process::wrong_flags_are_refused_with_a_sentence
            process::every_flag_is_documented
            life::clients_killed_mid_response_leave_nothing_behind
            tools::curl_is_content
            tools::loadgen_accounts_for_every_request
            tools::every_case_of_the_contract_is_met
        }
    }
}

/// What the commands of README.md start.
mod by_hand {
    every_mode! {
        epoll hyper uring xdp => {
            documents::by_hand_commands_work
        }
    }
}

/// What a device of DPDK can break: that it answers, large bodies, many connections, every case.
mod over_devices {
    every_mode! {
        dpdk_af_packet dpdk_af_xdp dpdk_tap => {
            http::every_route_answers
            http::one_mebibyte_goes_both_ways
            process::a_thousand_connections_leave_nothing_behind
            tools::wrk_sees_no_error
            tools::every_case_of_the_contract_is_met
            bypass::a_thousand_connections_leave_the_tables_empty
        }
    }
}

/// What only modes that bypass the kernel can break, and need not be told how many frames to have.
mod only_bypass_tables {
    every_mode! {
        dpdk dpdk_native => {
            bypass::a_thousand_connections_leave_the_tables_empty
        }
    }
}

/// What only modes that bypass the kernel can break.
mod only_bypass {
    every_mode! {
        xdp xdp_native memif memif_native => {
            bypass::a_thousand_connections_leave_the_tables_empty
            frames::frames_run_short_and_back_pressure_holds_until_clients_read_or_leave
        }
    }
}

/// What the two TCPs under the wire's faults can break, whatever the driver.
mod over_a_wire {
    every_mode! {
        xdp xdp_native => {
            wire::every_byte_arrives_over_a_wire_that_loses
            wire::every_byte_arrives_once_over_a_wire_that_doubles
            wire::what_a_wire_corrupts_is_dropped_by_its_checksum
            wire::every_byte_arrives_over_a_wire_that_does_all_of_it
        }
    }
}

/// What only modes that share the kernel's interface can break.
mod only_shared {
    every_mode! {
        xdp xdp_native => {
            bypass::the_kernel_still_answers_beside_it
            bypass::kill_9_leaves_no_program_and_the_kernel_answers
        }
    }
}
