//! The cases that every server on kernel TCP must pass.

server_testing::suite!(env!("CARGO_BIN_EXE_server-uring"));

mod own {
    server_testing::suite!(env!("CARGO_BIN_EXE_server-uring");
        threads { idle_polls_are_counted waiting_that_cannot_be_had_is_refused }
    );
}
