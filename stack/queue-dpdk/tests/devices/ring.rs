//! `net_ring`: what a port sends, it receives.

use crate::{Lab, build, check, close, counter};
use queue::{BURST_MAX, Burst, Checksum, Frame, Meta, Queue};
use queue_dpdk::{Config, Eal, Error, Port, Rss};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

const PACKETS: u64 = 100_000;

#[test]
fn what_is_sent_comes_back_unchanged_and_in_order() {
    let lab = Lab::new();
    let (port, mut queue) = lab.open("net_ring_order", |_| ());
    let (mut out, mut back) = (Burst::new(), Burst::new());
    let (mut built, mut seen) = (0, 0);
    while seen < PACKETS {
        built += build(&mut queue, &mut out, built, PACKETS - built);
        queue.tx_burst(&mut out);
        queue.rx_burst(&mut back);
        assert_eq!(queue.outstanding(), out.len() + back.len());
        seen += check(&mut queue, &mut back, seen);
    }
    for name in ["rx_frames", "tx_frames"] {
        assert_eq!(counter(&queue, name), PACKETS, "{name}");
    }
    assert_eq!(counter(&queue, "rx_bytes"), counter(&queue, "tx_bytes"));
    close(port, queue);
}

#[test]
fn queues_can_be_taken_again_when_those_taken_before_are_gone() {
    let lab = Lab::new();
    let (mut port, mut queue) = lab.open("net_ring_again", |_| ());
    let mut burst = Burst::new();
    assert_eq!(build(&mut queue, &mut burst, 0, 3), 3);
    assert_eq!(queue.tx_burst(&mut burst), 3);
    assert!(port.take_queues().is_empty(), "the first one lives");
    drop(queue);
    let mut again = port.take_queues().remove(0);
    assert_eq!(again.rx_burst(&mut burst), 3, "what is in the ring stays there");
    assert_eq!(check(&mut again, &mut burst, 0), 3);
    assert!(port.take_queues().is_empty(), "the second one lives");
    assert!(port.wait_for_link(true, Duration::from_secs(60)) && again.is_up());
    close(port, again);
}

#[test]
fn what_is_opened_is_reported() {
    let lab = Lab::new();
    let (port, queue) = lab.open("net_ring_report", |_| ());
    let obtained = port.obtained();
    assert_eq!((obtained.port.as_str(), obtained.driver.as_str()), ("net_ring_report", "net_ring"));
    assert_eq!((obtained.rss, obtained.has_huge_pages), (Rss::None, false));
    let caps = queue.caps();
    assert_eq!((caps.driver, caps.mtu, caps.frame_bytes), ("dpdk", 1500, 2048));
    assert_eq!((caps.mac, caps.rx_checksum), (obtained.mac, Checksum::Software));
    assert!(Eal::version().starts_with("DPDK "), "{}", Eal::version());
    assert!(lab.eal.ports().contains(&"net_ring_report".to_owned()), "{:?}", lab.eal.ports());
    close(port, queue);
    assert!(!lab.eal.ports().contains(&"net_ring_report".to_owned()), "it is gone");
}

#[test]
fn a_full_ring_refuses_and_keeps_what_it_refuses() {
    let lab = Lab::new();
    let (port, mut queue) = lab.open("net_ring_full", |_| ());
    let (mut out, mut built) = (Burst::new(), 0);
    loop {
        built += build(&mut queue, &mut out, built, u64::MAX);
        queue.tx_burst(&mut out);
        if !out.is_empty() {
            break;
        }
    }
    let sent = counter(&queue, "tx_frames");
    let left = out.len() as u64;
    assert_eq!((sent + left, queue.outstanding()), (built, out.len()));
    assert_eq!(counter(&queue, "tx_refused_frames"), left);
    assert_eq!(queue.tx_burst(&mut out), 0, "it is still full");
    let (mut back, mut seen) = (Burst::new(), 0);
    while seen < built {
        queue.rx_burst(&mut back);
        seen += check(&mut queue, &mut back, seen);
        queue.tx_burst(&mut out);
    }
    assert_eq!(out.len(), 0);
    close(port, queue);
}

#[test]
fn a_frame_has_one_owner_at_a_time() {
    let lab = Lab::new();
    let (port, mut queue) = lab.open("net_ring_owner", |_| ());
    let panics = |work: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(work)).is_err();
    let mut frame = queue.alloc().expect("free");
    assert_eq!((queue.bytes(&frame).len(), queue.outstanding()), (0, 1));
    queue.bytes_mut(&mut frame, 2048).fill(7);
    assert_eq!(queue.bytes(&frame), [7; 2048]);
    assert!(panics(&mut || drop(queue.bytes_mut(&mut frame, 2049).to_vec())));
    let forged = || Frame::from_parts(frame.addr(), 1, 2048, Meta::default());
    assert!(panics(&mut || drop(queue.bytes(&forged()).to_vec())), "it would reach too far");
    let twin = Frame::from_parts(frame.addr(), 0, 2048, Meta::default());
    queue.free(frame);
    assert!(panics(&mut || drop(queue.bytes(&twin).to_vec())), "it is free");
    let beyond = Frame::from_parts(u64::MAX, 0, 0, Meta::default());
    assert!(panics(&mut || drop(queue.bytes(&beyond).to_vec())));
    close(port, queue);
}

