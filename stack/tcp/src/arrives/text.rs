//! RFC 9293 §3.10.7.4, seventh and eighth: the segment text and the FIN.

use crate::segment::Segment;
use crate::seq::{Block, Seq};
use crate::tcb::{State, Tcb};
use crate::time::Instant;
use crate::verdict::{Closed, Dropped, Span, Store, Verdict};

impl Tcb {
    pub(super) fn text_arrives(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        verdict: &mut Verdict,
    ) {
        if !self.may_receive() {
            // "This should not occur since a FIN has been received from the remote side."
            if segment.payload_len > 0 {
                verdict.dropped = Some(Dropped::Unwanted);
            }
            return;
        }
        let end = segment.seq + u32::from(segment.payload_len);
        if self.settings.deaf && segment.payload_len > 0 && end.gt(self.rcv.nxt) {
            // SHLD-3: nobody will read it, and the peer is told so.
            verdict.dropped = Some(Dropped::Unwanted);
            verdict.answer = Some(self.reset_segment(now));
            self.enter_closed(Closed::Aborted);
            return;
        }
        let text = self.trim(segment);
        if segment.payload_len > 0 && segment.seq.lt(self.rcv.nxt) {
            // RFC 2883 §4.1: the front has arrived before.
            let end = end.first(self.rcv.nxt);
            self.rcv.dsack = Some(Block { start: segment.seq, end });
            self.pending.ack = true;
        }
        let was_whole = self.rcv.held.is_empty();
        if text.is_empty() {
        } else if text.start == self.rcv.nxt && was_whole {
            let from = short(text.start.since(segment.seq));
            let len = short(text.len());
            verdict.deliver = Span { from, len };
            self.text_in_order(now, len);
        } else {
            self.text_with_holes(segment.seq, text, verdict);
        }
        let fin = (segment.fin() && text_reaches(end, text, self.rcv.nxt)).then_some(end);
        self.fin_arrives(now, fin, verdict);
        // RFC 5681 §4.2: a segment out of order is acknowledged at once, each of them.
        if !self.rcv.held.is_empty() && verdict.released == 0 && segment.payload_len > 0 {
            verdict.answer = Some(self.ack_segment(now));
        } else if !was_whole {
            self.pending.ack = true;
        }
    }

    /// "Segments with higher beginning sequence numbers may be held": the text that is new and
    /// within the window, and before a FIN that is known.
    fn trim(&self, segment: &Segment<'_>) -> Block {
        let rcv = &self.rcv;
        let edge = rcv.nxt + rcv.wnd;
        let edge = rcv.fin.map_or(edge, |fin| edge.first(fin));
        let end = segment.seq + u32::from(segment.payload_len);
        Block { start: segment.seq.last(rcv.nxt), end: end.first(edge) }
    }

    /// `len` bytes at RCV.NXT, nothing held. SHLD-18 and SHLD-19: the acknowledgement is delayed,
    /// but not behind more than one full-sized segment, and not for 0.5 s (MUST-40).
    #[inline(always)]
    pub(crate) fn text_in_order(&mut self, now: Instant, len: u16) {
        let rcv = &mut self.rcv;
        rcv.full_size = rcv.full_size.max(len.min(rcv.mss));
        rcv.nxt += u32::from(len);
        rcv.wnd -= u32::from(len);
        rcv.unread += u32::from(len);
        let is_second = self.timers.ack != Instant::NEVER;
        if rcv.nxt.since(rcv.acked) > u32::from(rcv.full_size)
            || (is_second && self.settings.ack_every_second)
        {
            self.pending.ack = true;
        } else if !is_second {
            self.timers.ack = self.settings.ack_delay.after(now);
        }
    }

    /// SHLD-31: text behind a hole, or while there is one.
    fn text_with_holes(&mut self, payload: Seq, text: Block, verdict: &mut Verdict) {
        let nxt = self.rcv.nxt;
        let in_order = text.start == nxt;
        if !in_order && !self.rcv.held.has_room(text) {
            verdict.dropped = Some(Dropped::TooManyHoles);
            return;
        }
        let mut store = Store::default();
        let end = self.rcv.held.uncovered(text, nxt, payload, &mut store);
        self.note_overlap(text, payload, &store);
        verdict.store = store;
        if in_order {
            let end = self.rcv.held.advance(Block { start: nxt, end });
            let released = end.since(nxt);
            verdict.released = released;
            self.rcv.nxt = end;
            self.rcv.wnd -= released;
            self.rcv.unread += released;
        } else {
            self.rcv.held.insert(Block { start: text.start, end });
        }
    }

    /// RFC 2883 §4: the first contiguous part of the payload that has arrived before, of `text`
    /// what was held. In front of `text` there is nothing, or an earlier such part.
    fn note_overlap(&mut self, text: Block, payload: Seq, store: &Store) {
        if payload.lt(text.start) {
            return;
        }
        let mut fresh = store.as_slice().iter().map(|piece| {
            let start = payload + u32::from(piece.from);
            Block { start, end: start + u32::from(piece.len) }
        });
        let (start, next) = match fresh.next() {
            Some(first) if first.start == text.start => (first.end, fresh.next()),
            other => (text.start, other),
        };
        let end = next.map_or(text.end, |block| block.start);
        if end.gt(start) {
            self.rcv.dsack = Some(Block { start, end });
        }
    }

    /// Eighth, check the FIN bit. `fin` is the number of one that this segment brings.
    fn fin_arrives(&mut self, now: Instant, fin: Option<Seq>, verdict: &mut Verdict) {
        if self.rcv.fin.is_none() {
            // One before bytes that have arrived is a lie.
            self.rcv.fin = fin.filter(|fin| self.rcv.held.end().is_none_or(|end| end.le(*fin)));
        }
        if self.rcv.fin != Some(self.rcv.nxt) {
            return;
        }
        self.rcv.fin = None;
        self.rcv.nxt += 1;
        self.rcv.wnd = self.rcv.wnd.saturating_sub(1);
        self.pending.ack = true;
        verdict.eof = true;
        match self.state {
            State::Established => self.state = State::CloseWait,
            // "If our FIN has been ACKed (perhaps in this segment), then enter TIME-WAIT": then
            // the fifth check has led to FIN-WAIT-2.
            State::FinWait1 => self.state = State::Closing,
            State::FinWait2 => self.enter_time_wait(now),
            _ => {}
        }
    }
}

/// Whether all text before a FIN at `end` is taken: nothing of it was cut off at the window.
fn text_reaches(end: Seq, text: Block, nxt: Seq) -> bool {
    text.end == end || (text.is_empty() && end.le(nxt))
}

fn short(count: u32) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
