//! Where the systems that scripts were written for differ, and what stands in for their `sysctl`.
//!
//! A profile sets what any program could set: sizes of buffers, time-outs, which options are
//! offered, in which order they stand in a SYN. What the state machine does is never part of it.

use std::time::Duration;
use tcp::{Config, KeepAlive};

/// The order of options in a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Our own, which is that of Linux.
    Linux,
    /// MSS, window scale, SACK-permitted, timestamps; ends of the list for padding.
    FreeBsd,
}

/// Settings of the system that a script expects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    pub(crate) layout: Layout,
    /// Receive buffer of a new socket, in bytes.
    pub(crate) receive_bytes: u32,
    /// What the system may let a receive buffer grow to: the window scale is chosen for it.
    pub(crate) receive_max_bytes: u32,
    /// Send buffer of a new socket, in bytes.
    pub(crate) send_bytes: u32,
    /// Keep-alives of a socket that asks for them.
    pub(crate) keep_alive: KeepAlive,
    /// Everything else that a connection is told.
    pub(crate) config: Config,
}

/// MTU of packetdrill's device by default, in bytes.
const MTU: u16 = 1500;

impl Profile {
    /// What Google's scripts expect once their `defaults.sh` has run.
    pub(crate) fn linux() -> Self {
        Self {
            layout: Layout::Linux,
            receive_bytes: 540_000,
            receive_max_bytes: 15 << 20,
            send_bytes: 4 << 20,
            keep_alive: KeepAlive::LINUX,
            config: Config {
                // Linux acknowledges the first segments of a connection without delay.
                ack_delay: Duration::ZERO,
                ..Config::new(0, MTU)
            },
        }
    }

    /// What FreeBSD's scripts expect once their first commands have run.
    pub(crate) fn freebsd() -> Self {
        Self {
            layout: Layout::FreeBsd,
            receive_bytes: 65_536,
            receive_max_bytes: 2 << 20,
            send_bytes: 32_768,
            keep_alive: KeepAlive { probes: 8, ..KeepAlive::LINUX },
            config: Config { ack_every_second: true, ..Config::new(0, MTU) },
        }
    }

    /// Reads the flags that packetdrill passes on from `--so_flags`.
    ///
    /// # Errors
    /// If one of the words is not known.
    pub(crate) fn parse(flags: &str) -> Result<Self, String> {
        let mut profile = Self::linux();
        for word in flags.split([',', ' ']).filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                None if word == "linux" => profile = Self::linux(),
                None if word == "freebsd" => profile = Self::freebsd(),
                Some(("mtu", value)) => profile.config.mtu = number(word, value)?,
                _ => return Err(format!("{word}: the flags are linux, freebsd and mtu=BYTES")),
            }
        }
        Ok(profile)
    }

    /// Applies what the stand-in for `sysctl` has written down: lines of `name=value`, the later
    /// ones winning. Names that mean nothing to us are passed over, as their scripts could not do
    /// otherwise on another system either.
    ///
    /// # Errors
    /// If the value of a known name is not a number in range.
    pub(crate) fn sysctl(&mut self, lines: &str) -> Result<(), String> {
        for line in lines.lines() {
            let Some((name, value)) = line.split_once('=') else { continue };
            self.set(name.trim(), value.trim()).map_err(|value| format!("{line}: {value}"))?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let config = &mut self.config;
        match name {
            "net.inet.tcp.rfc1323" => {
                config.timestamps = flag(value)?;
                config.window_scaling = flag(value)?;
            }
            "net.ipv4.tcp_timestamps" => config.timestamps = flag(value)?,
            "net.ipv4.tcp_window_scaling" => config.window_scaling = flag(value)?,
            "net.inet.tcp.sack.enable" | "net.ipv4.tcp_sack" => config.sack = flag(value)?,
            "net.inet.tcp.recvspace" => self.receive_bytes = number(name, value)?,
            "net.inet.tcp.sendspace" => self.send_bytes = number(name, value)?,
            "kern.ipc.maxsockbuf" => self.receive_max_bytes = saturated(name, value)?,
            "net.inet.tcp.rexmit_initial" => config.initial_rto = millis(name, value)?,
            "net.inet.tcp.delacktime" => config.ack_delay = millis(name, value)?,
            "net.inet.tcp.keepidle" => self.keep_alive.idle = millis(name, value)?,
            "net.inet.tcp.keepintvl" => self.keep_alive.interval = millis(name, value)?,
            "net.inet.tcp.keepcnt" => self.keep_alive.probes = number(name, value)?,
            "net.inet.tcp.keepinit" => config.syn_timeout = millis(name, value)?,
            _ => {}
        }
        Ok(())
    }
}

fn flag(value: &str) -> Result<bool, String> {
    Ok(number::<u32>("a switch", value)? != 0)
}

fn millis(name: &str, value: &str) -> Result<Duration, String> {
    number(name, value).map(Duration::from_millis)
}

/// A size that another system may take larger than we can say.
fn saturated(name: &str, value: &str) -> Result<u32, String> {
    let bytes = number::<u64>(name, value)?;
    Ok(u32::try_from(bytes).unwrap_or(u32::MAX))
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value} is not a number in range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_a_system_and_its_mtu() {
        let profile = Profile::parse("freebsd,mtu=9000").expect("they are flags");
        assert_eq!((profile.layout, profile.config.mtu), (Layout::FreeBsd, 9000));
        assert_eq!(Profile::parse("").expect("none is needed").layout, Layout::Linux);
        assert!(Profile::parse("solaris").is_err_and(|text| text.contains("solaris")));
        assert!(Profile::parse("mtu=100000").is_err());
    }

    #[test]
    fn the_last_line_of_a_sysctl_wins() {
        let mut profile = Profile::freebsd();
        let lines = "net.inet.tcp.sack.enable=0\nnet.inet.tcp.rfc1323=0\nvm.swappiness=x\n\
                     net.inet.tcp.sack.enable=1\nkern.ipc.maxsockbuf=4294967295000\n";
        profile.sysctl(lines).expect("all are numbers");
        assert!(profile.config.sack && !profile.config.timestamps);
        assert_eq!(profile.receive_max_bytes, u32::MAX);
        assert!(profile.sysctl("net.inet.tcp.recvspace=many").is_err());
    }
}
