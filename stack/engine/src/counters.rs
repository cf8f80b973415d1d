//! What the engine counts: every drop, every refusal and every end of a connection has a name.

use queue::Counter;

macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// An event that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Count {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Count {
            /// Every event, in the order of the declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name under which it is reported.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

counts! {
    /// A TCP segment for us, whole and with a good checksum.
    RxSegments = "rx_segments",
    /// A TCP segment sent.
    TxSegments = "tx_segments",
    /// Dropped: shorter than its headers.
    RxRunt = "rx_runt_frames",
    /// Dropped: for another MAC address, or a broadcast that is not ARP.
    RxOtherMac = "rx_other_mac_frames",
    /// Dropped: an IPv4 packet longer than the MTU.
    RxOversize = "rx_oversize_frames",
    /// Dropped: from a MAC address that no sender has (zero, multicast, ours).
    RxBadSourceMac = "rx_bad_source_mac_frames",
    /// Dropped: neither ARP nor IPv4.
    RxUnknownEthertype = "rx_unknown_ethertype_frames",
    /// Dropped: ARP that is malformed, not a request, or not for our address.
    RxOtherArp = "rx_other_arp_frames",
    /// Dropped: an IPv4 header that contradicts itself or the frame.
    RxBadIpv4Header = "rx_bad_ipv4_header_frames",
    /// Dropped: IPv4 header checksum.
    RxBadIpv4Checksum = "rx_bad_ipv4_checksum_frames",
    /// Dropped: a fragment; none is ever reassembled.
    RxFragment = "rx_ipv4_fragment_frames",
    /// Dropped: for another IPv4 address.
    RxOtherIpv4 = "rx_other_ipv4_frames",
    /// Dropped: from an address that no peer has (zero, loopback, multicast, broadcast, ours).
    RxBadIpv4Source = "rx_bad_ipv4_source_frames",
    /// Dropped: neither TCP nor ICMP.
    RxUnknownProtocol = "rx_unknown_protocol_frames",
    /// Dropped: ICMP that is malformed or has a bad checksum.
    RxBadIcmp = "rx_bad_icmp_frames",
    /// Dropped: ICMP that is neither an echo request nor an error about a segment of ours.
    RxOtherIcmp = "rx_other_icmp_frames",
    /// Dropped: a TCP header that contradicts itself or the packet, or port zero.
    RxBadTcpHeader = "rx_bad_tcp_header_segments",
    /// Dropped: TCP checksum.
    RxBadTcpChecksum = "rx_bad_tcp_checksum_segments",
    /// Dropped: flags that contradict each other, such as SYN with FIN.
    RxBadTcpFlags = "rx_bad_tcp_flags_segments",
    /// Dropped: TCP options with an illegal length.
    RxBadTcpOptions = "rx_bad_tcp_options_segments",
    /// Dropped: an ARP reply from a neighbour that was not asked, or had answered already.
    RxUnsolicitedArp = "rx_unsolicited_arp_frames",
    /// ARP requests sent, for peers of active opens.
    ArpRequests = "arp_requests",
    /// MAC addresses learnt from the answers.
    ArpLearnt = "arp_learnt",
    /// Neighbours that answered none of the requests.
    ArpUnanswered = "arp_unanswered",
    /// Segments of a connection from a new MAC address, which its answers go to from now on.
    PeerMoved = "peer_mac_changes",
    /// Segments of a connection from a new MAC address, whose numbers do not prove that they are
    /// the peer's: answers go where they went before.
    RxUnprovenMac = "rx_unproven_mac_segments",
    /// Dropped: for a connection that is over, or is in TIME-WAIT and has no use for it.
    RxAfterEnd = "rx_after_end_segments",
    /// Dropped: outside of the receive window; most repeat what has arrived (RFC 9293 §3.10.7.4).
    RxOutOfWindow = "rx_out_of_window_segments",
    /// Dropped: an old duplicate by its timestamp (RFC 7323 §5.3).
    RxPaws = "rx_paws_segments",
    /// Dropped: without a timestamp where both ends use them (RFC 7323 §3.2).
    RxNoTimestamp = "rx_no_timestamp_segments",
    /// Dropped: a reset that does not name the next sequence number (RFC 5961 §3.2).
    RxUnprovenReset = "rx_unproven_reset_segments",
    /// Dropped: a SYN of a connection that is open (RFC 5961 §4.2).
    RxUnexpectedSyn = "rx_unexpected_syn_segments",
    /// Dropped: without an ACK where one must be.
    RxNoAck = "rx_no_ack_segments",
    /// Dropped: acknowledges what was never sent, or what is too old (RFC 5961 §5.2).
    RxBadAck = "rx_bad_ack_segments",
    /// Payload dropped: it would have opened one hole too many.
    RxTooManyHoles = "rx_too_many_holes_segments",
    /// Payload dropped: behind the peer's FIN, or on a SYN.
    RxUnwanted = "rx_unwanted_segments",
    /// Payload dropped: the pool for what cannot be handed on at once is empty.
    RxStoreFull = "rx_store_full_segments",
    /// ARP packets of others who claim our address: two hosts are given one.
    ArpConflicts = "arp_conflicts",
    /// Announcements that our address is ours, in answer to such claims (RFC 5227 §2.4).
    ArpDefences = "arp_defences",
    /// ARP requests answered.
    ArpReplies = "arp_replies",
    /// ARP requests not answered because of the rate limit.
    ArpSuppressed = "arp_suppressed_requests",
    /// Echo requests answered.
    EchoReplies = "icmp_echo_replies",
    /// Echo requests not answered because of the rate limit.
    EchoSuppressed = "icmp_suppressed_requests",
    /// ICMP errors about a segment of no connection, or of one that is only half open.
    IcmpNoConnection = "icmp_errors_no_connection",
    /// ICMP errors about a sequence number that is not outstanding (RFC 5927 §4.1).
    IcmpOutOfWindow = "icmp_errors_out_of_window",
    /// ICMP errors that say nothing to act upon, such as source quench.
    IcmpIgnored = "icmp_errors_ignored",
    /// ICMP errors that may pass: TCP goes on (RFC 5927 §5.2).
    IcmpSoft = "icmp_errors_soft",
    /// ICMP errors that ended a connection before it was established.
    IcmpClosed = "icmp_errors_closed",
    /// ICMP errors that made the segments of a connection smaller (RFC 1191).
    IcmpPathMtu = "icmp_errors_path_mtu",
    /// The same, not believed before something is lost (RFC 5927 §7.2).
    IcmpPathMtuDoubted = "icmp_errors_path_mtu_doubted",
    /// Resets in answer to segments that belong to no connection (RFC 9293 §3.10.7.1).
    UnknownReset = "unknown_flow_resets",
    /// Such resets not sent because of the rate limit.
    UnknownSuppressed = "unknown_flow_suppressed_resets",
    /// Replies dropped because the transmit ring stayed full.
    ReplyDropped = "tx_dropped_replies",
    /// Polls that left output waiting because no frame was free.
    NoFrame = "tx_no_frame_polls",
    /// Polls after which frames still wait for room in the transmit ring.
    RingFull = "tx_ring_full_polls",
    /// Dropped SYNs: as many connections are half open as may be, and TCP has no cookies.
    SynBacklogFull = "syn_backlog_full_segments",
    /// Dropped SYNs: the connection table is full.
    SynTableFull = "syn_table_full_segments",
    /// SYNs refused with a reset because the engine is draining.
    SynDraining = "syn_draining_refusals",
    /// Dropped SYNs: not acceptable to TCP.
    SynUnacceptable = "syn_unacceptable_segments",
    /// Connections begun by a SYN.
    HalfOpened = "half_open_begun",
    /// Half-open connections dropped because the handshake took too long.
    HalfOpenExpired = "half_open_expired",
    /// Half-open connections that the peer reset, or that the drain's deadline cut off.
    HalfOpenAborted = "half_open_aborted",
    /// Active opens begun.
    Connects = "connects_begun",
    /// Active opens refused by the peer.
    ConnectRefused = "connects_refused",
    /// Active opens that the peer did not answer in time.
    ConnectTimedOut = "connects_timed_out",
    /// Active opens to addresses that nobody on the link has.
    ConnectUnreachable = "connects_unreachable",
    /// Active opens cut off by a drain.
    ConnectDrained = "connects_drained",
    /// SYN-ACKs sent again to half-open connections of the SYN cache.
    SynAckRetransmits = "syn_ack_retransmits",
    /// SYNs answered with a cookie, because the SYN cache was full (RFC 4987 §3.6).
    SynCookiesSent = "syn_cookies_sent",
    /// Handshakes that a cookie completed.
    SynCookiesAccepted = "syn_cookies_accepted",
    /// Segments of no connection that were no cookie of ours, or one that was too old.
    SynCookiesRejected = "syn_cookies_rejected",
    /// Dropped: would have completed a handshake, but the connection table is full.
    AcceptTableFull = "accept_table_full_segments",
    /// Dropped: neither completes nor ends the half-open connection it belongs to.
    HalfOpenIgnored = "half_open_ignored_segments",
    /// Dropped: neither SYN nor ACK, to the port that is listened on (RFC 9293 §3.10.7.2).
    ListenIgnored = "listen_ignored_segments",
    /// Handshakes completed.
    Opened = "tcp_opened",
    /// Completed, but refused by the application.
    OpenRefused = "tcp_open_refused",
    /// Closed by both sides in good order.
    Finished = "tcp_finished",
    /// Reset by the peer.
    ResetByPeer = "tcp_reset_by_peer",
    /// Reset because the application asked for it.
    ResetByApp = "tcp_reset_by_app",
    /// Reset because the peer was silent while output waited (RFC 9293 §3.8.3, R2), or did not
    /// close its side after we had closed ours.
    TimedOut = "tcp_timed_out",
    /// Reset because the drain's deadline passed.
    DrainDeadline = "tcp_drain_deadline",
    /// Bytes received after the application had closed both directions, dropped.
    AfterClose = "rx_after_close_bytes",
    /// Connections that went to TIME-WAIT.
    TimeWaitEntered = "time_wait_entered",
    /// TIME-WAIT over after its time.
    TimeWaitExpired = "time_wait_expired",
    /// Connections that ended without TIME-WAIT because its table was full.
    TimeWaitOverflow = "time_wait_overflow",
    /// TIME-WAIT ended by a SYN that began a new connection (RFC 9293 §3.10.7.4).
    TimeWaitReused = "time_wait_reused",
    /// Segments answered with an ACK in TIME-WAIT.
    TimeWaitAcks = "time_wait_acks",
}

/// All counts of one engine.
#[derive(Clone, Debug)]
pub struct Counters([u64; Count::ALL.len()]);

impl Counters {
    pub(crate) fn new() -> Self {
        Self([0; Count::ALL.len()])
    }

    /// Counts one more.
    pub fn add(&mut self, count: Count) {
        self.add_many(count, 1);
    }

    pub(crate) fn add_many(&mut self, count: Count, more: u64) {
        self.0[count as usize] += more;
    }

    pub(crate) fn value(&self, count: Count) -> u64 {
        self.0[count as usize]
    }

    pub(crate) fn visit(&self, visit: &mut dyn FnMut(Counter, u64)) {
        for count in Count::ALL {
            visit(Counter(count.name()), self.value(*count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_count_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = Count::ALL.iter().map(|count| count.name()).collect();
        assert_eq!(names.len(), Count::ALL.len());
        for (place, count) in Count::ALL.iter().enumerate() {
            assert_eq!(*count as usize, place);
        }
    }
}
