//! SYN cookies (RFC 4987 §3.6): a handshake without memory. What must be known of it comes back
//! with the peer's ACK.
//!
//! ```text
//!   31   29 28     24 23                        0
//!  +-------+---------+---------------------------+
//!  |  MSS  |  time   |  keyed hash of everything |      the ISN; its first byte is masked
//!  +-------+---------+---------------------------+
//!                                 4 | 3         0
//!  +--------------------------------+------------+
//!  |          clock                 S  | wscale  |      TSval, if the SYN had timestamps
//!  +--------------------------------+------------+
//! ```

use crate::config::Config;
use crate::isn::{FourTuple, Purpose, Secret, keyed_hash};
use crate::segment::{Segment, SegmentOut};
use crate::seq::Seq;
use crate::syn_cache::HalfOpen;
use crate::tcb::millis;
use crate::time::Instant;

/// What a cookie can say of the peer's MSS, in bytes: the largest that is not above it.
const MSS_TABLE: [u16; 8] = [64, 536, 1024, 1220, 1380, 1440, 1460, 8960];

/// A cookie is good in its own period and in the next one: for one to two minutes.
const PERIOD_NS: u64 = 64_000_000_000;

/// The bits of `TSval` that carry options.
const CLOCK_MASK: u32 = 0x1f;
const CLOCK_SACK: u32 = 0x10;
const CLOCK_WSCALE: u32 = 0x0f;
/// No window scaling: shifts end at 14.
const WSCALE_NONE: u8 = 15;

/// The hash, of 24 bits, and the mask of the first byte, which depends on nothing that varies
/// between two cookies for the same SYN.
#[expect(clippy::cast_possible_truncation, reason = "some bits of a SipHash are as good as others")]
fn hash(secret: &Secret, tuple: &FourTuple, irs: Seq, first: u8, period: u64) -> (u32, u8) {
    let salt = u64::from(irs.0) << 32 | u64::from(first) << 24 | (period & 0xff_ffff);
    let mac = keyed_hash(secret, Purpose::Cookie, tuple, salt) as u32 & 0xff_ffff;
    let pad = keyed_hash(secret, Purpose::CookiePad, tuple, u64::from(mac)) as u8;
    (mac, pad)
}

/// The SYN-ACK that answers `syn` and remembers nothing.
#[must_use]
pub fn encode(
    secret: &Secret,
    tuple: &FourTuple,
    now: Instant,
    config: &Config,
    syn: &Segment<'_>,
) -> SegmentOut {
    let mut half_open = HalfOpen::new(now, config, Seq(0), 0, syn);
    if half_open.timestamps.is_none() {
        // There is nowhere to keep these.
        half_open.sack = false;
        half_open.wscale = None;
    }
    let period = now.as_nanos() / PERIOD_NS;
    let index = MSS_TABLE.iter().rposition(|mss| *mss <= half_open.mss).unwrap_or(0);
    let first = u8::try_from(index).unwrap_or(0) << 5 | u8::try_from(period % 32).unwrap_or(0);
    let (mac, pad) = hash(secret, tuple, syn.seq, first, period);
    half_open.iss = Seq(u32::from(first ^ pad) << 24 | mac);
    half_open.syn_ack_at(config, clock(now, &half_open))
}

/// A clock that says what the options are, and is not ahead of the time.
fn clock(now: Instant, half_open: &HalfOpen) -> u32 {
    let wscale = half_open.wscale.unwrap_or(WSCALE_NONE);
    let bits = u32::from(wscale) | if half_open.sack { CLOCK_SACK } else { 0 };
    let now_ms = millis(now);
    let clock = now_ms & !CLOCK_MASK | bits;
    if clock > now_ms { clock.wrapping_sub(CLOCK_MASK + 1) } else { clock }
}

/// What `ack`, which belongs to no connection, says of the handshake that it completes; `None` if
/// its acknowledgement number is no cookie of ours, or too old.
///
/// The connection that comes of it is shown the segment next, as after a [`HalfOpen`]. ICMP errors
/// are never for a handshake that only a cookie remembers.
#[must_use]
pub fn decode(
    secret: &Secret,
    tuple: &FourTuple,
    now: Instant,
    config: &Config,
    ack: &Segment<'_>,
) -> Option<HalfOpen> {
    if !ack.has_ack() || ack.syn() || ack.rst() {
        return None;
    }
    let (iss, irs) = (ack.ack - 1, ack.seq - 1);
    let mac = iss.0 & 0xff_ffff;
    let current = now.as_nanos() / PERIOD_NS;
    let pad = keyed_hash(secret, Purpose::CookiePad, tuple, u64::from(mac)).to_le_bytes()[0];
    let first = u8::try_from(iss.0 >> 24).ok()? ^ pad;
    let age = (current + 32 - u64::from(first & 0x1f)) % 32;
    let period = current.checked_sub(age).filter(|_| age < 2)?;
    if hash(secret, tuple, irs, first, period).0 != mac {
        return None;
    }
    let timestamps = ack.options.timestamps.filter(|_| config.timestamps);
    let bits = timestamps.map_or(CLOCK_WSCALE, |timestamps| timestamps.ecr);
    let wscale = u8::try_from(bits & CLOCK_WSCALE).ok()?;
    Some(HalfOpen {
        iss,
        irs,
        mss: MSS_TABLE[usize::from(first >> 5)],
        wnd: ack.wnd,
        timestamps: timestamps.map(|timestamps| timestamps.val),
        wscale: (wscale != WSCALE_NONE && config.window_scaling).then_some(wscale),
        sack: bits & CLOCK_SACK != 0 && config.sack,
        ..HalfOpen::default()
    })
}
