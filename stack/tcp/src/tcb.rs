//! The transmission control block, and the calls of its user (RFC 9293 §3.3.1, §3.10.1 to §3.10.5).

use crate::config::{Config, HEADERS_LEN, KeepAlive, MSS_MIN};
use crate::congestion::Congestion;
use crate::options::TIMESTAMPS_LEN;
use crate::recovery::Recovery;
use crate::rtt::Rtt;
use crate::sack::Held;
use crate::seq::{Block, Seq};
use crate::syn_cache::HalfOpen;
use crate::time::Instant;
use crate::timers::{Liveness, Millis, Timers};
use crate::verdict::Closed;
use core::time::Duration;

/// The states of RFC 9293 §3.3.2. LISTEN is not one of a connection: see [`listen`](crate::listen).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// An active open waits for the peer's SYN.
    SynSent,
    /// SYNs have been exchanged; ours is not acknowledged.
    SynReceived,
    /// Data flow both ways.
    Established,
    /// We have closed; our FIN is not acknowledged.
    FinWait1,
    /// Our FIN is acknowledged; the peer has not closed.
    FinWait2,
    /// The peer has closed; we have not.
    CloseWait,
    /// Both have closed at the same time; our FIN is not acknowledged.
    Closing,
    /// The peer closed first, then we; our FIN is not acknowledged.
    LastAck,
    /// Both FINs are acknowledged; old duplicates die out.
    TimeWait,
    /// Over. A reset may wait to be sent.
    Closed,
}

/// Where our FIN stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fin {
    None,
    /// Behind what is in the send buffer.
    Queued,
    /// It is the last sequence number before SND.NXT.
    Sent,
}

/// What was sent beyond a closed window: SND.NXT does not count it until it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    None,
    Byte,
    Fin,
}

/// The send sequence variables (RFC 9293 §3.3.1). SND.UP is missing: we send no urgent data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snd {
    /// SND.UNA: the oldest number that is not acknowledged.
    pub una: Seq,
    /// SND.NXT: the next number to be sent. It never goes back.
    pub nxt: Seq,
    /// SND.WND: the peer's window, in bytes from SND.UNA on.
    pub wnd: u32,
    /// SND.WL1: the sequence number of the segment that the window came with.
    pub wl1: Seq,
    /// SND.WL2: the acknowledgement number of that segment.
    pub wl2: Seq,
    /// ISS: our initial sequence number.
    pub iss: Seq,
    /// Max(SND.WND): the largest window that the peer has ever announced, in bytes.
    pub max_wnd: u32,
    /// Most bytes of options and payload in a segment: the peer's MSS and the path allow no more.
    pub(crate) mss: u16,
    pub(crate) wscale: u8,
    pub(crate) fin: Fin,
    pub(crate) probe: Probe,
}

impl Snd {
    /// FlightSize: sequence numbers sent and not acknowledged.
    pub(crate) fn flight(&self) -> u32 {
        self.nxt.since(self.una)
    }

    /// The number behind the last that the peer may acknowledge.
    pub(crate) fn max(&self) -> Seq {
        self.nxt + u32::from(self.probe != Probe::None)
    }
}

/// The receive sequence variables (RFC 9293 §3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rcv {
    /// RCV.NXT: the next number that is expected.
    pub nxt: Seq,
    /// RCV.WND: bytes from RCV.NXT on that we have offered to take.
    pub wnd: u32,
    /// RCV.UP: the number behind the last urgent byte, meaningful while `urgent` holds.
    pub up: Seq,
    /// IRS: the peer's initial sequence number.
    pub irs: Seq,
    pub(crate) urgent: bool,
    pub(crate) wscale: u8,
    /// The MSS that we announced, in bytes.
    pub(crate) mss: u16,
    /// The largest payload so far, in bytes: what counts as a full-sized segment.
    pub(crate) full_size: u16,
    /// Most bytes that are received and not consumed.
    pub(crate) capacity: u32,
    /// Most bytes that the caller could store at the moment.
    pub(crate) room: u32,
    /// Bytes in order that the application has not consumed.
    pub(crate) unread: u32,
    /// Last.ACK.sent (RFC 7323 §4.3).
    pub(crate) acked: Seq,
    /// The number of a FIN that lies behind a hole.
    pub(crate) fin: Option<Seq>,
    /// Duplicate data to report (RFC 2883).
    pub(crate) dsack: Option<Block>,
    pub(crate) held: Held,
}

