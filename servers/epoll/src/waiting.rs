//! What `--wait` asks of the kernel besides `epoll_wait`: polling, and suspended interrupts.

use crate::sys::{self, BUSY_POLL_BUDGET, Epoll};
use server_common::{Details, Interface, Suspension, Wait, pollable, polled_details};
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// How long a thread polls before it sleeps while interrupts are suspended: not at all. As long as
/// there are packets the next wait polls; when there are none, the device is to interrupt.
const SUSPENDED_POLL: Duration = Duration::ZERO;

/// What was prepared for all threads.
pub(crate) struct Waiting {
    wait: Wait,
    /// None where the device is not polled.
    interfaces: Vec<Interface>,
    /// Ended when this is dropped.
    _suspension: Option<Suspension>,
}

impl Waiting {
    /// Sees whether `wait` can be had on the address that the server will listen on.
    ///
    /// # Errors
    /// A sentence where it cannot: the cause and the cure.
    pub(crate) fn prepare(wait: Wait, listen: SocketAddr) -> Result<Self, String> {
        let told = |sentence| format!("--wait {wait} cannot be had: {sentence}");
        if poll_time(wait).is_none() {
            return Ok(Self { wait, interfaces: Vec::new(), _suspension: None });
        }
        Epoll::new()
            .and_then(|epoll| set_busy_poll(&epoll, wait))
            .map_err(|e| told(explain(&e)))?;
        let interfaces = pollable(listen).map_err(told)?;
        let suspension = match wait {
            Wait::Suspend(timeout) => Some(Suspension::begin(&interfaces, timeout).map_err(told)?),
            Wait::Block | Wait::Spin | Wait::BusyPoll(_) => None,
        };
        Ok(Self { wait, interfaces, _suspension: suspension })
    }

    /// What the ready line says, but for what each thread finds out.
    pub(crate) fn details(&self) -> Details {
        let mut details = Details::new();
        details.insert("wait".to_owned(), self.wait.to_string().into());
        if let Some(time) = poll_time(self.wait) {
            details.extend(polled_details(&self.interfaces));
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            details.insert("busy_poll_us".to_owned(), micros.into());
            details.insert("busy_poll_budget".to_owned(), BUSY_POLL_BUDGET.into());
        }
        details
    }
}

/// How long `wait` has a thread poll the device before it sleeps; `None`: it polls none.
fn poll_time(wait: Wait) -> Option<Duration> {
    match wait {
        Wait::Block | Wait::Spin => None,
        Wait::BusyPoll(time) => Some(time),
        Wait::Suspend(_) => Some(SUSPENDED_POLL),
    }
}

/// Has `epoll` poll as `wait` says.
pub(crate) fn set_busy_poll(epoll: &Epoll, wait: Wait) -> io::Result<()> {
    poll_time(wait).map_or(Ok(()), |time| epoll.set_busy_poll(time))
}

/// Has calls on connections accepted from `listener` poll as well, and says whether they do: that
/// takes CAP_NET_ADMIN, and waiting polls without it.
pub(crate) fn set_socket_busy_poll(listener: BorrowedFd<'_>, wait: Wait) -> io::Result<Details> {
    let mut details = Details::new();
    if let Some(time) = poll_time(wait).filter(|time| !time.is_zero()) {
        let set = match sys::set_socket_busy_poll(listener, time) {
            Ok(()) => true,
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => false,
            Err(error) => return Err(error),
        };
        details.insert("so_busy_poll".to_owned(), set.into());
    }
    Ok(details)
}

/// Whether `wait` has the device polled, but `socket`'s packets came by none that can be.
pub(crate) fn is_missed(socket: BorrowedFd<'_>, wait: Wait) -> io::Result<bool> {
    Ok(poll_time(wait).is_some() && sys::napi_id(socket)? == 0)
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOTTY | libc::EINVAL) => {
            "Linux 6.9 is needed (uname -r shows this one); use --wait spin".to_owned()
        }
        _ => format!("EPIOCSPARAMS: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocking_and_spinning_need_nothing() {
        for wait in [Wait::Block, Wait::Spin] {
            let waiting = Waiting::prepare(wait, ([127, 0, 0, 1], 80).into()).expect("any kernel");
            let mut expect = Details::new();
            expect.insert("wait".to_owned(), wait.name().into());
            assert_eq!(waiting.details(), expect);
        }
    }

    #[test]
    fn an_old_kernel_is_named_as_the_cause() {
        let message = explain(&io::Error::from_raw_os_error(libc::ENOTTY));
        assert!(message.contains("Linux 6.9") && message.contains("--wait spin"), "{message}");
    }

    #[test]
    fn a_suspended_device_is_not_polled_in_vain() {
        assert_eq!(poll_time(Wait::Suspend(Duration::from_millis(20))), Some(Duration::ZERO));
    }
}
