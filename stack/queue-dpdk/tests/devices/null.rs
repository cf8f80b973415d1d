//! `net_null`: packets come without end, and go nowhere.

use crate::{Lab, close, counter};
use queue::{Burst, Frame, Queue};

#[test]
fn who_keeps_all_frames_gets_no_more_until_some_come_back() {
    let lab = Lab::new();
    let (port, mut queue) = lab.open("net_null_keep,size=100", |config| config.frame_count = 2304);
    let (mut burst, mut kept) = (Burst::new(), Vec::new());
    while queue.rx_burst(&mut burst) > 0 {
        let came = burst.len();
        kept.extend(burst.drain(came));
        assert!(kept.len() <= 2304, "more than there are");
    }
    assert_eq!(queue.outstanding(), kept.len());
    assert!(kept.iter().all(|frame| queue.bytes(frame).len() == 100));
    for frame in kept.drain(..) {
        queue.free(frame);
    }
    assert!(queue.rx_burst(&mut burst) > 0, "there are frames again");
    send_all(&mut queue, &mut burst);
    close(port, queue);
}

#[test]
fn received_frames_can_be_sent() {
    let lab = Lab::new();
    let (port, mut queue) = lab.open("net_null_reflect", |_| ());
    let mut burst = Burst::new();
    for _ in 0..10_000 {
        queue.rx_burst(&mut burst);
        send_all(&mut queue, &mut burst);
    }
    let received = counter(&queue, "rx_frames");
    assert_eq!((counter(&queue, "tx_frames"), received > 10_000), (received, true));
    close(port, queue);
}

#[test]
fn packets_that_fit_into_no_frame_are_dropped_and_counted() {
    let lab = Lab::new();
    for (device, name) in [
        ("net_null_long,size=2049", "rx_long_frames"),
        ("net_null_short,size=13", "rx_short_frames"),
    ] {
        let (port, mut queue) = lab.open(device, |_| ());
        assert_eq!(queue.rx_burst(&mut Burst::new()), 0);
        assert!(counter(&queue, name) > 0, "{name}");
        assert_eq!(counter(&queue, "rx_frames"), 0);
        close(port, queue);
    }
}

fn send_all(queue: &mut impl Queue, burst: &mut Burst) {
    let longest = burst.frames().iter().map(Frame::len).max();
    queue.tx_burst(burst);
    assert_eq!(burst.len(), 0, "nothing is refused, {longest:?} bytes");
}