impl Rcv {
    /// Bytes that can be offered beside those that are unread, as far as a header can say it. A
    /// buffer that is larger keeps the window open while input waits.
    pub(crate) fn free(&self) -> u32 {
        let sayable = u32::from(u16::MAX) << self.wscale;
        (self.capacity - self.unread).min(self.room).min(sayable)
    }
}

/// Timestamps (RFC 7323 §3 to §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Whether both SYNs carried the option.
    pub(crate) on: bool,
    /// What our clock is ahead of the time: random for each connection (§5.4).
    pub(crate) offset: u32,
    /// TS.Recent
    pub(crate) recent: u32,
    /// When TS.Recent was set.
    pub(crate) recent_at: Instant,
}

impl Clock {
    /// Our clock, in milliseconds.
    pub(crate) fn now(&self, now: Instant) -> u32 {
        millis(now).wrapping_add(self.offset)
    }
}

/// Milliseconds since the epoch, modulo 2^32.
#[expect(clippy::cast_possible_truncation, reason = "the timestamp clock wraps")]
pub(crate) const fn millis(now: Instant) -> u32 {
    (now.as_nanos() / 1_000_000) as u32
}

/// What `poll_transmit` has to send beside data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked for on its own")]
pub(crate) struct Pending {
    pub(crate) ack: bool,
    /// A SYN, or a SYN-ACK.
    pub(crate) syn: bool,
    pub(crate) rst: bool,
    /// The persist timer has expired: something goes out, whatever the window says.
    pub(crate) force: bool,
    pub(crate) keep_alive: bool,
}

/// What stays of the [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent switches")]
pub(crate) struct Settings {
    pub(crate) ack_delay: Millis,
    pub(crate) user_timeout: Millis,
    pub(crate) syn_timeout: Millis,
    pub(crate) write_timeout: Millis,
    pub(crate) fin_wait2_timeout: Millis,
    pub(crate) time_wait: Millis,
    pub(crate) keep_idle: Millis,
    pub(crate) keep_interval: Millis,
    pub(crate) keep_probes: u8,
    pub(crate) syn_ack_retransmits: u8,
    pub(crate) min_path_mtu: u16,
    pub(crate) nagle: bool,
    pub(crate) ack_every_second: bool,
    /// Whether window scaling is offered, and later, whether it is in use.
    pub(crate) scaling: bool,
    /// Whether the open was passive (MUST-11).
    pub(crate) passive: bool,
    /// Whether the application will read no more.
    pub(crate) deaf: bool,
}

impl Settings {
    fn new(config: &Config, passive: bool, scaling: bool) -> Self {
        let keep_alive = config.keep_alive;
        let keep = |pick: fn(KeepAlive) -> Duration| keep_alive.map_or(Duration::MAX, pick).into();
        Self {
            ack_delay: config.ack_delay.into(),
            user_timeout: config.user_timeout.into(),
            syn_timeout: config.syn_timeout.into(),
            write_timeout: config.write_timeout.unwrap_or(Duration::MAX).into(),
            fin_wait2_timeout: config.fin_wait2_timeout.into(),
            time_wait: config.time_wait.into(),
            keep_idle: keep(|keep_alive| keep_alive.idle),
            keep_interval: keep(|keep_alive| keep_alive.interval),
            keep_probes: keep_alive.map_or(0, |keep_alive| keep_alive.probes),
            syn_ack_retransmits: config.syn_ack_retransmits,
            min_path_mtu: config.min_path_mtu,
            nagle: config.nagle,
            ack_every_second: config.ack_every_second,
            scaling,
            passive,
            deaf: false,
        }
    }
}

