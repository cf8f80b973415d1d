//! The cases that every server on kernel TCP must pass, and those for `--wait`.

server_testing::suite!(env!("CARGO_BIN_EXE_server-epoll"));

mod wait {
    server_testing::suite!(env!("CARGO_BIN_EXE_server-epoll"); threads { a_spinning_server_answers });
}
