//! Opening an io_uring: as much as was asked for and the kernel has, and what that was.

use super::SEND_ZC_REPORT_USAGE;
use super::buffers::{Buffers, GROUP, Layout};
use super::files::FileTable;
use clap::ValueEnum;
use io_uring::{Builder, IoUring, Probe, cqueue, opcode, squeue, types};
use server_common::Details;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::str::FromStr;
use std::time::Duration;

/// Entries of the submission queue; a full one is submitted early.
const SQ_ENTRIES: u32 = 1024;
/// Entries of the completion queue. What does not fit the kernel keeps (IORING_FEAT_NODROP).
const CQ_ENTRIES: u32 = 8192;
/// Places for connections beyond the most that are admitted, which are closed at once.
const SPARE_PLACES: u32 = 8;

/// When the kernel runs the work that completes operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Taskrun {
    /// When the thread asks for completions: SINGLE_ISSUER, DEFER_TASKRUN, COOP_TASKRUN (6.1)
    Defer,
    /// At the thread's next system call of any kind: COOP_TASKRUN (5.19)
    Coop,
    /// At once, interrupting the thread
    Interrupt,
}

/// How bytes are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Receive {
    /// As multishot, each receive into as many buffers as what has come fills (Linux 6.10)
    Bundle,
    /// As multishot, into buffers of 64 KiB that are filled bit by bit (Linux 6.12)
    Incremental,
    /// Asked for once per connection (Linux 6.0)
    Multishot,
    /// Asked for again after each delivery
    Single,
}

/// How operations name their socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Files {
    /// By its descriptor
    Plain,
    /// By its place in a table of the ring's
    Registered,
    /// The same, and accept puts it there: it has no descriptor (Linux 6.8)
    Direct,
}

/// What is wanted of the ring. Where the kernel lacks it, the next lesser thing is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) taskrun: Taskrun,
    pub(crate) receive: Receive,
    /// How long a waiting thread polls the network device before it sleeps.
    pub(crate) napi: Option<Duration>,
    /// After how long without work the kernel's thread sleeps that takes submissions; `None`: there
    /// is no such thread.
    pub(crate) sqpoll: Option<Duration>,
    /// What a thread waits for before it wakes.
    pub(crate) min_wait: Option<MinWait>,
    /// Sends of so many bytes or more are without a copy.
    pub(crate) send_zc_bytes: Option<usize>,
    /// How operations name their socket.
    pub(crate) files: Files,
    /// For how many connections there are places where they are named by one.
    pub(crate) places: u32,
}

/// So many completions, but for no longer than that once there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MinWait {
    pub(crate) completions: u32,
    pub(crate) time: Duration,
}

impl FromStr for MinWait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(completions, micros)| {
            let completions = completions.parse().ok().filter(|it| (2..=1024).contains(it))?;
            let micros = micros.parse().ok().filter(|it| (1..=1_000_000).contains(it))?;
            Some(Self { completions, time: Duration::from_micros(micros) })
        });
        parsed.ok_or_else(|| {
            "not COMPLETIONS:USEC with 2 to 1024 completions and 1 to 1000000 microseconds"
                .to_owned()
        })
    }
}

/// What the kernel gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Obtained {
    pub(super) step: Step,
    pub(super) receive: Receive,
    pub(super) registered_ring: bool,
}

/// One way to set a ring up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    taskrun: Taskrun,
    single_issuer: bool,
    no_sqarray: bool,
    /// The first Linux that has it.
    since: &'static str,
}

/// From the best to the least. Without a flag that it does not know, the kernel says EINVAL.
#[rustfmt::skip]
const STEPS: [Step; 5] = [
    Step { taskrun: Taskrun::Defer, single_issuer: true, no_sqarray: true, since: "6.6" },
    Step { taskrun: Taskrun::Defer, single_issuer: true, no_sqarray: false, since: "6.1" },
    Step { taskrun: Taskrun::Coop, single_issuer: true, no_sqarray: false, since: "6.0" },
    Step { taskrun: Taskrun::Coop, single_issuer: false, no_sqarray: false, since: "5.19" },
    Step { taskrun: Taskrun::Interrupt, single_issuer: false, no_sqarray: false, since: "5.18" },
];

impl Step {
    fn build(self, sqpoll: Option<Duration>) -> io::Result<IoUring> {
        let mut builder: Builder = IoUring::builder();
        // SUBMIT_ALL: one refused entry must not hold up those behind it.
        builder.setup_cqsize(CQ_ENTRIES).setup_clamp().setup_submit_all();
        if self.taskrun != Taskrun::Interrupt {
            // TASKRUN_FLAG says in shared memory that there is work: spinning needs no call to ask.
            builder.setup_coop_taskrun().setup_taskrun_flag();
        }
        if self.single_issuer {
            builder.setup_single_issuer();
        }
        if self.taskrun == Taskrun::Defer {
            builder.setup_defer_taskrun();
        }
        if self.no_sqarray {
            builder.setup_no_sqarray();
        }
        if let Some(idle) = sqpoll {
            builder.setup_sqpoll(u32::try_from(idle.as_millis()).unwrap_or(u32::MAX));
        }
        builder.build(SQ_ENTRIES)
    }