/// What the state machine must know of the bytes that wait for acknowledgement.
pub trait SendBuffer {
    /// Bytes from the oldest that is not acknowledged to the last that the application has put.
    fn backlog(&self) -> u32;
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcb {
    pub(crate) snd: Snd,
    pub(crate) rcv: Rcv,
    pub(crate) clock: Clock,
    pub(crate) state: State,
    pub(crate) closed: Option<Closed>,
    /// Whether SACK was negotiated.
    pub(crate) sack: bool,
    pub(crate) pending: Pending,
    pub(crate) timers: Timers,
    pub(crate) liveness: Liveness,
    pub(crate) rtt: Rtt,
    pub(crate) congestion: Congestion,
    pub(crate) recovery: Recovery,
    pub(crate) path: crate::icmp::Path,
    pub(crate) settings: Settings,
}

impl Tcb {
    /// OPEN, active (RFC 9293 §3.10.1): the SYN comes out of `poll_transmit`. `iss` is from
    /// [`isn`](crate::isn), `clock_offset` from [`clock_offset`](crate::clock_offset).
    #[must_use]
    pub fn connect(now: Instant, config: &Config, iss: Seq, clock_offset: u32) -> Self {
        let half_open = HalfOpen {
            iss,
            irs: Seq(0),
            mss: crate::config::MSS_DEFAULT,
            wscale: config.window_scaling.then_some(0),
            sack: config.sack,
            timestamps: config.timestamps.then_some(0),
            clock_offset,
            ..HalfOpen::default()
        };
        let mut tcb = Self::new(now, config, &half_open, false);
        tcb.state = State::SynSent;
        tcb.rcv.nxt = Seq(0);
        tcb.rcv.acked = Seq(0);
        tcb.snd.nxt = iss;
        tcb.pending.syn = true;
        tcb
    }

    /// A SYN arrives at a listener that keeps no SYN cache (RFC 9293 §3.10.7.2, third): the
    /// SYN-ACK comes out of `poll_transmit`. `syn` is what [`listen`](crate::listen) found good.
    #[must_use]
    pub fn accept(
        now: Instant,
        config: &Config,
        iss: Seq,
        clock_offset: u32,
        syn: &crate::Segment<'_>,
    ) -> Self {
        let half_open = HalfOpen::new(now, config, iss, clock_offset, syn);
        let mut tcb = Self::new(now, config, &half_open, true);
        tcb.snd.nxt = iss;
        tcb.pending.syn = true;
        tcb
    }

    /// Makes a connection of a half-open one whose SYN-ACK has been sent. It is in SYN-RECEIVED:
    /// the segment that completes the handshake is to be shown to it next.
    #[must_use]
    pub fn from_half_open(now: Instant, config: &Config, half_open: &HalfOpen) -> Self {
        let mut tcb = Self::new(now, config, half_open, true);
        if let Some(sent) = half_open.sent(config) {
            tcb.rtt.sent(sent, tcb.snd.nxt);
        }
        tcb
    }

    fn new(now: Instant, config: &Config, half_open: &HalfOpen, passive: bool) -> Self {
        let rcv_nxt = half_open.irs + 1;
        let rcv_wscale = half_open.wscale.map_or(0, |_| config.wscale());
        let path_mss = config.mtu.saturating_sub(HEADERS_LEN);
        let mss = half_open.mss.max(MSS_MIN).min(path_mss.max(MSS_MIN));
        let clock = Clock {
            on: half_open.timestamps.is_some(),
            offset: half_open.clock_offset,
            recent: half_open.timestamps.unwrap_or(0),
            recent_at: now,
        };
        let smss = u32::from(mss) - if clock.on { u32::from(TIMESTAMPS_LEN) } else { 0 };
        Self {
            snd: Snd {
                una: half_open.iss,
                nxt: half_open.iss + 1,
                wnd: u32::from(half_open.wnd),
                wl1: half_open.irs,
                wl2: half_open.iss,
                iss: half_open.iss,
                max_wnd: u32::from(half_open.wnd),
                mss,
                wscale: half_open.wscale.unwrap_or(0),
                fin: Fin::None,
                probe: Probe::None,
            },
            rcv: Rcv {
                nxt: rcv_nxt,
                // RFC 7323 §2.2: the window of a SYN is never scaled.
                wnd: config.receive_capacity_bytes.min(u32::from(u16::MAX)),
                up: rcv_nxt,
                irs: half_open.irs,
                urgent: false,
                wscale: rcv_wscale,
                mss: config.mss(),
                full_size: crate::config::MSS_DEFAULT,
                capacity: config.receive_capacity_bytes,
                room: u32::MAX,
                unread: 0,
                acked: rcv_nxt,
                fin: None,
                dsack: None,
                held: Held::default(),
            },
            clock,
            state: State::SynReceived,
            closed: None,
            sack: half_open.sack,
            pending: Pending::default(),
            timers: Timers::default(),
            liveness: Liveness { probes: half_open.retransmits, ..Liveness::new(now) },
            rtt: Rtt::new(config.initial_rto, config.min_rto, config.max_rto),
            congestion: Congestion::new(config.congestion, smss, half_open.iss),
            recovery: Recovery::new(half_open.iss),
            path: crate::icmp::Path::default(),
            settings: Settings::new(config, passive, half_open.wscale.is_some()),
        }
    }

