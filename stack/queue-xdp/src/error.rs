//! Why a port or a queue could not be opened, with the likely cause and its cure.

use std::net::Ipv4Addr;
use std::{error, fmt, io};

/// Why a port or a queue could not be opened.
#[derive(Debug)]
pub enum Error {
    /// A value of the configuration is out of its bounds; the sentence says which.
    Config(String),
    /// There is no interface of this name in our network namespace.
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// The interface is not Ethernet.
    NotEthernet {
        /// Its name.
        interface: String,
    },
    /// The interface is down.
    InterfaceDown {
        /// Its name.
        interface: String,
    },
    /// A packet of the interface's MTU does not fit into a frame.
    MtuTooLarge {
        /// The interface's name.
        interface: String,
        /// Its MTU, in bytes.
        mtu: u32,
        /// The largest MTU that fits, in bytes.
        max: u32,
    },
    /// The kernel has the address that the queues are to own.
    KernelOwnsAddress {
        /// The address.
        ip: Ipv4Addr,
    },
    /// A capability is missing.
    NotPermitted {
        /// What was tried.
        action: &'static str,
        /// The capability that allows it.
        capability: &'static str,
    },
    /// The verifier refused the XDP program.
    ProgramRejected {
        /// What `bpf(BPF_PROG_LOAD)` returned.
        error: io::Error,
        /// What the verifier said.
        log: String,
    },
    /// Another XDP program is attached to the interface.
    ProgramAttached {
        /// The interface's name.
        interface: String,
    },
    /// The interface takes no program in the mode that was asked for.
    AttachRefused {
        /// The interface's name.
        interface: String,
        /// `native` or `generic`.
        mode: &'static str,
        /// What `bpf(BPF_LINK_CREATE)` returned.
        error: io::Error,
    },
    /// The interface has no queue of this number.
    NoQueue {
        /// The interface's name.
        interface: String,
        /// The number asked for.
        queue_id: u32,
        /// How many queues there are.
        queue_count: u32,
    },
    /// Another AF_XDP socket is bound to the queue.
    QueueBusy {
        /// The interface's name.
        interface: String,
        /// The queue's number.
        queue_id: u32,
    },
    /// Zero-copy was asked for, and the driver cannot.
    NoZeroCopy {
        /// The interface's name.
        interface: String,
        /// The name of its driver in the kernel.
        kernel_driver: String,
    },
    /// The UMEM exceeds what this process may lock.
    LockedMemory {
        /// Size of the UMEM, in bytes.
        umem_bytes: u64,
    },
    /// There is not enough memory.
    NoMemory {
        /// What it was wanted for.
        action: &'static str,
    },
    /// The kernel lacks something that is needed.
    KernelTooOld {
        /// What it lacks.
        lacks: &'static str,
    },
    /// Any other refusal by the kernel.
    System {
        /// What was tried.
        action: &'static str,
        /// What the kernel returned.
        error: io::Error,
    },
}

impl Error {
    /// Names a failed system call, and tells apart the causes that every call has in common.
    pub(crate) fn system(action: &'static str, capability: &'static str, error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted { action, capability },
            Some(libc::ENOSYS | libc::EAFNOSUPPORT | libc::ENOPROTOOPT) => {
                Self::KernelTooOld { lacks: action }
            }
            Some(libc::ENOMEM) => Self::NoMemory { action },
            _ => Self::System { action, error },
        }
    }
}

impl fmt::Display for Error {
    #[expect(clippy::too_many_lines, reason = "one arm per variant: the texts, and nothing else")]
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(sentence) => write!(out, "{sentence}"),
            Self::NoInterface { interface } => write!(
                out,
                "there is no interface `{interface}` in this network namespace: `ip link` lists \
                 those there are, `ip netns exec <namespace> ...` enters another namespace"
            ),
            Self::NotEthernet { interface } => {
                write!(out, "`{interface}` is not an Ethernet interface: choose one that is")
            }
            Self::InterfaceDown { interface } => {
                write!(out, "`{interface}` is down: bring it up with `ip link set {interface} up`")
            }
            Self::MtuTooLarge { interface, mtu, max } => write!(
                out,
                "the MTU of `{interface}` is {mtu} bytes, and a frame holds {max}: lower it with \
                 `ip link set {interface} mtu {max}`"
            ),
            Self::KernelOwnsAddress { ip } => write!(
                out,
                "the kernel has the address {ip}: the queues need one of their own, because the \
                 kernel would no longer see ARP and ICMP for it; choose another, or remove it with \
                 `ip address del`"
            ),
            Self::NotPermitted { action, capability } => write!(
                out,
                "no permission to {action} ({capability} is missing): run it as root, or give the \
                 program what it needs with: sudo setcap \
                 cap_net_raw,cap_net_admin,cap_bpf,cap_ipc_lock+ep <program>"
            ),
            Self::ProgramRejected { error, log } => {
                write!(out, "the kernel's verifier refused the XDP program: {error}\n{log}")
            }
            Self::ProgramAttached { interface } => write!(
                out,
                "another XDP program is attached to `{interface}`: `ip -d link show {interface}` \
                 names it; stop its owner, or remove it with `ip link set {interface} xdp off`"
            ),
            Self::AttachRefused { interface, mode, error } => write!(
                out,
                "`{interface}` takes no {mode} XDP program: {error}; try the other mode, and see \
                 `dmesg` for the driver's reason (often its MTU, ring sizes or queue count)"
            ),
            Self::NoQueue { interface, queue_id, queue_count } => write!(
                out,
                "`{interface}` has no queue {queue_id}, only {queue_count}, counted from 0: \
                 `ethtool -L {interface}` changes their number"
            ),
            Self::QueueBusy { interface, queue_id } => write!(
                out,
                "another AF_XDP socket is bound to queue {queue_id} of `{interface}`: \
                 `ss --xdp -p` names its owner"
            ),
            Self::NoZeroCopy { interface, kernel_driver } => write!(
                out,
                "zero-copy was asked for, and the driver `{kernel_driver}` of `{interface}` \
                 cannot: ask for copy or auto"
            ),
            Self::LockedMemory { umem_bytes } => write!(
                out,
                "a UMEM of {umem_bytes} bytes is more than this process may lock: raise the limit \
                 with `ulimit -l unlimited`, give the program cap_ipc_lock, or ask for fewer frames"
            ),
            Self::NoMemory { action } => {
                write!(out, "no memory to {action}: ask for fewer frames or smaller rings")
            }
            Self::KernelTooOld { lacks } => write!(
                out,
                "this kernel cannot {lacks}: Linux 5.11 or newer with CONFIG_XDP_SOCKETS and \
                 CONFIG_BPF_SYSCALL is needed (see `uname -r`)"
            ),
            Self::System { action, error } => write!(out, "cannot {action}: {error}"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::ProgramRejected { error, .. }
            | Self::AttachRefused { error, .. }
            | Self::System { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_kernel_are_told_apart() {
        let text = |errno| {
            Error::system("map a UMEM", "CAP_X", io::Error::from_raw_os_error(errno)).to_string()
        };
        assert!(text(libc::ENOMEM).contains("no memory to map a UMEM: ask for fewer frames"));
        assert!(text(libc::EPERM).contains("(CAP_X is missing): run it as root"));
        assert!(text(libc::EAFNOSUPPORT).contains("cannot map a UMEM: Linux 5.11 or newer"));
        assert!(text(libc::EIO).starts_with("cannot map a UMEM: Input/output error"));
        let text = Error::LockedMemory { umem_bytes: 8 << 20 }.to_string();
        assert!(text.contains("8388608 bytes is more than this process may lock"), "{text}");
    }
}
