//! The two rules of this folder, and what the kernel says when things run out or are cancelled.

use super::*;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

const AT_FIRST: u16 = buffers::Layout::WHOLE.at_first;

fn ring(taskrun: Taskrun, receive: Receive) -> Ring {
    Ring::open(asked(taskrun, receive, None), Arc::default()).expect("this kernel has io_uring")
}

fn asked(taskrun: Taskrun, receive: Receive, send_zc_bytes: Option<usize>) -> Asked {
    Asked {
        taskrun,
        receive,
        napi: None,
        sqpoll: None,
        min_wait: None,
        send_zc_bytes,
        files: Files::Plain,
        places: 8,
    }
}

fn best() -> Ring {
    ring(Taskrun::Defer, Receive::Multishot)
}

fn buffered(bytes: Vec<u8>) -> Outgoing {
    Outgoing::new(Bytes::Buffer(bytes))
}

fn pair() -> (UnixStream, Socket) {
    let (near, far) = UnixStream::pair().expect("descriptors are free");
    (near, Socket::Descriptor(far.into()))
}

/// The next completion, waited for.
fn next(ring: &mut Ring) -> Completion {
    loop {
        if let Some(completion) = ring.next() {
            return completion;
        }
        ring.submit_and_wait(Some(Duration::from_secs(60))).expect("the ring works");
        ring.reap();
    }
}

fn next_received(ring: &mut Ring) -> (ConnId, io::Result<Received>, bool) {
    match next(ring) {
        Completion::Received { id, result, more } => (id, result, more),
        other => panic!("{other:?}"),
    }
}

fn data(result: io::Result<Received>) -> Provided {
    match result {
        Ok(Received::Data(buffer)) => buffer,
        other => panic!("{other:?}"),
    }
}

fn errno(result: &io::Result<Received>) -> Option<i32> {
    result.as_ref().err().and_then(io::Error::raw_os_error)
}

#[test]
fn bytes_arrive_in_a_provided_buffer_and_the_multishot_goes_on_until_the_end() {
    let mut ring = best();
    let (mut near, far) = pair();
    let id = ConnId::first(5);
    ring.receive(id, &far);
    for message in ["one", "two", "three"] {
        near.write_all(message.as_bytes()).expect("the pair is open");
        let (from, result, more) = next_received(&mut ring);
        assert_eq!((from, more), (id, true));
        let buffer = data(result);
        assert_eq!(&*buffer, message.as_bytes());
        ring.give_back(buffer);
    }
    drop(near);
    let (_, result, more) = next_received(&mut ring);
    assert!(matches!(result, Ok(Received::End)) && !more, "{result:?}");
}

#[test]
fn a_single_receive_is_over_after_each_delivery() {
    for taskrun in [Taskrun::Defer, Taskrun::Coop, Taskrun::Interrupt] {
        let mut ring = ring(taskrun, Receive::Single);
        let (mut near, far) = pair();
        for message in ["one", "two"] {
            ring.receive(ConnId::first(0), &far);
            near.write_all(message.as_bytes()).expect("the pair is open");
            let (_, result, more) = next_received(&mut ring);
            let buffer = data(result);
            assert_eq!((&*buffer, more), (message.as_bytes(), false));
            ring.give_back(buffer);
        }
    }
}

#[test]
fn a_bundle_brings_each_of_its_buffers_in_order_and_its_end_takes_none() {
    let mut ring = ring(Taskrun::Defer, Receive::Bundle);
    if ring.obtained.receive != Receive::Bundle {
        // Before Linux 6.10 it is multishot, which other tests are about.
        return;
    }
    let bytes: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
    let id = ConnId::first(5);
    // Each round takes more buffers than the last has left in order, until places were used again
    // many times over; a buffer that were provided twice would be filled twice.
    for _ in 0..2 * u32::from(AT_FIRST) {
        let (mut near, far) = pair();
        near.write_all(&bytes).expect("the pair holds as much");
        ring.receive(id, &far);
        let (mut received, mut filled) = (Vec::new(), Vec::new());
        while received.len() < bytes.len() {
            let (from, result, more) = next_received(&mut ring);
            assert_eq!((from, more), (id, true));
            let buffer = data(result);
            received.extend_from_slice(&buffer);
            filled.push(buffer);
        }
        assert!(received == bytes, "buffers came in another order");
        // Given back in another order than they were filled in.
        filled.into_iter().rev().for_each(|buffer| ring.give_back(buffer));
        drop(near);
        let (_, result, more) = next_received(&mut ring);
        assert!(matches!(result, Ok(Received::End)) && !more, "{result:?}");
    }
}

