//! Options of sockets that scripts set or look at.

use crate::calls::{Outcome, Stop, fail};
use crate::socket::Role;
use crate::world::{Fd, World};
use std::time::Duration;

/// Longest value of an option that we answer, in bytes: an `int`, or a name.
pub(crate) const VALUE_MAX: usize = 16;

impl World {
    pub(crate) fn setsockopt(
        &mut self,
        fd: Fd,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Outcome<()> {
        let profile = self.profile;
        let id = match self.socket_of(fd)?.role {
            Role::Stream(id) => Some(id),
            Role::Fresh { .. } | Role::Listener(_) => None,
        };
        let number = int(value);
        let options = &mut self.socket_of(fd)?.options;
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_REUSEADDR) => options.has_reuse_address = flag(number)?,
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => options.has_keep_alive = flag(number)?,
            // Linux doubles what it is asked for.
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => options.send_bytes = 2 * count(number)?,
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => options.receive_bytes = 2 * count(number)?,
            (libc::SOL_SOCKET, libc::SO_LINGER) => {
                let on = flag(number)?;
                let seconds = int(value.get(4..).unwrap_or_default());
                let time = Duration::from_secs(count(seconds)?.into());
                options.linger = on.then_some(time);
            }
            (libc::IPPROTO_TCP, libc::TCP_NODELAY) => options.has_no_delay = flag(number)?,
            (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => {
                let mss = count(number)?;
                let largest = profile.config.mss();
                let mss = u16::try_from(mss).ok().filter(|mss| (64..=largest).contains(mss));
                options.max_segment = Some(mss.ok_or(Stop::Errno(libc::EINVAL))?);
            }
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => options.keep_alive.idle = seconds(number)?,
            (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => {
                options.keep_alive.interval = seconds(number)?;
            }
            (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => {
                let probes = u8::try_from(count(number)?).map_err(|_| Stop::Errno(libc::EINVAL))?;
                options.keep_alive.probes = probes;
            }
            (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => {
                options.user_timeout = Some(Duration::from_millis(count(number)?.into()));
            }
            (libc::IPPROTO_TCP, libc::TCP_INQ) => options.tells_unread = flag(number)?,
            (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER) => {
                // A byte will do for the options of IPv4, as it does for Linux.
                let mode = *value.first().ok_or(Stop::Errno(libc::EINVAL))?;
                options.ip.dont_fragment = match i32::from(mode) {
                    libc::IP_PMTUDISC_DONT => false,
                    libc::IP_PMTUDISC_WANT | libc::IP_PMTUDISC_DO => true,
                    _ => return fail(libc::EINVAL),
                };
            }
            (libc::IPPROTO_IP, libc::IP_TTL) => options.ip.ttl = byte(number)?,
            (libc::IPPROTO_IP, libc::IP_TOS) => {
                options.ip.tos = *value.first().ok_or(Stop::Errno(libc::EINVAL))?;
            }
            _ => return fail(libc::ENOPROTOOPT),
        }
        let options = *options;
        if let Some(connection) = id.and_then(|id| self.connections.get_mut(&id)) {
            // What a connection can be told while it is open.
            connection.ip = options.ip;
            connection.tcb.nagle(!options.has_no_delay);
            if let Some(timeout) = options.user_timeout {
                connection.tcb.user_timeout(timeout);
            }
        }
        if let Some(id) = id {
            self.settle(id);
        }
        Ok(())
    }

    /// The value of an option that is an `int`.
    pub(crate) fn getsockopt(&mut self, fd: Fd, level: i32, name: i32) -> Outcome<i32> {
        let socket = self.socket_of(fd)?;
        let options = socket.options;
        let is_listening = matches!(socket.role, Role::Listener(_));
        let id = match socket.role {
            Role::Stream(id) => Some(id),
            Role::Fresh { .. } | Role::Listener(_) => None,
        };
        let default_mss = self.profile.config.mss();
        let connection = id.and_then(|id| self.connections.get_mut(&id));
        let value = match (level, name) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => {
                return Ok(connection.and_then(|it| it.error.take()).unwrap_or(0));
            }
            (libc::SOL_SOCKET, libc::SO_TYPE) => return Ok(libc::SOCK_STREAM),
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => return Ok(is_listening.into()),
            (libc::SOL_SOCKET, libc::SO_REUSEADDR) => return Ok(options.has_reuse_address.into()),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => return Ok(options.has_keep_alive.into()),
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => u64::from(options.send_bytes),
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => {
                connection.map_or(options.receive_bytes, |it| it.receive_bytes).into()
            }
            (libc::IPPROTO_TCP, libc::TCP_NODELAY) => return Ok(options.has_no_delay.into()),
            (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => {
                let open = connection.filter(|it| it.was_opened);
                let mss = open.map(|it| it.tcb.eff_snd_mss());
                mss.or(options.max_segment).unwrap_or(default_mss).into()
            }
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => options.keep_alive.idle.as_secs(),
            (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => options.keep_alive.interval.as_secs(),
            (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => options.keep_alive.probes.into(),
            (libc::IPPROTO_TCP, libc::TCP_INQ) => return Ok(options.tells_unread.into()),
            (libc::IPPROTO_IP, libc::IP_TTL) => options.ip.ttl.into(),
            (libc::IPPROTO_IP, libc::IP_TOS) => options.ip.tos.into(),
            _ => return fail(libc::ENOPROTOOPT),
        };
        i32::try_from(value).map_err(|_| Stop::Errno(libc::EINVAL))
    }

    pub(crate) fn fcntl(&mut self, fd: Fd, command: i32, argument: i32) -> Outcome<i32> {
        let socket = self.socket_of(fd)?;
        match command {
            libc::F_GETFL => {
                let nonblocking = if socket.is_nonblocking { libc::O_NONBLOCK } else { 0 };
                Ok(libc::O_RDWR | nonblocking)
            }
            libc::F_SETFL => {
                socket.is_nonblocking = argument & libc::O_NONBLOCK != 0;
                Ok(0)
            }
            libc::F_GETFD | libc::F_SETFD => Ok(0),
            _ => fail(libc::EINVAL),
        }
    }

    /// What `TCP_INQ` has `recvmsg` say: bytes still to be read, `None` where it is off. Behind the
    /// last of them the end counts as one, so that somebody reads it.
    pub(crate) fn unread_hint(&mut self, fd: Fd) -> Outcome<Option<i32>> {
        let socket = self.socket_of(fd)?;
        let Role::Stream(id) = socket.role else { return Ok(None) };
        if !socket.options.tells_unread {
            return Ok(None);
        }
        let connection = self.connections.get(&id).ok_or(Stop::Errno(libc::EBADF))?;
        let count = connection.input.len();
        let count = if count == 0 { usize::from(connection.tcb.is_eof()) } else { count };
        i32::try_from(count).map(Some).map_err(|_| Stop::Errno(libc::EINVAL))
    }

    /// The number that an `ioctl` asks for.
    pub(crate) fn ioctl(&mut self, fd: Fd, request: u64) -> Outcome<i32> {
        let Role::Stream(id) = self.socket_of(fd)?.role else { return fail(libc::EINVAL) };
        let connection = self.connections.get(&id).ok_or(Stop::Errno(libc::EBADF))?;
        let count = match request {
            // `SIOCINQ`
            libc::FIONREAD => connection.input.len(),
            // `SIOCOUTQ`
            libc::TIOCOUTQ => connection.output.0.len(),
            _ => return fail(libc::EINVAL),
        };
        i32::try_from(count).map_err(|_| Stop::Errno(libc::EINVAL))
    }
}

fn int(value: &[u8]) -> Option<i32> {
    value.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))
}

fn flag(number: Option<i32>) -> Outcome<bool> {
    number.map(|number| number != 0).ok_or(Stop::Errno(libc::EINVAL))
}

fn count(number: Option<i32>) -> Outcome<u32> {
    let number = number.and_then(|number| u32::try_from(number).ok());
    number.filter(|number| *number < 1 << 30).ok_or(Stop::Errno(libc::EINVAL))
}

fn byte(number: Option<i32>) -> Outcome<u8> {
    u8::try_from(count(number)?).map_err(|_| Stop::Errno(libc::EINVAL))
}

fn seconds(number: Option<i32>) -> Outcome<Duration> {
    match count(number)? {
        0 => fail(libc::EINVAL),
        seconds => Ok(Duration::from_secs(seconds.into())),
    }
}
