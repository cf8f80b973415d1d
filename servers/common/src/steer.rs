//! Which thread gets a new connection: `--steer`.

use crate::{CpuList, Endpoint, sys};
use clap::{Args, ValueEnum};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// How the kernel chooses among the listeners of the threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Steer {
    /// By a hash of addresses and ports: evenly, wherever the packets arrive
    Hash,
    /// By a BPF program: the thread on the CPU where the first packet arrived; from CPUs without a
    /// thread, round robin over the threads by CPU number
    Cbpf,
    /// By SO_INCOMING_CPU: as cbpf, but from CPUs without a thread by the hash (Linux 6.2)
    IncomingCpu,
}

impl Steer {
    /// The flag's spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Cbpf => "cbpf",
            Self::IncomingCpu => "incoming-cpu",
        }
    }
}

/// The flag of servers that can choose which thread gets a connection.
#[derive(Args, Clone, Copy, Debug)]
pub struct SteerFlags {
    /// Which thread gets a new connection; by CPU is for NICs whose queues interrupt those CPUs
    #[arg(long, value_enum, default_value_t = Steer::Hash)]
    pub steer: Steer,
}

impl Steer {
    /// Has the kernel choose so among `endpoints`, the nth of which belongs to the nth of `cpus`.
    ///
    /// # Errors
    /// A sentence where it cannot: the cause and the cure.
    pub fn apply(self, endpoints: &[Endpoint], cpus: Option<&CpuList>) -> Result<(), String> {
        let cpus = match (self, cpus) {
            (Self::Hash, _) => return Ok(()),
            (_, Some(cpus)) => cpus.as_slice(),
            (_, None) => {
                return Err(format!(
                    "--steer {} needs threads that stay on their CPU: give --cpus as well",
                    self.name()
                ));
            }
        };
        let listeners: Vec<_> = endpoints.iter().map(|it| it.listener.as_fd()).collect();
        let datagrams: Vec<_> =
            endpoints.iter().filter_map(|it| it.datagrams.as_ref()).map(AsFd::as_fd).collect();
        for sockets in [listeners, datagrams] {
            self.choose(&sockets, cpus).map_err(|error| {
                format!(
                    "--steer {} cannot be had ({error}): use --steer hash (uname -r shows the \
                     kernel's version)",
                    self.name()
                )
            })?;
        }
        Ok(())
    }

    fn choose(self, sockets: &[BorrowedFd<'_>], cpus: &[usize]) -> io::Result<()> {
        match (self, sockets.first()) {
            (Self::Cbpf, Some(first)) => sys::choose_by_program(*first, &mut program(cpus)),
            (Self::IncomingCpu, _) => sockets.iter().zip(cpus).try_for_each(|(socket, cpu)| {
                let cpu = i32::try_from(*cpu).map_err(io::Error::other)?;
                sys::set_option(*socket, libc::SOL_SOCKET, libc::SO_INCOMING_CPU, cpu)
            }),
            (Self::Hash, _) | (Self::Cbpf, None) => Ok(()),
        }
    }
}

/// `A = CPU; if A == cpus[0] return 0; if A == cpus[1] return 1; …; return A mod cpus.len()`, in
/// the instructions of classic BPF (`linux/filter.h`).
fn program(cpus: &[usize]) -> Vec<libc::sock_filter> {
    let instruction = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).expect("every code of classic BPF fits"),
        jt,
        jf,
        k,
    };
    let small = |number: usize| u32::try_from(number).expect("CPUs are numbered below 1024");
    // SKF_AD_CPU is an address below zero, as the kernel's extensions all are.
    let current_cpu = (libc::SKF_AD_OFF + libc::SKF_AD_CPU).cast_unsigned();
    let mut program =
        vec![instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, current_cpu)];
    for (index, cpu) in cpus.iter().enumerate() {
        program.push(instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, small(*cpu)));
        program.push(instruction(libc::BPF_RET | libc::BPF_K, 0, 0, small(index)));
    }
    program.push(instruction(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, 0, 0, small(cpus.len())));
    program.push(instruction(libc::BPF_RET | libc::BPF_A, 0, 0, 0));
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listeners;
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::str::FromStr;

    /// Connects from a thread on `cpu`: over loopback the first packet arrives where it was sent.
    /// `None` where this process may not run there.
    fn connect_from(cpu: usize, address: SocketAddr) -> Option<TcpStream> {
        let connect = move || {
            sys::pin_to_cpu(cpu).ok()?;
            Some(TcpStream::connect(address).expect("it listens"))
        };
        std::thread::spawn(connect).join().expect("no panic")
    }

    fn check(steer: Steer, list: &str, from: usize, expect: usize) {
        let cpus = CpuList::from_str(list).expect("a list");
        let count = cpus.as_slice().len();
        let (address, sockets) = listeners(([127, 0, 0, 1], 0).into(), 16, count).expect("free");
        let endpoint = |listener| Endpoint { listener, datagrams: None };
        let endpoints: Vec<_> = sockets.into_iter().map(endpoint).collect();
        steer.apply(&endpoints, Some(&cpus)).expect("any supported kernel");
        let connections: Vec<_> = (0..8).map_while(|_| connect_from(from, address)).collect();
        let listeners: Vec<_> =
            endpoints.into_iter().map(|it| TcpListener::from(it.listener)).collect();
        let mut accepted = vec![0; count];
        // Each arrives somewhere; until the last acknowledgement has, there is nothing to accept.
        while accepted.iter().sum::<usize>() < connections.len() {
            for (listener, accepted) in listeners.iter().zip(&mut accepted) {
                *accepted += usize::from(listener.accept().is_ok());
            }
        }
        let mut all = vec![0; count];
        all[expect] = connections.len();
        assert_eq!(accepted, all, "{steer:?} {list} from {from}");
    }

    #[test]
    fn a_connection_goes_to_the_thread_of_its_cpu() {
        for steer in [Steer::Cbpf, Steer::IncomingCpu] {
            for (list, from, expect) in [("0,1", 0, 0), ("0,1", 1, 1), ("1,0", 0, 1), ("1,0", 1, 0)]
            {
                check(steer, list, from, expect);
            }
        }
    }

    #[test]
    fn from_a_cpu_without_a_thread_the_program_counts_round() {
        check(Steer::Cbpf, "5,6", 0, 0);
        check(Steer::Cbpf, "5,6", 1, 1);
        check(Steer::Cbpf, "7,1,6", 0, 0);
    }

    #[test]
    fn without_cpus_it_is_refused() {
        let message = Steer::Cbpf.apply(&[], None).expect_err("no CPUs");
        assert!(message.contains("--steer cbpf") && message.contains("--cpus"), "{message}");
        Steer::Hash.apply(&[], None).expect("nothing to do");
    }
}