#[test]
fn an_empty_buffer_ring_ends_receives_which_go_on_after_more_are_provided() {
    let mut ring = best();
    let pairs: Vec<_> = (0..=AT_FIRST).map(|_| pair()).collect();
    for (slot, (mut near, far)) in (0..).zip(pairs.iter().map(|(near, far)| (near, far))) {
        ring.make_room().expect("the ring works");
        near.write_all(b"x").expect("the pair is open");
        ring.receive(ConnId::first(slot), far);
    }
    // One byte waits on each of 257 sockets, and 256 buffers are there: the last gets none.
    let mut filled = Vec::new();
    let starved = loop {
        let (id, result, more) = next_received(&mut ring);
        if errno(&result) == Some(libc::ENOBUFS) {
            assert!(!more, "the receive is over");
            break id;
        }
        filled.push(data(result));
    };
    assert_eq!(filled.len(), usize::from(AT_FIRST));

    ring.provide_more();
    let twice = 2 * u64::from(AT_FIRST);
    assert_eq!(ring.counters.receive_buffers_provided.value(), twice);
    ring.receive(starved, &pairs[starved.slot()].1);
    let (id, result, more) = next_received(&mut ring);
    assert_eq!((id, more), (starved, true));
    filled.push(data(result));
    for buffer in filled {
        assert_eq!(&*buffer, b"x");
        ring.give_back(buffer);
    }
}

#[test]
fn a_filled_buffer_keeps_its_bytes_until_it_is_given_back() {
    let mut ring = best();
    let (mut near, far) = pair();
    ring.receive(ConnId::first(0), &far);
    near.write_all(b"kept").expect("the pair is open");
    let kept = data(next_received(&mut ring).1);
    // Every other buffer is filled twice over.
    for round in 0..2 * u32::from(AT_FIRST) {
        near.write_all(&round.to_be_bytes()).expect("the pair is open");
        let buffer = data(next_received(&mut ring).1);
        assert_eq!(&*buffer, round.to_be_bytes());
        ring.give_back(buffer);
    }
    assert_eq!(&*kept, b"kept");
    ring.give_back(kept);
}

#[test]
fn a_cancelled_receive_completes_once_more_without_more() {
    let mut ring = best();
    let (_near, far) = pair();
    ring.receive(ConnId::first(0), &far);
    ring.submit().expect("the ring works");
    ring.cancel_receive(ConnId::first(0));
    let (_, result, more) = next_received(&mut ring);
    assert_eq!((errno(&result), more), (Some(libc::ECANCELED), false));
}

#[test]
fn a_send_brings_its_buffer_back_and_how_much_was_taken() {
    let mut ring = best();
    let (mut near, far) = pair();
    let id = ConnId::first(3);
    let outgoing = Outgoing { taken: 2, ..buffered(b"..answer".to_vec()) };
    let bytes = outgoing.rest().expect("in memory").as_ptr();
    ring.send(id, &far, outgoing);
    let Completion::Sent { id: whose, result, outgoing } = next(&mut ring) else {
        panic!("nothing else was started")
    };
    assert_eq!((whose, result.expect("sent")), (id, 6));
    assert_eq!((outgoing.rest().expect("in memory").as_ptr(), outgoing.taken), (bytes, 2));
    let mut answer = [0; 6];
    near.read_exact(&mut answer).expect("it was sent");
    assert_eq!(&answer, b"answer");
}

#[test]
fn a_send_of_bytes_that_stay_where_they_are_goes_behind_its_head() {
    let mut ring = best();
    let (mut near, far) = pair();
    let id = ConnId::first(0);
    let head = Outgoing { more: true, ..buffered(b"head ".to_vec()) };
    for outgoing in [head, Outgoing::new(Bytes::Static(b"body"))] {
        ring.send(id, &far, outgoing);
        assert!(matches!(next(&mut ring), Completion::Sent { result: Ok(4..=5), .. }));
    }
    let mut answer = [0; 9];
    near.read_exact(&mut answer).expect("it was sent");
    assert_eq!(&answer, b"head body");
}

