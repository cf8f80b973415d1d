//! The cases that every server on kernel TCP must pass.

server_testing::suite!(env!("CARGO_BIN_EXE_server-hyper"));