    fn flags(self, sqpoll: bool) -> Vec<&'static str> {
        let candidates = [
            (true, "SUBMIT_ALL"),
            (sqpoll, "SQPOLL"),
            (self.taskrun != Taskrun::Interrupt, "COOP_TASKRUN"),
            (self.taskrun != Taskrun::Interrupt, "TASKRUN_FLAG"),
            (self.single_issuer, "SINGLE_ISSUER"),
            (self.taskrun == Taskrun::Defer, "DEFER_TASKRUN"),
            (self.no_sqarray, "NO_SQARRAY"),
        ];
        candidates.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect()
    }
}

/// A ring, what belongs to it, and what it is.
pub(super) type Opened = (&'static mut IoUring, Buffers, Option<FileTable>, Obtained);

/// Opens a ring for the calling thread, which alone may use it, and its receive buffers.
///
/// The ring lives as long as the process. So does all memory that the kernel may touch through
/// it, and nobody has to prove when the last operation has ended.
///
/// # Errors
/// A sentence that names the likely cause and the cure.
pub(super) fn open(asked: Asked) -> io::Result<Opened> {
    let (mut ring, step) = build_best(asked).map_err(explain_setup)?;
    if asked.min_wait.is_some() && !ring.params().is_feature_min_timeout() {
        return Err(io::Error::other(
            "--min-wait cannot be had: Linux 6.12 is needed (uname -r shows this one)",
        ));
    }
    let (mut buffers, incremental) = register_buffers(&ring, asked.receive)?;
    let receive = match asked.receive {
        Receive::Single => Receive::Single,
        _ if !has_multishot(&mut ring, &mut buffers)? => Receive::Single,
        _ if incremental => Receive::Incremental,
        Receive::Bundle if ring.params().is_feature_recvsend_bundle() => Receive::Bundle,
        _ => Receive::Multishot,
    };
    if asked.send_zc_bytes.is_some() && !has_send_zc(&mut ring)? {
        return Err(io::Error::other(
            "--send-zc cannot be had: Linux 6.2 is needed (uname -r shows this one)",
        ));
    }
    if let Some(time) = asked.napi {
        register_napi(&ring, time).map_err(explain_napi)?;
    }
    let files = register_files(&ring, asked)?;
    let ring = Box::leak(Box::new(ring));
    Ok((ring, buffers, files, Obtained { step, receive, registered_ring: false }))
}

/// Buffers to receive into, and whether they are filled bit by bit: if so was asked for and the
/// kernel can. One that cannot says EINVAL.
fn register_buffers(ring: &IoUring, receive: Receive) -> io::Result<(Buffers, bool)> {
    let submitter = ring.submitter();
    if receive == Receive::Incremental {
        match Buffers::register(&submitter, Layout::INCREMENTAL) {
            Ok(buffers) => return Ok((buffers, true)),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            Err(error) => return Err(explain_buffers(error)),
        }
    }
    let buffers = Buffers::register(&submitter, Layout::WHOLE).map_err(explain_buffers)?;
    Ok((buffers, false))
}

/// The best step that the kernel has, of those that were asked for or lesser ones.
fn build_best(asked: Asked) -> io::Result<(IoUring, Step)> {
    // A thread of the kernel submits and completes: there is nothing for ours to defer.
    let taskrun = if asked.sqpoll.is_some() { Taskrun::Interrupt } else { asked.taskrun };
    let best = STEPS.iter().position(|step| step.taskrun == taskrun).expect("each has a step");
    let mut refused = None;
    for step in &STEPS[best..] {
        match step.build(asked.sqpoll) {
            Ok(ring) => return Ok((ring, *step)),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refused.expect("at least one step was tried"))
}

/// Receives a byte from a socket pair to see whether the kernel knows multishot receive.
///
/// There is no flag to ask for it: a kernel without it says EINVAL.
fn has_multishot(ring: &mut IoUring, buffers: &mut Buffers) -> io::Result<bool> {
    let (mut near, far) = UnixStream::pair()?;
    near.write_all(b"?")?;
    let receive = opcode::RecvMulti::new(types::Fd(far.as_raw_fd()), GROUP).build();
    submit_probe(ring, &receive)?;
    // The end of the stream ends the multishot receive, so that nothing stays behind.
    drop(near);
    let mut has = false;
    loop {
        ring.submit_and_wait(1)?;
        while let Some(cqe) = ring.completion().next() {
            if let (Some(index), Ok(len)) =
                (cqueue::buffer_select(cqe.flags()), usize::try_from(cqe.result()))
            {
                // SAFETY: the CQE was just taken from this ring's queue, and this is its only use.
                let buffer =
                    unsafe { buffers.filled(index, len, cqueue::buffer_more(cqe.flags())) };
                buffers.give_back(buffer);
            }
            if !cqueue::more(cqe.flags()) {
                return Ok(has);
            }
            has = true;
        }
    }
}

/// Sends a byte without a copy over loopback to see whether the kernel can, and says what became
/// of it.
fn has_send_zc(ring: &mut IoUring) -> io::Result<bool> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    static BYTE: [u8; 1] = *b"?";
    let send = opcode::SendZc::new(types::Fd(near.as_raw_fd()), BYTE.as_ptr(), 1)
        .zc_flags(SEND_ZC_REPORT_USAGE)
        .build();
    submit_probe(ring, &send)?;
    let mut has = false;
    loop {
        ring.submit_and_wait(1)?;
        while let Some(cqe) = ring.completion().next() {
            if !cqueue::more(cqe.flags()) {
                // The notification comes when nobody needs the byte any more.
                drop((near, far));
                return Ok(has);
            }
            has = cqe.result() == 1;
        }
    }
}

fn submit_probe(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<()> {
    let mut submission = ring.submission();
    // SAFETY: the entry points to no memory, or to a static; the buffers that it selects live as
    // long as the process.
    unsafe { submission.push(entry) }.expect("the queue of a new ring is empty");
    Ok(())
}

fn explain_setup(error: io::Error) -> io::Error {
    let advice = match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has none: boot one with CONFIG_IO_URING, Linux 6.1 \
            or newer, or leave this server out (showdown run --modes epoll,hyper,xdp)"
            .to_owned(),
        Some(libc::EPERM) => match std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled") {
            Ok(value) if value.trim() != "0" => format!(
                "kernel.io_uring_disabled is {}: as root, sysctl -w kernel.io_uring_disabled=0",
                value.trim()
            ),
            _ => "a seccomp filter (a container's, usually) forbids it: run outside of the \
                container, or with a profile that allows io_uring_setup"
                .to_owned(),
        },
        Some(libc::EINVAL) => "Linux 5.19 or newer is needed (uname -r shows this one)".to_owned(),
        Some(libc::ENOMEM) => {
            "the limit on locked memory is too low: ulimit -l unlimited".to_owned()
        }
        Some(libc::EMFILE | libc::ENFILE) => "raise the open-file limit: ulimit -n".to_owned(),
        _ => "see io_uring_setup(2)".to_owned(),
    };
    io::Error::new(error.kind(), format!("io_uring cannot be set up ({error}): {advice}"))
}

