//! The state machine by state and event: one file for each event, one test for each state.

mod abort;
mod close;
mod congestion;
mod cookie;
mod handshake;
mod hostile;
mod icmp;
mod options;
mod rcv_ack;
mod rcv_data;
mod rcv_fin;
mod rcv_rst;
mod rcv_syn;
mod readme;
mod recovery;
mod scene;
mod send;
mod time_out;
mod two_ends;
mod window;
