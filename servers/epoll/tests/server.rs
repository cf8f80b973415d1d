//! The cases that every server on kernel TCP must pass, and those that not all of them can.

server_testing::suite!(env!("CARGO_BIN_EXE_server-epoll"));

mod own {
    server_testing::suite!(env!("CARGO_BIN_EXE_server-epoll");
        threads {
            a_spinning_server_answers idle_polls_are_counted
            waiting_that_cannot_be_had_is_refused
        }
        bounds { descriptors_freed_elsewhere_are_noticed }
    );
}