#[test]
fn bytes_sent_without_a_copy_come_back_with_the_notification() {
    let asked = asked(Taskrun::Defer, Receive::Multishot, Some(4));
    let Ok(mut ring) = Ring::open(asked, Arc::default()) else {
        // Before Linux 6.2 it is refused; `--send-zc` tests that with the server.
        return;
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is free");
    let address = listener.local_addr().expect("bound");
    let mut near = std::net::TcpStream::connect(address).expect("it listens");
    let (far, _) = listener.accept().expect("it has connected");
    let far = Socket::Descriptor(far.into());
    let id = ConnId::first(3);
    for (round, bytes) in [&b"few"[..], b"four", b"many more"].into_iter().enumerate() {
        ring.send(id, &far, buffered(bytes.to_vec()));
        assert_eq!(ring.sends_without_copy(id), bytes.len() >= 4);
        let mut answer = vec![0; bytes.len()];
        ring.submit().expect("the ring works");
        near.read_exact(&mut answer).expect("it was sent");
        assert_eq!(answer, bytes);
        let Completion::Sent { result, outgoing, .. } = next(&mut ring) else {
            panic!("nothing else was started")
        };
        assert_eq!(
            (result.expect("sent"), outgoing.rest().expect("in memory")),
            (bytes.len(), bytes)
        );
        assert!(!ring.sends_without_copy(id));
        assert_eq!(ring.counters.sends_zero_copy.value(), round as u64);
    }
}

#[test]
fn a_registered_socket_is_served_by_its_slot_and_closed_when_it_is_forgotten() {
    let mut asked = asked(Taskrun::Defer, Receive::Multishot, None);
    asked.files = Files::Registered;
    let mut ring = Ring::open(asked, Arc::default()).expect("5.19, as the buffers need");
    let mut id = ConnId::first(7);
    // The slot is used again and again, for other sockets.
    for message in ["one", "two", "three"] {
        let (mut near, far) = pair();
        ring.introduce(id, &far);
        ring.receive(id, &far);
        near.write_all(message.as_bytes()).expect("the pair is open");
        let (from, result, _) = next_received(&mut ring);
        let buffer = data(result);
        assert_eq!((from, &*buffer), (id, message.as_bytes()));
        ring.send(id, &far, buffered(buffer.to_vec()));
        ring.give_back(buffer);
        assert!(matches!(next(&mut ring), Completion::Sent { result: Ok(3..), .. }));
        ring.cancel_all(&far);
        let (_, result, more) = next_received(&mut ring);
        assert_eq!((errno(&result), more), (Some(libc::ECANCELED), false));
        ring.forget(id);
        ring.close(far);
        ring.submit().expect("the ring works");
        let mut text = String::new();
        near.read_to_string(&mut text).expect("a clean end: nothing holds the socket open");
        assert_eq!(text, message);
        id = id.next();
    }
}

#[test]
fn a_send_that_waits_keeps_its_buffer_until_it_is_cancelled() {
    let mut ring = best();
    let (_near, far) = pair();
    // More than the socket takes, and nobody reads: the first send is short, the second waits.
    ring.send(ConnId::first(0), &far, buffered(vec![7; 16 << 20]));
    let Completion::Sent { result, mut outgoing, .. } = next(&mut ring) else {
        panic!("nothing else was started")
    };
    outgoing.taken += result.expect("some of it fits");
    assert!(outgoing.left_bytes() > 0, "no socket buffer is that large");
    ring.send(ConnId::first(0), &far, outgoing);
    ring.submit().expect("the ring works");
    ring.reap();
    assert!(ring.next().is_none(), "the socket is full");
    assert!(ring.sends[0].is_some(), "the kernel reads from it");
    ring.cancel_all(&far);
    let Completion::Sent { result, outgoing, .. } = next(&mut ring) else {
        panic!("nothing else was started")
    };
    assert_eq!(result.expect_err("cancelled").raw_os_error(), Some(libc::ECANCELED));
    assert!(outgoing.rest().expect("in memory").iter().all(|byte| *byte == 7));
}

#[test]
#[should_panic(expected = "one send in flight")]
fn a_second_send_of_a_connection_is_a_programmers_error() {
    let mut ring = best();
    let (_near, far) = pair();
    ring.send(ConnId::first(0), &far, buffered(vec![1]));
    ring.send(ConnId::first(0), &far, buffered(vec![2]));
}

#[test]
fn a_socket_without_a_descriptor_is_served_from_its_place_until_it_is_closed() {
    let mut asked = asked(Taskrun::Defer, Receive::Multishot, None);
    (asked.files, asked.places) = (Files::Direct, 1);
    let Ok(mut ring) = Ring::open(asked, Arc::default()) else {
        // Before Linux 6.8 it is refused; `--files direct` tests that with the server.
        return;
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is free");
    let address = listener.local_addr().expect("bound");
    ring.accept(listener.as_fd());
    let mut id = ConnId::first(3);
    for _ in 0..2 {
        let mut near = std::net::TcpStream::connect(address).expect("it listens");
        let Completion::Accepted { result: Ok(socket), more: true } = next(&mut ring) else {
            panic!("nothing else was started")
        };
        assert!(matches!(socket, Socket::Direct(_)), "{socket:?}");
        ring.receive(id, &socket);
        near.write_all(b"ask").expect("taken");
        let buffer = data(next_received(&mut ring).1);
        assert_eq!(&*buffer, b"ask");
        // While other operations are under way.
        let peer = ring.with_descriptor(&socket, |descriptor| {
            std::net::TcpStream::from(descriptor.try_clone_to_owned()?).peer_addr()
        });
        assert_eq!(peer.expect("connected"), near.local_addr().expect("connected"));
        ring.send(id, &socket, buffered(buffer.to_vec()));
        ring.give_back(buffer);
        assert!(matches!(next(&mut ring), Completion::Sent { result: Ok(3), .. }));
        ring.cancel_all(&socket);
        let (_, result, more) = next_received(&mut ring);
        assert_eq!((errno(&result), more), (Some(libc::ECANCELED), false));
        ring.close(socket);
        ring.submit().expect("the ring works");
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).expect("a clean end");
        assert_eq!(rest, b"ask");
        id = id.next();
    }
}

#[test]
fn a_close_comes_after_the_operations_before_it() {
    let mut ring = best();
    let (mut near, far) = pair();
    ring.send(ConnId::first(0), &far, buffered(b"last words".to_vec()));
    ring.close(far);
    assert!(matches!(next(&mut ring), Completion::Sent { result: Ok(10), .. }));
    let mut text = String::new();
    near.read_to_string(&mut text).expect("a clean end");
    assert_eq!(text, "last words");
}

#[test]
fn a_full_submission_queue_is_submitted_and_nothing_is_lost() {
    let mut ring = best();
    // Three times what the queue holds, over sockets that each take a hundred small sends.
    let pairs: Vec<_> = (0..30).map(|_| pair()).collect();
    for slot in 0..3000_u32 {
        ring.make_room().expect("the ring takes more");
        let far = &pairs[slot as usize % pairs.len()].1;
        ring.send(ConnId::first(slot), far, buffered(slot.to_be_bytes().to_vec()));
    }
    for _ in 0..3000 {
        assert!(matches!(next(&mut ring), Completion::Sent { result: Ok(4), .. }));
    }
    for (first, (mut near, far)) in (0_u32..).zip(pairs) {
        drop(far);
        let mut bytes = Vec::new();
        near.read_to_end(&mut bytes).expect("a clean end");
        let expect: Vec<u8> = (first..3000).step_by(30).flat_map(u32::to_be_bytes).collect();
        assert!(bytes == expect, "bytes were lost or swapped");
    }
}

#[test]
fn polling_makes_no_system_call_while_nothing_happens() {
    let mut ring = best();
    let (mut near, far) = pair();
    ring.receive(ConnId::first(0), &far);
    ring.poll().expect("the ring works");
    let before = ring.counters.ring_enters.value();
    for _ in 0..1000 {
        ring.poll().expect("the ring works");
        assert_eq!(ring.reap(), 0);
    }
    assert_eq!(ring.counters.ring_enters.value(), before);
    near.write_all(b"x").expect("the pair is open");
    while ring.reap() == 0 {
        ring.poll().expect("the ring works");
    }
    assert_eq!(ring.counters.ring_enters.value(), before + 1);
}

#[test]
fn a_datagram_goes_from_its_slot_back_to_its_sender() {
    let mut ring = best();
    let server = UdpSocket::bind("127.0.0.1:0").expect("loopback is free");
    let client = UdpSocket::bind("127.0.0.1:0").expect("loopback is free");
    client.connect(server.local_addr().expect("bound")).expect("bound");
    for message in [&b"one"[..], b"", &[7; 3000]] {
        ring.receive_datagram(3, server.as_fd());
        client.send(message).expect("taken");
        let Completion::DatagramReceived { slot: 3, result: Ok(count) } = next(&mut ring) else {
            panic!("not what was asked for");
        };
        assert_eq!(count, message.len());
        ring.send_datagram(3, count, server.as_fd());
        let Completion::DatagramSent { slot: 3, result } = next(&mut ring) else {
            panic!("not what was asked for");
        };
        assert_eq!(result.expect("there is room"), message.len());
        let mut back = [0; 4096];
        assert_eq!(client.recv(&mut back).expect("it was sent"), message.len());
        assert_eq!(&back[..message.len()], message);
    }
}

#[test]
#[should_panic(expected = "one operation at a time")]
fn a_slot_that_the_kernel_has_is_not_lent_again() {
    let mut ring = best();
    let server = UdpSocket::bind("127.0.0.1:0").expect("loopback is free");
    ring.receive_datagram(0, server.as_fd());
    ring.receive_datagram(0, server.as_fd());
}