#[test]
fn packets_of_no_possible_length_are_dropped_and_counted() {
    let lab = Lab::new();
    let (port, mut queue) = lab.open("net_ring_lengths", |_| ());
    let mut out = Burst::new();
    for len in [13, 60, 1515, 1514, 0] {
        let mut frame = queue.alloc().expect("free");
        queue.bytes_mut(&mut frame, len).fill(0);
        out.push(frame).expect("room");
    }
    assert_eq!((queue.tx_burst(&mut out), out.len()), (5, 0));
    assert_eq!(counter(&queue, "tx_bad_length_frames"), 3);
    assert_eq!(counter(&queue, "tx_frames"), 2);
    let mut back = Burst::new();
    queue.rx_burst(&mut back);
    let lens: Vec<u16> = back.frames().iter().map(Frame::len).collect();
    assert_eq!(lens, [60, 1514]);
    for frame in back.drain(2) {
        queue.free(frame);
    }
    close(port, queue);
}

#[test]
fn alloc_leaves_frames_for_both_rings() {
    let lab = Lab::new();
    let (port, mut queue) = lab.open("net_ring_alloc", |config| config.frame_count = 2304);
    let mut held = Vec::new();
    while let Some(frame) = queue.alloc() {
        held.push(frame);
    }
    assert_eq!((held.len(), queue.outstanding()), (2304 - 2048 - BURST_MAX, held.len()));
    assert_eq!(counter(&queue, "alloc_refusals"), 1);
    for frame in held {
        queue.free(frame);
    }
    close(port, queue);
}

#[test]
fn frames_that_die_with_their_queue_are_given_back() {
    let lab = Lab::new();
    let (port, mut queue) = lab.open("net_ring_drop", |_| ());
    let frames: Vec<Frame> = (0..3).filter_map(|_| queue.alloc()).collect();
    drop((queue, frames));
    assert_eq!(port.close(), Some(0));
}

#[test]
fn several_queues_are_told_apart() {
    let lab = Lab::new();
    lab.eal.add_device("net_ring_several").expect("a device");
    let config = Config { queue_count: 4, ..Config::new(Some("net_ring_several".to_owned())) };
    let mut port = Port::open(lab.eal, &config).expect("it has sixteen");
    let mut queues = port.take_queues();
    assert_eq!(queues.iter().map(queue_dpdk::DpdkQueue::id).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let (mut out, mut back) = (Burst::new(), Burst::new());
    build(&mut queues[2], &mut out, 0, 5);
    queues[2].tx_burst(&mut out);
    for (queue, came) in queues.iter_mut().zip([0, 0, 5, 0]) {
        assert_eq!(queue.rx_burst(&mut back), came);
        check(queue, &mut back, 0);
    }
    drop(queues);
    assert_eq!(port.close(), Some(0));
}

#[test]
fn what_cannot_be_opened_is_refused_with_a_sentence() {
    let lab = Lab::new();
    let (port, queue) = lab.open("net_ring_refusals", |_| ());
    let refusal = |config: Config| match Port::open(lab.eal, &config) {
        Ok(_) => panic!("{config:?} was opened"),
        Err(error) => error.to_string(),
    };
    let named = |name: &str| Config::new(Some(name.to_owned()));
    let again = refusal(named("net_ring_refusals"));
    assert!(again.contains("it is open in this process already"), "{again}");
    let other = refusal(named("net_ring_other"));
    assert!(other.contains("no port `net_ring_other`, but net_ring_refusals"), "{other}");
    close(port, queue);
    lab.eal.add_device("net_ring_a").expect("a device");
    lab.eal.add_device("net_ring_b").expect("a device");
    let which = refusal(Config::new(None));
    assert!(which.contains("there are 2 ports: name one of net_ring_a, net_ring_b"), "{which}");
    let many = refusal(Config { queue_count: 17, ..named("net_ring_a") });
    assert!(many.contains("net_ring_a (net_ring) has 16 at most"), "{many}");
    let mac = refusal(Config { mac: Some([2, 0, 0, 0, 0, 9]), ..named("net_ring_b") });
    assert!(mac.contains("cannot change its MAC address"), "{mac}");
    let error = lab.eal.add_device("net_nonsense0").expect_err("no such driver");
    assert!(matches!(&error, Error::Device { .. }), "{error}");
    assert!(error.to_string().contains("no driver takes the device `net_nonsense0`"), "{error}");
}
