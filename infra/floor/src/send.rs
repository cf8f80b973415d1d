//! The near end: keeps so many frames on their way and times each.

use crate::flight::Flight;
use crate::frame;
use crate::link::{Link, Open};
use crate::pin;
use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use queue::{Burst, Queue};
use std::io::Write;
use std::time::{Duration, Instant};

/// Polls without a frame between two looks at the clock, which costs as much as some polls.
const IDLE_POLLS: u32 = 256;
/// Time without a frame after which those on their way count as lost. A hypervisor takes a core
/// away for some milliseconds; a queue that lost a frame never brings it back.
const STALL: Duration = Duration::from_millis(500);
/// Longest round trip told apart from longer ones: a frame is given up long before.
const ROUND_TRIP_NS_MAX: u64 = 60_000_000_000;
/// Length of an interval of the report.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

/// What to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Frames on their way at a time.
    pub(crate) in_flight: u32,
    /// Length of each, in bytes.
    pub(crate) bytes: u16,
    /// How long to measure.
    pub(crate) duration: Duration,
    /// How long to send before.
    pub(crate) warmup: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Time measured.
    pub(crate) took: Duration,
    /// Frames that came back in it.
    pub(crate) back: u64,
    /// Frames given up.
    pub(crate) lost: u64,
    /// Frames that came back to nobody.
    pub(crate) strays: u64,
    /// Frames on their way at the end.
    pub(crate) in_flight: u64,
    /// Round trips in nanoseconds.
    pub(crate) round_trip_ns: Histogram<u64>,
    /// Frames that came back in each [`INTERVAL`].
    pub(crate) intervals: Vec<u64>,
}

impl Outcome {
    /// Frames back in a second.
    #[expect(clippy::cast_precision_loss, reason = "2^53 frames take years")]
    pub(crate) fn rate(&self) -> f64 {
        self.back as f64 / self.took.as_secs_f64()
    }

    /// Prints the figures in a line.
    pub(crate) fn print(&self, load: &Load) -> Result<()> {
        let at = |percentile| self.round_trip_ns.value_at_percentile(percentile);
        writeln!(
            std::io::stdout(),
            "{:.0} frames/s of {} bytes there and back, {} in flight; round trip p50 {} ns, \
             p99 {} ns; lost {}, strays {}",
            self.rate(),
            load.bytes,
            load.in_flight,
            at(50.0),
            at(99.0),
            self.lost,
            self.strays
        )
        .context("standard output is closed")
    }
}

/// Sends until the time is over.
///
/// # Errors
/// Where no frame came back at all.
pub(crate) fn run(open: Open, link: &Link, load: &Load, cpu: Option<usize>) -> Result<Outcome> {
    pin(cpu)?;
    let template = frame::template(load.bytes, link.address());
    let outcome = match open {
        Open::Memif(_port, queue) => Sender::new(*queue, template, load)?.run(load),
        Open::Xdp(_port, queue) => Sender::new(*queue, template, load)?.run(load),
    };
    ensure!(
        outcome.back > 0,
        "not one frame came back: is 'floor reflect' running at the other end of the link?"
    );
    Ok(outcome)
}

struct Sender<Q> {
    queue: Q,
    template: Vec<u8>,
    flight: Flight,
    /// Frames that are to be sent, those included that the queue has refused.
    out: Burst,
    back: Burst,
    began: Instant,
    outcome: Outcome,
}

impl<Q: Queue> Sender<Q> {
    fn new(queue: Q, template: Vec<u8>, load: &Load) -> Result<Self> {
        let intervals = load.duration.as_nanos().div_ceil(INTERVAL.as_nanos());
        let outcome = Outcome {
            took: Duration::ZERO,
            back: 0,
            lost: 0,
            strays: 0,
            in_flight: 0,
            // Of a fixed size, so that recording never allocates.
            round_trip_ns: Histogram::new_with_bounds(1, ROUND_TRIP_NS_MAX, 3)
                .context("a histogram of 3 digits")?,
            intervals: vec![0; usize::try_from(intervals)?],
        };
        Ok(Self {
            queue,
            template,
            flight: Flight::new(load.in_flight),
            out: Burst::new(),
            back: Burst::new(),
            began: Instant::now(),
            outcome,
        })
    }

    fn run(mut self, load: &Load) -> Outcome {
        let mut now = self.began;
        let (measured_from, mut last_back) = (now + load.warmup, now);
        let until = measured_from + load.duration;
        let mut idle_polls = 0;
        while now < until {
            self.send(now);
            let came = self.queue.rx_burst(&mut self.back);
            idle_polls += 1;
            if came == 0 && idle_polls < IDLE_POLLS {
                std::hint::spin_loop();
                continue;
            }
            now = Instant::now();
            idle_polls = 0;
            if came > 0 {
                last_back = now;
                self.take_back(came, now, measured_from);
            } else if now - last_back > STALL {
                last_back = now;
                self.outcome.lost += self.flight.give_up();
            }
        }
        self.outcome.took = now - measured_from;
        self.outcome.in_flight = self.flight.len() as u64;
        for burst in [&mut self.out, &mut self.back] {
            let left = burst.len();
            burst.drain(left).for_each(|frame| self.queue.free(frame));
        }
        self.outcome
    }

    /// Fills the flight up as far as the burst has room and the queue has frames.
    fn send(&mut self, now: Instant) {
        let now_ns = self.ns(now);
        while self.out.room() > 0
            && self.flight.has_room()
            && let Some(mut frame) = self.queue.alloc()
        {
            let tag = self.flight.send(now_ns);
            // The template is never longer than frame::LEN_MAX.
            let len = u16::try_from(self.template.len()).unwrap_or(frame::LEN_MAX);
            let bytes = self.queue.bytes_mut(&mut frame, len);
            bytes.copy_from_slice(&self.template);
            frame::write_tag(bytes, tag);
            if let Err(frame) = self.out.push(frame) {
                self.queue.free(frame);
            }
        }
        self.queue.tx_burst(&mut self.out);
    }

    fn take_back(&mut self, came: usize, now: Instant, measured_from: Instant) {
        let now_ns = self.ns(now);
        let measured = now.checked_duration_since(measured_from);
        for frame in self.back.drain(came) {
            let tag = frame::read_tag(self.queue.bytes(&frame));
            self.queue.free(frame);
            match tag.map(|tag| self.flight.back(tag, now_ns)) {
                Some(Ok(took_ns)) => {
                    let Some(since) = measured else { continue };
                    self.outcome.back += 1;
                    self.outcome.round_trip_ns.saturating_record(took_ns);
                    let interval = (since.as_nanos() / INTERVAL.as_nanos()) as usize;
                    if let Some(count) = self.outcome.intervals.get_mut(interval) {
                        *count += 1;
                    }
                }
                Some(Err(_)) | None => self.outcome.strays += 1,
            }
        }
    }

    /// Nanoseconds since the first frame.
    fn ns(&self, now: Instant) -> u64 {
        u64::try_from((now - self.began).as_nanos()).unwrap_or(u64::MAX)
    }
}