/// A table of sockets, where operations are to name their places.
fn register_files(ring: &IoUring, asked: Asked) -> io::Result<Option<FileTable>> {
    let direct = match asked.files {
        Files::Plain => return Ok(None),
        Files::Registered => false,
        Files::Direct => true,
    };
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    // Accepting into the table is older, but without it there would be no way back.
    if direct && !probe.is_supported(opcode::FixedFdInstall::CODE) {
        return Err(io::Error::other(
            "--files direct cannot be had: Linux 6.8 is needed (uname -r shows this one)",
        ));
    }
    // Accept fills a place before a connection too many can be refused.
    let places = if direct { asked.places.saturating_add(SPARE_PLACES) } else { asked.places };
    FileTable::register(&ring.submitter(), places, direct)
        .map(Some)
        .map_err(|error| explain_files(asked, error))
}

/// Has waiting calls poll the devices by which connections come, for up to `time` each.
fn register_napi(ring: &IoUring, time: Duration) -> io::Result<()> {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let mut napi = types::Napi::new().set_busy_poll_timeout(micros).set_prefer_busy_poll(true);
    ring.submitter().register_napi(&mut napi)
}

fn explain_files(Asked { files, places, .. }: Asked, error: io::Error) -> io::Error {
    let sentence = format!(
        "--files {} cannot be had for {places} connections ({error}): Linux 5.19 is needed \
         (uname -r shows this one), and a limit on open files as high (ulimit -n)",
        name(files)
    );
    io::Error::new(error.kind(), sentence)
}

fn explain_napi(error: io::Error) -> io::Error {
    let sentence = format!(
        "--wait busy-poll cannot be had ({error}): io_uring polls devices from Linux 6.9 on \
         (uname -r shows this one); use --wait spin"
    );
    io::Error::new(error.kind(), sentence)
}

