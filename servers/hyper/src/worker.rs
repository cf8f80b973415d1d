//! One thread: a current-thread runtime, a listener, and a task per connection.

use crate::supervise::{Ending, Stage};
use crate::vitals::Vitals;
use crate::{connection, echo, socket::Socket};
use hyper::server::conn::http1;
use server_common::{
    Admission, Counters, Endpoint, Service, Shutdown, Worker, is_out_of_descriptors,
};
use server_http::Limits;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Pause of the listener after an accept that would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all threads are set up with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) service: Service,
    pub(crate) limits: &'static Limits,
    pub(crate) admission: Admission,
    pub(crate) drain_timeout: Duration,
}

/// What the connections of one thread share.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) http: http1::Builder,
    pub(crate) ending: Ending,
    setup: Setup,
    counters: Arc<Counters>,
    open: Cell<usize>,
    /// A connection is gone.
    gone: Notify,
}

/// Serves the sockets of `endpoint` until the shutdown is requested, then drains.
///
/// # Errors
/// Whatever setting the runtime up returns.
pub(crate) fn run(setup: &Setup, endpoint: Endpoint, worker: &Worker) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())?;
    let thread = Rc::new(Thread {
        http: connection::builder(setup.limits),
        ending: Ending::default(),
        setup: setup.clone(),
        counters: worker.counters.clone(),
        open: Cell::new(0),
        gone: Notify::new(),
    });
    runtime.block_on(async {
        let listener = TcpListener::from_std(endpoint.listener.into())?;
        let datagrams = endpoint.datagrams.map(UdpSocket::from_std).transpose()?;
        let shutdown = watch(worker.shutdown.clone())?;
        worker.ready(server_common::Details::new());
        tokio::select! {
            biased;
            requested = shutdown.readable() => requested?.retain_ready(),
            () = accept(&thread, &listener) => {}
            () = echo::serve_datagrams(datagrams.as_ref(), &thread.counters) => {}
        }
        drop(listener);
        drain(&thread).await;
        Ok(())
    })
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe, because an fd may change or close while it is watched; \
              the eventfd of a Shutdown does neither as long as one clone of it lives"
)]
fn watch(shutdown: Shutdown) -> io::Result<AsyncFd<Event>> {
    AsyncFd::new(Event(shutdown))
}

/// The shutdown's eventfd, for as long as tokio watches it.
struct Event(Shutdown);

impl AsRawFd for Event {
    fn as_raw_fd(&self) -> RawFd {
        self.0.event().as_raw_fd()
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.event()
    }
}

/// Accepts for ever, each connection into a task of its own.
async fn accept(thread: &Rc<Thread>, listener: &TcpListener) {
    let counters = &thread.counters;
    loop {
        match listener.accept().await {
            Ok((stream, _)) if thread.setup.admission.admit() => {
                counters.connections_accepted.add(1);
                thread.open.set(thread.open.get() + 1);
                tokio::task::spawn_local(serve(stream, thread.clone()));
            }
            // Dropped, and so closed.
            Ok(_) => counters.connections_refused.add(1),
            // It would fail again at once until a connection has freed a descriptor.
            Err(error) => {
                let out = is_out_of_descriptors(&error);
                if out { &counters.accept_no_descriptors } else { &counters.accept_errors }.add(1);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, from its first byte to its counters.
async fn serve(stream: TcpStream, thread: Rc<Thread>) {
    let vitals = Rc::new(Vitals::new(thread.setup.limits, thread.counters.clone()));
    let count = match stream.set_nodelay(true) {
        // The client has reset the connection already.
        Err(_) => &vitals.counters.closed_error,
        Ok(()) => {
            let socket = Socket::new(stream, vitals.clone());
            match thread.setup.service {
                Service::Http => connection::serve(socket, &vitals, &thread).await,
                Service::Echo => echo::serve(socket, &vitals, &thread).await,
            }
        }
    };
    count.add(1);
    thread.counters.connections_closed.add(1);
    thread.setup.admission.leave();
    thread.open.set(thread.open.get() - 1);
    thread.gone.notify_one();
}

/// Lets answers in flight finish, until the deadline; then cuts off what is left.
async fn drain(thread: &Thread) {
    thread.ending.enter(Stage::Draining);
    let in_time = timeout(thread.setup.drain_timeout, all_gone(thread)).await;
    if in_time.is_err() {
        thread.ending.enter(Stage::CutOff);
        all_gone(thread).await;
    }
}

async fn all_gone(thread: &Thread) {
    while thread.open.get() > 0 {
        thread.gone.notified().await;
    }
}
