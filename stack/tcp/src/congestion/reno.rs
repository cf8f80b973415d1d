//! Congestion avoidance by RFC 5681 §3.1, counting bytes (RFC 3465 §2.1).

use super::Acked;

/// One segment more for each window that is acknowledged.
pub(super) fn increase(cwnd: u32, credit: &mut u32, acked: &Acked) -> u32 {
    *credit = credit.saturating_add(acked.bytes);
    if *credit < cwnd {
        return cwnd;
    }
    *credit -= cwnd;
    cwnd.saturating_add(acked.smss)
}

#[cfg(test)]
mod tests {
    use super::super::{Acked, Algorithm, Congestion};
    use crate::seq::Seq;
    use crate::time::Instant;
    use core::time::Duration;

    fn acked(bytes: u32) -> Acked {
        let (now, srtt) = (Instant::ZERO, Duration::from_millis(10));
        Acked { now, bytes, smss: 1000, srtt, after_timeout: false, is_limited: true }
    }

    #[test]
    fn slow_start_counts_bytes_not_acknowledgements() {
        let mut congestion = Congestion::new(Algorithm::NewReno, 1000, Seq(0));
        assert_eq!(congestion.cwnd, 10_000);
        for _ in 0..100 {
            congestion.on_ack(&acked(1), 10_000);
        }
        assert_eq!(congestion.cwnd, 10_100, "a hundred acknowledgements of one byte");
        congestion.on_ack(&acked(10_000), 10_000);
        assert_eq!(congestion.cwnd, 12_100, "L is two segments");
        congestion.on_ack(&Acked { after_timeout: true, ..acked(10_000) }, 12_100);
        assert_eq!(congestion.cwnd, 13_100, "after a time-out L is one segment");
    }

    #[test]
    fn congestion_avoidance_adds_a_segment_for_each_window() {
        let mut congestion = Congestion::new(Algorithm::NewReno, 1000, Seq(0));
        congestion.on_loss(20_000, 1000);
        assert_eq!((congestion.cwnd, congestion.ssthresh), (10_000, 10_000));
        for _ in 0..9 {
            congestion.on_ack(&acked(1000), 10_000);
        }
        assert_eq!(congestion.cwnd, 10_000);
        congestion.on_ack(&acked(1000), 10_000);
        assert_eq!(congestion.cwnd, 11_000);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut congestion = Congestion::new(Algorithm::NewReno, 1000, Seq(0));
        for _ in 0..1000 {
            congestion.on_ack(&Acked { is_limited: false, ..acked(1000) }, 1000);
        }
        assert_eq!(congestion.cwnd, 10_000);
    }

    #[test]
    fn ssthresh_is_two_segments_or_more_and_a_time_out_begins_with_one() {
        let mut congestion = Congestion::new(Algorithm::NewReno, 1000, Seq(0));
        congestion.on_timeout(1000, 1000, true);
        assert_eq!((congestion.cwnd, congestion.ssthresh), (1000, 2000));
        congestion.on_timeout(100_000, 1000, false);
        assert_eq!(congestion.ssthresh, 2000, "the same data lost again does not count twice");
    }
}
