//! One thread per CPU, from its start to the exit line.

use crate::{
    Counters, CpuList, Details, OwnCounters, Shutdown, Signal, Signals, exit_line, report_line, sys,
};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

/// What a worker thread is given.
#[derive(Debug)]
pub struct Worker {
    /// Its number, from 0.
    pub index: usize,
    /// Its counters, which it alone writes.
    pub counters: Arc<Counters>,
    /// Says when to drain.
    pub shutdown: Shutdown,
    ready: Sender<Ready>,
}

/// What a thread says when it is set up.
type Ready = (Details, Option<Arc<dyn OwnCounters>>);

impl Worker {
    /// Says that the thread is set up and what it really obtained. Call it once.
    pub fn ready(&self, details: Details) {
        // The receiver is gone only when another thread failed to start: then the process ends.
        drop(self.ready.send((details, None)));
    }

    /// As [`ready`](Self::ready), for a thread that has counters of its own besides the common
    /// ones: reports and the exit line have them too.
    pub fn ready_counting(&self, details: Details, own: Arc<dyn OwnCounters>) {
        drop(self.ready.send((details, Some(own))));
    }
}

/// The worker threads of a server.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<Thread>,
    shutdown: Shutdown,
    ended_early: Arc<AtomicBool>,
    details: Details,
}

#[derive(Debug)]
struct Thread {
    counters: Arc<Counters>,
    own: Option<Arc<dyn OwnCounters>>,
    handle: JoinHandle<io::Result<()>>,
}

fn add_all(counters: &Counters, own: Option<&dyn OwnCounters>, sums: &mut Details) {
    counters.add_to(sums);
    if let Some(own) = own {
        own.add_to(sums);
    }
}

/// How many threads a server runs: one per CPU of `--cpus`, or one.
#[must_use]
pub fn thread_count(cpus: Option<&CpuList>) -> usize {
    cpus.map_or(1, |cpus| cpus.as_slice().len())
}

impl Workers {
    /// Starts one thread per element of `seeds`, the nth pinned to the nth CPU of `cpus`, and
    /// waits until each has called [`Worker::ready`].
    ///
    /// Call it after [`Signals::block`], so that no thread takes a signal. `body` sets the thread
    /// up, calls `ready` and runs until the shutdown is requested and everything is drained. When
    /// one returns earlier or panics, the others are stopped.
    ///
    /// # Errors
    /// A sentence saying which thread could not be set up and why. The process should end then.
    pub fn start<S, F>(cpus: Option<&CpuList>, seeds: Vec<S>, body: F) -> Result<Self, String>
    where
        S: Send + 'static,
        F: Fn(S, Worker) -> io::Result<()> + Clone + Send + 'static,
    {
        let shutdown = Shutdown::new().map_err(|error| format!("eventfd failed: {error}"))?;
        let ended_early = Arc::new(AtomicBool::new(false));
        let mut workers =
            Self { threads: Vec::new(), shutdown, ended_early, details: Details::new() };
        for (index, seed) in seeds.into_iter().enumerate() {
            let cpu = cpus.map(|cpus| cpus.as_slice()[index]);
            let (mut thread, ready) = workers.spawn(index, cpu, seed, body.clone())?;
            match ready.recv() {
                Ok((details, own)) => {
                    workers.details = details;
                    thread.own = own;
                }
                Err(_) => return Err(sentence(index, thread.handle.join())),
            }
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    fn spawn<S, F>(
        &self,
        index: usize,
        cpu: Option<usize>,
        seed: S,
        body: F,
    ) -> Result<(Thread, Receiver<Ready>), String>
    where
        S: Send + 'static,
        F: Fn(S, Worker) -> io::Result<()> + Send + 'static,
    {
        let counters = Arc::new(Counters::default());
        let (sender, receiver) = channel();
        let shutdown = self.shutdown.clone();
        let worker = Worker { index, counters: counters.clone(), shutdown, ready: sender };
        let watch =
            Watch { shutdown: self.shutdown.clone(), ended_early: self.ended_early.clone() };
        let run = move || {
            let _watch = watch;
            if let Some(cpu) = cpu {
                pin(cpu)?;
            }
            body(seed, worker)
        };
        let handle = Builder::new()
            .name(format!("worker-{index}"))
            .spawn(run)
            .map_err(|error| format!("thread {index} could not be started: {error}"))?;
        Ok((Thread { counters, own: None, handle }, receiver))
    }

    /// What the threads said they obtained, for the ready line; all threads say the same.
    #[must_use]
    pub fn details(&self) -> &Details {
        &self.details
    }

    /// Every counter, summed over the threads.
    #[must_use]
    pub fn counters(&self) -> Details {
        let mut sums = Details::new();
        for thread in &self.threads {
            add_all(&thread.counters, thread.own.as_deref(), &mut sums);
        }
        sums
    }

    /// Obeys signals until SIGTERM or SIGINT, has the threads drain, and prints the exit line.
    ///
    /// # Errors
    /// A sentence where a thread failed or ended early, or where a line could not be printed.
    pub fn serve(mut self, mode: &str, signals: &Signals) -> Result<(), String> {
        let told = |error: io::Error| format!("standard output or signals failed: {error}");
        while signals.wait().map_err(told)? == Signal::Report {
            report_line(mode, self.counters()).map_err(told)?;
        }
        self.shutdown.request().map_err(told)?;
        let early = self.ended_early.load(Ordering::Acquire);
        let mut outcome =
            if early { Err("a thread ended before it was asked to".to_owned()) } else { Ok(()) };
        let mut sums = Details::new();
        for (index, thread) in self.threads.drain(..).enumerate() {
            let Thread { counters, own, handle } = thread;
            let ended = handle.join();
            add_all(&counters, own.as_deref(), &mut sums);
            if !matches!(ended, Ok(Ok(()))) {
                outcome = Err(sentence(index, ended));
            }
        }
        exit_line(mode, self.details, sums).map_err(told)?;
        outcome
    }
}

/// `threads` and `cpus`, as the ready line has them; `cpus` is empty where none was asked for.
#[must_use]
pub fn thread_details(cpus: Option<&CpuList>) -> Details {
    let mut details = Details::new();
    details.insert("threads".to_owned(), thread_count(cpus).into());
    details.insert("cpus".to_owned(), cpus.map_or(&[][..], CpuList::as_slice).into());
    details
}

/// Goes down with its thread; tells the main thread when nobody had asked for that.
#[derive(Debug)]
struct Watch {
    shutdown: Shutdown,
    ended_early: Arc<AtomicBool>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.shutdown.is_requested() {
            self.ended_early.store(true, Ordering::Release);
            // The main thread waits for signals and for nothing else: this is how it hears of it.
            sys::stop_own_process();
        }
    }
}

fn pin(cpu: usize) -> io::Result<()> {
    sys::pin_to_cpu(cpu).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!(
                "CPU {cpu} of --cpus cannot be used: {error}; \
                 nproc and taskset -p $$ show which there are"
            ),
        )
    })
}

fn sentence(index: usize, ended: std::thread::Result<io::Result<()>>) -> String {
    match ended {
        Ok(Ok(())) => format!("thread {index} ended before it was asked to"),
        Ok(Err(error)) => format!("thread {index} failed: {error}"),
        Err(_) => format!("thread {index} panicked; its message is above"),
    }
}