fn explain_buffers(error: io::Error) -> io::Error {
    let advice = match error.raw_os_error() {
        Some(libc::EINVAL) => "Linux 5.19 or newer is needed (uname -r shows this one)",
        _ => "16 MiB per thread are needed",
    };
    io::Error::new(
        error.kind(),
        format!("io_uring's provided buffers cannot be set up ({error}): {advice}"),
    )
}

impl Obtained {
    /// What the ready line says.
    pub(crate) fn details(&self, asked: Asked, ring: &io_uring::Parameters) -> Details {
        let mut wanted = Details::new();
        wanted.insert("taskrun".to_owned(), name(asked.taskrun).into());
        wanted.insert("receive".to_owned(), name(asked.receive).into());
        if let Some(idle) = asked.sqpoll {
            let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
            wanted.insert("sqpoll_idle_ms".to_owned(), idle_ms.into());
        }
        if let Some(bytes) = asked.send_zc_bytes {
            wanted.insert("send_zc_from_bytes".to_owned(), bytes.into());
        }
        if let Some(MinWait { completions, time }) = asked.min_wait {
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            wanted.insert("min_wait_completions".to_owned(), completions.into());
            wanted.insert("min_wait_us".to_owned(), micros.into());
        }
        let mut got = Details::new();
        got.insert("taskrun".to_owned(), name(self.step.taskrun).into());
        got.insert("receive".to_owned(), name(self.receive).into());
        got.insert("setup_flags".to_owned(), self.step.flags(asked.sqpoll.is_some()).into());
        got.insert("setup_flags_since_linux".to_owned(), self.step.since.into());
        // What cannot be had is refused.
        got.insert("files".to_owned(), name(asked.files).into());
        got.insert("registered_ring_fd".to_owned(), self.registered_ring.into());
        got.insert("kernel_features".to_owned(), features(ring).into());
        got.insert("sq_entries".to_owned(), ring.sq_entries().into());
        got.insert("cq_entries".to_owned(), ring.cq_entries().into());
        let mut details = Details::new();
        details.insert("uring_asked".to_owned(), wanted.into());
        details.insert("uring_obtained".to_owned(), got.into());
        details
    }
}

/// The flag's spelling of a value.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().expect("no value is hidden").get_name().to_owned()
}

fn features(ring: &io_uring::Parameters) -> Vec<&'static str> {
    let candidates = [
        (ring.is_feature_nodrop(), "nodrop"),
        (ring.is_feature_fast_poll(), "fast_poll"),
        (ring.is_feature_ext_arg(), "ext_arg"),
        (ring.is_feature_skip_cqe_on_success(), "cqe_skip"),
        (ring.is_feature_recvsend_bundle(), "recvsend_bundle"),
        (ring.is_feature_min_timeout(), "min_timeout"),
        (ring.is_feature_no_iowait(), "no_iowait"),
    ];
    candidates.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_lacks_a_step_is_given_the_next() {
        for asked in [Taskrun::Defer, Taskrun::Coop, Taskrun::Interrupt] {
            let whole = Asked {
                taskrun: asked,
                receive: Receive::Multishot,
                napi: None,
                sqpoll: None,
                min_wait: None,
                send_zc_bytes: None,
                files: Files::Plain,
                places: 0,
            };
            let (_, step) = build_best(whole).expect("this kernel has io_uring");
            let first = STEPS.iter().position(|step| step.taskrun == asked).expect("has one");
            let got = STEPS.iter().position(|known| *known == step).expect("is one of them");
            assert!(got >= first, "asked for {asked:?}, got more: {step:?}");
        }
    }

    #[test]
    fn a_wait_for_several_completions_has_both_numbers_in_range() {
        let expect = MinWait { completions: 8, time: Duration::from_micros(50) };
        assert_eq!("8:50".parse(), Ok(expect));
        for nonsense in ["8", "1:50", "1025:50", "8:0", "8:1000001", ":", "a:b"] {
            let message = MinWait::from_str(nonsense).expect_err(nonsense);
            assert!(message.contains("2 to 1024"), "{message}");
        }
    }

    #[test]
    fn each_refusal_names_cause_and_cure() {
        let check = |errno: i32, part: &str| {
            let message = explain_setup(io::Error::from_raw_os_error(errno)).to_string();
            assert!(message.contains(part), "{errno}: {message}");
        };
        check(libc::ENOSYS, "CONFIG_IO_URING");
        check(libc::EINVAL, "5.19");
        check(libc::ENOMEM, "ulimit -l");
        check(libc::EMFILE, "ulimit -n");
        check(libc::EPERM, "io_uring");
        let buffers = explain_buffers(io::Error::from_raw_os_error(libc::EINVAL)).to_string();
        assert!(buffers.contains("5.19"), "{buffers}");
    }
}
