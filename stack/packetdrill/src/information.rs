//! What the code in a script may ask of a socket: `TCP_INFO`, as far as we have it.

use crate::calls::{Outcome, Stop, fail};
use crate::socket::Role;
use crate::world::{Fd, World};
use libc::{SO_MEMINFO, SOL_SOCKET, SOL_TCP, TCP_CC_INFO, TCP_INFO};
use tcp::State;

/// Places in `struct tcp_info` (`linux/tcp.h`), in bytes.
mod place {
    pub(super) const STATE: usize = 0;
    pub(super) const RTO_US: usize = 8;
    pub(super) const SND_MSS: usize = 16;
    pub(super) const UNACKED: usize = 24;
    pub(super) const SND_SSTHRESH: usize = 76;
    pub(super) const SND_CWND: usize = 80;
    pub(super) const ADVMSS: usize = 84;
    pub(super) const REORDERING: usize = 88;
}

/// What Linux takes for a threshold that was never set.
const SSTHRESH_INFINITE: u32 = 0x7fff_ffff;

impl World {
    /// Writes what is known into `value`, zero elsewhere. Returns its length in bytes.
    pub(crate) fn information(
        &mut self,
        fd: Fd,
        level: i32,
        name: i32,
        value: &mut [u8],
    ) -> Outcome<usize> {
        value.fill(0);
        match (level, name) {
            (SOL_TCP, TCP_INFO) => {
                self.tcp_info(fd, value)?;
                Ok(value.len())
            }
            // Of congestion control there is nothing that has a place there.
            (SOL_TCP, TCP_CC_INFO) => Ok(0),
            (SOL_SOCKET, SO_MEMINFO) => Ok(value.len()),
            _ => fail(libc::ENOPROTOOPT),
        }
    }

    fn tcp_info(&mut self, fd: Fd, value: &mut [u8]) -> Outcome<()> {
        let profile = self.profile;
        let socket = self.socket_of(fd)?;
        let advertised = socket.options.config(&profile).mss();
        let id = match socket.role {
            Role::Fresh { .. } => return put_byte(value, place::STATE, CLOSE),
            Role::Listener(_) => return put_byte(value, place::STATE, LISTEN),
            Role::Stream(id) => id,
        };
        let connection = self.connections.get(&id).ok_or(Stop::Errno(libc::EBADF))?;
        let tcb = &connection.tcb;
        let mss = u32::from(tcb.eff_snd_mss());
        let flight = tcb.snd().nxt.since(tcb.snd().una);
        let threshold = tcb.ssthresh_bytes();
        // Linux counts in segments.
        let ssthresh =
            if threshold >= SSTHRESH_INFINITE { threshold >> 1 } else { threshold / mss };
        let rto_us = u32::try_from(tcb.rto().as_micros()).unwrap_or(u32::MAX);
        put_byte(value, place::STATE, number(tcb.state()))?;
        put_word(value, place::RTO_US, rto_us)?;
        put_word(value, place::SND_MSS, mss)?;
        put_word(value, place::UNACKED, flight.div_ceil(mss))?;
        put_word(value, place::SND_SSTHRESH, ssthresh)?;
        put_word(value, place::SND_CWND, tcb.cwnd_bytes() / mss)?;
        put_word(value, place::ADVMSS, advertised.into())?;
        // DupThresh of RFC 6675, which never changes.
        put_word(value, place::REORDERING, 3)
    }
}

const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

/// `TCP_ESTABLISHED` and so on.
fn number(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => CLOSE,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Closing => 11,
    }
}

fn put_byte(value: &mut [u8], at: usize, byte: u8) -> Outcome<()> {
    *value.get_mut(at).ok_or(Stop::Errno(libc::EINVAL))? = byte;
    Ok(())
}

fn put_word(value: &mut [u8], at: usize, word: u32) -> Outcome<()> {
    let place = value.get_mut(at..at + 4).ok_or(Stop::Errno(libc::EINVAL))?;
    place.copy_from_slice(&word.to_ne_bytes());
    Ok(())
}