    /// A word from each of its cache lines, for who wants to have them at hand: nothing else.
    #[must_use]
    #[inline]
    pub fn touch(&self) -> u64 {
        let times = [self.timers.rtx, self.liveness.heard, self.liveness.stalled];
        let words = [
            self.snd.nxt.0,
            self.rcv.nxt.0,
            self.rcv.unread,
            self.clock.recent,
            self.congestion.cwnd,
            self.congestion.limited.0,
            self.recovery.recover.0,
            self.recovery.board.is_empty().into(),
            self.rcv.held.is_empty().into(),
            self.rtt.backoff.into(),
            self.settings.nagle.into(),
        ];
        let times = times.iter().fold(0, |sum, time| sum ^ time.as_nanos());
        words.iter().fold(times, |sum, word| sum ^ u64::from(*word))
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it is closed, once it is.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.closed
    }

    /// The send sequence variables.
    #[must_use]
    pub fn snd(&self) -> &Snd {
        &self.snd
    }

    /// The receive sequence variables.
    #[must_use]
    pub fn rcv(&self) -> &Rcv {
        &self.rcv
    }

    /// The congestion window, in bytes.
    #[must_use]
    pub fn cwnd_bytes(&self) -> u32 {
        self.congestion.cwnd
    }

    /// The slow start threshold, in bytes.
    #[must_use]
    pub fn ssthresh_bytes(&self) -> u32 {
        self.congestion.ssthresh
    }

    /// The retransmission time-out, doubled as often as it has expired in vain.
    #[must_use]
    pub fn rto(&self) -> Duration {
        self.rtt.rto()
    }

    /// Eff.snd.MSS: most bytes of payload in a segment that carries no SACK blocks (MUST-16).
    #[must_use]
    pub fn eff_snd_mss(&self) -> u16 {
        self.snd.mss - if self.clock.on { TIMESTAMPS_LEN } else { 0 }
    }

    #[inline]
    pub(crate) fn smss(&self) -> u32 {
        u32::from(self.eff_snd_mss())
    }

    /// Whether the peer's FIN has arrived, with everything before it.
    #[must_use]
    pub fn is_eof(&self) -> bool {
        use State::{CloseWait, Closing, LastAck, TimeWait};
        matches!(self.state, CloseWait | Closing | LastAck | TimeWait)
    }

    /// Bytes in order that the application has not consumed.
    #[must_use]
    pub fn unread_bytes(&self) -> u32 {
        self.rcv.unread
    }

    /// Whether no text is held behind a hole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.rcv.held.is_empty()
    }

    /// From now on, no more than `room` bytes are offered to the peer, where memory is shared and
    /// has become scarce. What was offered before stays offered (SHLD-14).
    #[inline(always)]
    pub fn offer_at_most(&mut self, room: u32) {
        self.rcv.room = room;
    }

    /// Bytes that are unread before the urgent mark, while there is one (MUST-31, MUST-62).
    ///
    /// Urgent data stay in the stream, where they are (RFC 6093): the mark is all there is to it.
    #[must_use]
    pub fn urgent_bytes(&self) -> Option<u32> {
        let read = self.rcv.nxt - self.rcv.unread;
        (self.rcv.urgent && self.rcv.up.gt(read)).then(|| self.rcv.up.since(read))
    }

    /// R1 (RFC 9293 §3.8.3, SHLD-10): whether data have been sent again so often in vain that the
    /// path should be doubted.
    #[must_use]
    pub fn is_suspicious(&self) -> bool {
        self.rtt.backoff >= 3
    }

    /// RECEIVE (RFC 9293 §3.10.3): the application has consumed `count` bytes. The window opens
    /// when that is worth a segment (MUST-39).
    ///
    /// # Panics
    /// If fewer bytes are unread.
    #[inline(always)]
    pub fn consume(&mut self, count: u32) {
        let rcv = &mut self.rcv;
        assert!(count <= rcv.unread, "{count} bytes consumed of {} unread", rcv.unread);
        rcv.unread -= count;
        if rcv.urgent && rcv.up.le(rcv.nxt - rcv.unread) {
            rcv.urgent = false;
        }
        let gain = rcv.free().saturating_sub(rcv.wnd);
        if gain >= (rcv.capacity / 2).min(2 * u32::from(rcv.mss)) && self.may_receive() {
            self.pending.ack = true;
        }
    }

    /// The application gives more or less room to input than the
    /// [`Config`](crate::Config) said: `bytes`, but no less than the peer has been told that there
    /// is (SHLD-14).
    pub fn receive_capacity(&mut self, bytes: u32) {
        let rcv = &mut self.rcv;
        rcv.capacity = bytes.max(rcv.unread + rcv.wnd);
    }

    pub(crate) fn may_receive(&self) -> bool {
        matches!(self.state, State::Established | State::FinWait1 | State::FinWait2)
    }

    /// MUST-17: turns Nagle's algorithm on or off.
    pub fn nagle(&mut self, on: bool) {
        self.settings.nagle = on;
    }

    /// MUST-21: the application changes R2.
    pub fn user_timeout(&mut self, timeout: Duration) {
        self.settings.user_timeout = timeout.into();
    }

    /// CLOSE (RFC 9293 §3.10.4): sends a FIN behind the output; input is still read.
    pub fn shutdown(&mut self) {
        match self.state {
            // Nothing was ever promised to anyone.
            State::SynSent => self.enter_closed(Closed::Aborted),
            // "Queue for processing after entering ESTABLISHED state."
            State::SynReceived => self.snd.fin = Fin::Queued,
            State::Established => {
                self.snd.fin = Fin::Queued;
                self.state = State::FinWait1;
            }
            State::CloseWait => {
                self.snd.fin = Fin::Queued;
                self.state = State::LastAck;
            }
            // "Connection closing": it has been called before.
            State::FinWait1
            | State::FinWait2
            | State::Closing
            | State::LastAck
            | State::TimeWait
            | State::Closed => {}
        }
    }

    /// Closes both directions: as [`shutdown`](Self::shutdown), and what else arrives is refused
    /// with a reset. SHLD-3: what has arrived and was not read is refused so at once.
    pub fn close(&mut self, now: Instant) {
        if self.rcv.unread > 0 || !self.rcv.held.is_empty() {
            self.abort();
            return;
        }
        self.settings.deaf = true;
        self.shutdown();
        if self.state == State::FinWait2 {
            self.timers.state = self.settings.fin_wait2_timeout.after(now);
        }
    }

    /// ABORT (RFC 9293 §3.10.5): a reset comes out of `poll_transmit` where the peer may still
    /// believe in the connection.
    pub fn abort(&mut self) {
        use State::{CloseWait, Established, FinWait1, FinWait2, SynReceived};
        match self.state {
            State::Closed => {}
            SynReceived | Established | FinWait1 | FinWait2 | CloseWait => {
                self.enter_closed(Closed::Aborted);
                self.pending.rst = true;
            }
            State::SynSent | State::Closing | State::LastAck | State::TimeWait => {
                self.enter_closed(Closed::Aborted);
            }
        }
    }

    pub(crate) fn enter_closed(&mut self, why: Closed) {
        self.state = State::Closed;
        self.closed = Some(why);
        self.timers = Timers::default();
        self.pending = Pending::default();
    }

    /// MUST-13: whoever closes first lingers.
    pub(crate) fn enter_time_wait(&mut self, now: Instant) {
        self.state = State::TimeWait;
        self.timers.rtx = Instant::NEVER;
        self.timers.state = self.settings.time_wait.after(now);
    }
}
