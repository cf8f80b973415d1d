//! The interface of packetdrill's `packetdrill.h`: functions of C around [`Shared`].
//!
//! packetdrill calls `packetdrill_interface_init` once, then the functions of the table that it
//! fills, and `free` at the end. A panic ends the process with its message: there is nobody who
//! could catch it.

use crate::calls::{How, Outcome, Stop, fail};
use crate::profile::Profile;
use crate::shared::Shared;
use crate::sockopt::VALUE_MAX;
use crate::world::World;
use libc::{c_char, c_int, c_longlong, c_ulong, c_void, iovec, msghdr, pollfd, sockaddr};
use libc::{sockaddr_in, socklen_t, ssize_t, suseconds_t, time_t, timeval, useconds_t};
use std::ffi::CStr;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

/// Whatever `packetdrill_interface_init` left in `userdata`.
type User = *const Shared;

/// `struct packetdrill_interface`. Those that packetdrill calls with more arguments than are
/// named (`fcntl`, `ioctl`) take one more here: an integer or a pointer in the next register,
/// which is not looked at unless the command has an argument.
#[repr(C)]
pub(crate) struct Interface {
    userdata: User,
    free: extern "C" fn(User),
    socket: extern "C" fn(User, c_int, c_int, c_int) -> c_int,
    bind: extern "C" fn(User, c_int, *const sockaddr, socklen_t) -> c_int,
    listen: extern "C" fn(User, c_int, c_int) -> c_int,
    accept: extern "C" fn(User, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    connect: extern "C" fn(User, c_int, *const sockaddr, socklen_t) -> c_int,
    read: extern "C" fn(User, c_int, *mut c_void, usize) -> ssize_t,
    readv: extern "C" fn(User, c_int, *const iovec, c_int) -> ssize_t,
    recv: extern "C" fn(User, c_int, *mut c_void, usize, c_int) -> ssize_t,
    recvfrom: extern "C" fn(
        User,
        c_int,
        *mut c_void,
        usize,
        c_int,
        *mut sockaddr,
        *mut socklen_t,
    ) -> ssize_t,
    recvmsg: extern "C" fn(User, c_int, *mut msghdr, c_int) -> ssize_t,
    write: extern "C" fn(User, c_int, *const c_void, usize) -> ssize_t,
    writev: extern "C" fn(User, c_int, *const iovec, c_int) -> ssize_t,
    send: extern "C" fn(User, c_int, *const c_void, usize, c_int) -> ssize_t,
    sendto: extern "C" fn(
        User,
        c_int,
        *const c_void,
        usize,
        c_int,
        *const sockaddr,
        socklen_t,
    ) -> ssize_t,
    sendmsg: extern "C" fn(User, c_int, *const msghdr, c_int) -> ssize_t,
    fcntl: extern "C" fn(User, c_int, c_int, c_int) -> c_int,
    ioctl: extern "C" fn(User, c_int, c_ulong, *mut c_int) -> c_int,
    close: extern "C" fn(User, c_int) -> c_int,
    shutdown: extern "C" fn(User, c_int, c_int) -> c_int,
    getsockopt: extern "C" fn(User, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int,
    setsockopt: extern "C" fn(User, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int,
    poll: extern "C" fn(User, *mut pollfd, libc::nfds_t, c_int) -> c_int,
    netdev_send: extern "C" fn(User, *const c_void, usize) -> c_int,
    netdev_receive: extern "C" fn(User, *mut c_void, *mut usize, *mut c_longlong) -> c_int,
    usleep: extern "C" fn(User, useconds_t) -> c_int,
    gettimeofday: extern "C" fn(User, *mut timeval, *mut c_void) -> c_int,
    epoll_create: extern "C" fn(User, c_int) -> c_int,
    epoll_ctl: extern "C" fn(User, c_int, c_int, c_int, *mut c_void) -> c_int,
    epoll_wait: extern "C" fn(User, c_int, *mut c_void, c_int, c_int) -> c_int,
    pipe: extern "C" fn(User, *mut c_int) -> c_int,
    splice: extern "C" fn(User, c_int, *mut i64, c_int, *mut i64, usize, libc::c_uint) -> ssize_t,
}

/// Fills packetdrill's table. `flags` is what stands behind `--so_flags`, or null.
///
/// Two files are named by the environment: `PACKETDRILL_SYSCTL` is read for what a script has set
/// with its stand-in for `sysctl`, `PACKETDRILL_SOCKSTAT` is written for the stand-in for
/// `sockstat`.
///
/// # Safety
/// `flags` is null or a C string, `interface` points to a table that may be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn packetdrill_interface_init(
    flags: *const c_char,
    interface: *mut Interface,
) {
    let text = if flags.is_null() {
        String::new()
    } else {
        // SAFETY: packetdrill passes the argument of a flag, which outlives the call.
        unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned()
    };
    let profile = Profile::parse(&text).unwrap_or_else(|error| panic!("--so_flags: {error}"));
    let world = World::new(profile, std::env::var_os("PACKETDRILL_SYSCTL").map(Into::into));
    let sockstat = std::env::var_os("PACKETDRILL_SOCKSTAT").map(Into::into);
    let shared = Box::into_raw(Box::new(Shared::new(world, sockstat)));
    PRELOADED.store(shared, Ordering::Release);
    let table = table(shared);
    // SAFETY: packetdrill passes a table of its own; what it held is overwritten, not dropped.
    unsafe { interface.write(table) };
}

fn table(userdata: User) -> Interface {
    Interface {
        userdata,
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        read,
        readv,
        recv,
        recvfrom,
        recvmsg,
        write,
        writev,
        send,
        sendto,
        sendmsg,
        fcntl,
        ioctl,
        close,
        shutdown,
        getsockopt,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    }
}

fn shared<'a>(user: User) -> &'a Shared {
    // SAFETY: it is the box that `packetdrill_interface_init` leaked, and no function is called
    // after `free`. `Shared` is made to be used from several threads.
    unsafe { &*user }
}

/// The result of a call in C: a number, or -1 with `errno`.
fn to_c<T: TryInto<isize>>(result: Result<T, i32>) -> isize {
    let value = result.and_then(|value| value.try_into().map_err(|_| libc::EOVERFLOW));
    value.unwrap_or_else(|errno| {
        // SAFETY: it returns a pointer to a variable of this thread.
        let place = unsafe { libc::__errno_location() };
        // SAFETY: the place is this thread's, and nothing else refers to it now.
        unsafe { place.write(errno) };
        -1
    })
}

fn to_int<T: TryInto<isize>>(result: Result<T, i32>) -> c_int {
    c_int::try_from(to_c(result)).unwrap_or(-1)
}

/// A call that never waits.
fn at_once<T>(user: User, attempt: impl FnMut(&mut World) -> Outcome<T>) -> Result<T, i32> {
    shared(user).call(None, fail(libc::EAGAIN), attempt)
}

fn bytes<'a>(pointer: *const c_void, len: usize) -> Result<&'a [u8], i32> {
    if pointer.is_null() {
        return if len == 0 { Ok(&[]) } else { Err(libc::EFAULT) };
    }
    // SAFETY: the caller of a system call owns that many bytes there until it returns.
    Ok(unsafe { std::slice::from_raw_parts(pointer.cast(), len) })
}

fn bytes_mut<'a>(pointer: *mut c_void, len: usize) -> Result<&'a mut [u8], i32> {
    if pointer.is_null() {
        return if len == 0 { Ok(&mut []) } else { Err(libc::EFAULT) };
    }
    // SAFETY: the caller of a system call owns that many bytes there until it returns, and lets
    // nobody else write them; they are bytes, of which any value is one.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer.cast(), len) })
}

/// Writes an output argument that may be left out.
fn put<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: an output argument of a system call that is not null may be written.
        unsafe { place.write(value) };
    }
}

fn read_address(address: *const sockaddr, len: socklen_t) -> Result<SocketAddrV4, i32> {
    if address.is_null() || (len as usize) < size_of::<sockaddr_in>() {
        return Err(libc::EINVAL);
    }
    // SAFETY: there are at least as many bytes as an IPv4 address has, however they are aligned.
    let address = unsafe { address.cast::<sockaddr_in>().read_unaligned() };
    if c_int::from(address.sin_family) != libc::AF_INET {
        return Err(libc::EAFNOSUPPORT);
    }
    let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
    Ok(SocketAddrV4::new(ip, u16::from_be(address.sin_port)))
}

fn write_address(address: *mut sockaddr, len: *mut socklen_t, value: SocketAddrV4) {
    let family = libc::sa_family_t::try_from(libc::AF_INET).expect("it is 2");
    let raw = sockaddr_in {
        sin_family: family,
        sin_port: value.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*value.ip()).to_be() },
        sin_zero: [0; 8],
    };
    // packetdrill gives room for any address.
    put(address.cast(), raw);
    put(len, socklen_t::try_from(size_of::<sockaddr_in>()).expect("16 bytes"));
}

/// What [`getsockopt`](preloaded_getsockopt) looks into; null before and after.
static PRELOADED: AtomicPtr<Shared> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn free(user: User) {
    PRELOADED.store(std::ptr::null_mut(), Ordering::Release);
    // SAFETY: it is the box that `packetdrill_interface_init` leaked, given back once.
    let shared = unsafe { Box::from_raw(user.cast_mut()) };
    shared.leave();
}

extern "C" fn socket(user: User, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    to_int(at_once(user, |world| {
        world.read_sysctl().unwrap_or_else(|error| panic!("sysctl: {error}"));
        world.socket(domain, kind, protocol)
    }))
}

extern "C" fn bind(user: User, fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    let address = read_address(address, len);
    to_int(address.and_then(|address| at_once(user, |world| world.bind(fd, address).map(|()| 0))))
}

extern "C" fn listen(user: User, fd: c_int, backlog: c_int) -> c_int {
    to_int(at_once(user, |world| world.listen(fd, backlog).map(|()| 0)))
}

extern "C" fn accept(user: User, fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int {
    let result = at_once(user, |world| world.accept(fd));
    to_int(result.map(|(fd, remote)| {
        write_address(address, len, remote);
        fd
    }))
}

extern "C" fn connect(user: User, fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    let mut begun = false;
    to_int(read_address(address, len).and_then(|address| {
        at_once(user, |world| {
            if !begun {
                world.connect(fd, address)?;
                begun = true;
            }
            world.connected(fd).map(|()| 0)
        })
    }))
}

extern "C" fn read(user: User, fd: c_int, buffer: *mut c_void, count: usize) -> ssize_t {
    recv(user, fd, buffer, count, 0)
}

extern "C" fn recv(
    user: User,
    fd: c_int,
    buffer: *mut c_void,
    len: usize,
    flags: c_int,
) -> ssize_t {
    let buffer = bytes_mut(buffer, len);
    to_c(buffer.and_then(|buffer| at_once(user, |world| world.receive(fd, buffer, flags))))
}

extern "C" fn recvfrom(
    user: User,
    fd: c_int,
    buffer: *mut c_void,
    count: usize,
    flags: c_int,
    _address: *mut sockaddr,
    len: *mut socklen_t,
) -> ssize_t {
    // A connected stream tells no address.
    put(len, 0);
    recv(user, fd, buffer, count, flags)
}

extern "C" fn readv(user: User, fd: c_int, vector: *const iovec, count: c_int) -> ssize_t {
    let count = usize::try_from(count).unwrap_or(0);
    to_c(scatter(user, fd, vector, count, 0))
}

extern "C" fn recvmsg(user: User, fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    if message.is_null() {
        return to_c::<usize>(Err(libc::EFAULT));
    }
    // SAFETY: the caller of `recvmsg` owns the header that it points to until it returns.
    let message = unsafe { &mut *message };
    message.msg_namelen = 0;
    message.msg_flags = 0;
    let received = scatter(user, fd, message.msg_iov, message.msg_iovlen, flags);
    to_c(received.and_then(|count| tell_unread(user, fd, message).map(|()| count)))
}

/// Writes the control message of `TCP_INQ`, where that is on: how much there is still to be read.
fn tell_unread(user: User, fd: c_int, message: &mut msghdr) -> Result<(), i32> {
    let room = message.msg_controllen;
    message.msg_controllen = 0;
    let Some(unread) = at_once(user, |world| world.unread_hint(fd))? else { return Ok(()) };
    // A `cmsghdr`, whose length does not count the padding behind it, and an `int`.
    let fields = [libc::IPPROTO_TCP, libc::TCP_CM_INQ, unread];
    let len = size_of::<usize>() + size_of_val(&fields);
    let mut control = len.to_ne_bytes().to_vec();
    control.extend(fields.iter().flat_map(|field| field.to_ne_bytes()));
    control.resize(len.next_multiple_of(size_of::<usize>()), 0);
    if control.len() > room {
        message.msg_flags |= libc::MSG_CTRUNC;
        return Ok(());
    }
    bytes_mut(message.msg_control, control.len())?.copy_from_slice(&control);
    message.msg_controllen = control.len();
    Ok(())
}

fn parts<'a>(vector: *const iovec, count: usize) -> Result<&'a [iovec], i32> {
    if count == 0 {
        return Ok(&[]);
    }
    if vector.is_null() {
        return Err(libc::EFAULT);
    }
    // SAFETY: the caller of a system call owns that many parts there until it returns.
    Ok(unsafe { std::slice::from_raw_parts(vector, count) })
}

/// Receives into one buffer, and distributes it.
fn scatter(
    user: User,
    fd: c_int,
    vector: *const iovec,
    count: usize,
    flags: c_int,
) -> Result<usize, i32> {
    let mut targets = Vec::new();
    for part in parts(vector, count)? {
        targets.push(bytes_mut(part.iov_base, part.iov_len)?);
    }
    let mut buffer = vec![0; targets.iter().map(|part| part.len()).sum()];
    let received = at_once(user, |world| world.receive(fd, &mut buffer, flags))?;
    let mut rest = &buffer[..received];
    for target in targets {
        let (now, later) = rest.split_at(rest.len().min(target.len()));
        target[..now.len()].copy_from_slice(now);
        rest = later;
    }
    Ok(received)
}

extern "C" fn write(user: User, fd: c_int, buffer: *const c_void, count: usize) -> ssize_t {
    send(user, fd, buffer, count, 0)
}

extern "C" fn send(
    user: User,
    fd: c_int,
    buffer: *const c_void,
    len: usize,
    flags: c_int,
) -> ssize_t {
    to_c(bytes(buffer, len).and_then(|bytes| send_all(user, fd, bytes, flags)))
}

fn send_all(user: User, fd: c_int, bytes: &[u8], flags: c_int) -> Result<usize, i32> {
    let mut sent = 0;
    at_once(user, |world| world.send(fd, bytes, flags, &mut sent))
}

extern "C" fn sendto(
    user: User,
    fd: c_int,
    buffer: *const c_void,
    len: usize,
    flags: c_int,
    _address: *const sockaddr,
    _address_len: socklen_t,
) -> ssize_t {
    // A connected stream ignores the address.
    send(user, fd, buffer, len, flags)
}

extern "C" fn writev(user: User, fd: c_int, vector: *const iovec, count: c_int) -> ssize_t {
    let count = usize::try_from(count).unwrap_or(0);
    to_c(gather(user, fd, vector, count, 0))
}

extern "C" fn sendmsg(user: User, fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    if message.is_null() {
        return to_c::<usize>(Err(libc::EFAULT));
    }
    // SAFETY: the caller of `sendmsg` owns the header that it points to until it returns.
    let message = unsafe { &*message };
    to_c(gather(user, fd, message.msg_iov, message.msg_iovlen, flags))
}

fn gather(
    user: User,
    fd: c_int,
    vector: *const iovec,
    count: usize,
    flags: c_int,
) -> Result<usize, i32> {
    let mut all = Vec::new();
    for part in parts(vector, count)? {
        all.extend(bytes(part.iov_base, part.iov_len)?);
    }
    send_all(user, fd, &all, flags)
}

extern "C" fn fcntl(user: User, fd: c_int, command: c_int, argument: c_int) -> c_int {
    to_int(at_once(user, |world| world.fcntl(fd, command, argument)))
}

extern "C" fn ioctl(user: User, fd: c_int, request: c_ulong, argument: *mut c_int) -> c_int {
    to_int(at_once(user, |world| world.ioctl(fd, request)).map(|value| {
        put(argument, value);
        0
    }))
}

extern "C" fn close(user: User, fd: c_int) -> c_int {
    to_int(at_once(user, |world| world.close(fd).map(|()| 0)))
}

extern "C" fn shutdown(user: User, fd: c_int, how: c_int) -> c_int {
    let how = match how {
        libc::SHUT_RD => How::Read,
        libc::SHUT_WR => How::Write,
        libc::SHUT_RDWR => How::Both,
        _ => return to_int::<i32>(Err(libc::EINVAL)),
    };
    to_int(at_once(user, |world| world.shutdown(fd, how).map(|()| 0)))
}

extern "C" fn getsockopt(
    user: User,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    to_int(at_once(user, |world| world.getsockopt(fd, level, name)).map(|number| {
        // packetdrill asks for values of four bytes and more.
        put(value.cast(), number);
        put(len, socklen_t::try_from(size_of::<c_int>()).expect("four"));
        0
    }))
}

/// `getsockopt` of the C library, if this object is preloaded.
///
/// For the code in a script that looks at `TCP_INFO`, packetdrill calls the C library, with a
/// descriptor of ours, and not the function of its interface.
///
/// # Safety
/// As for `getsockopt(2)`: `value` has room for `*len` bytes.
#[unsafe(export_name = "getsockopt")]
pub(crate) unsafe extern "C" fn preloaded_getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    let user: User = PRELOADED.load(Ordering::Acquire);
    if !user.is_null() && !len.is_null() && shared(user).owns(fd) {
        // SAFETY: the caller owns it, and it is not null.
        let room = unsafe { len.read() };
        let room = usize::try_from(room).unwrap_or(0);
        return to_int(bytes_mut(value, room).and_then(|value| {
            let written = at_once(user, |world| world.information(fd, level, name, value))?;
            put(len, socklen_t::try_from(written).unwrap_or(0));
            Ok(0)
        }));
    }
    // SAFETY: the arguments are those of the system call, as its caller gave them.
    let result = unsafe { libc::syscall(libc::SYS_getsockopt, fd, level, name, value, len) };
    c_int::try_from(result).unwrap_or(-1)
}

extern "C" fn setsockopt(
    user: User,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    let len = usize::try_from(len).unwrap_or(0).min(VALUE_MAX);
    to_int(bytes(value, len).and_then(|value| {
        at_once(user, |world| world.setsockopt(fd, level, name, value).map(|()| 0))
    }))
}

extern "C" fn poll(user: User, fds: *mut pollfd, count: libc::nfds_t, timeout: c_int) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    let fds: &mut [pollfd] = if count == 0 {
        &mut []
    } else {
        // SAFETY: the caller of `poll` owns that many entries there until it returns.
        unsafe { std::slice::from_raw_parts_mut(fds, count) }
    };
    let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
    to_int(shared(user).call(timeout, Ok(0), |world| {
        let mut ready = 0;
        for entry in fds.iter_mut() {
            entry.revents = world.events(entry.fd, entry.events);
            ready += i32::from(entry.revents != 0);
        }
        if ready > 0 { Ok(ready) } else { Err(Stop::Block) }
    }))
}

extern "C" fn netdev_send(user: User, buffer: *const c_void, count: usize) -> c_int {
    let Ok(bytes) = bytes(buffer, count) else { return -1 };
    if let Err(why) = shared(user).inject(bytes) {
        // Scripts may well send what a stack has to refuse: whether it stays silent shows next.
        eprintln!("packetdrill: a packet was refused: {why:?}");
    }
    0
}

extern "C" fn netdev_receive(
    user: User,
    buffer: *mut c_void,
    count: *mut usize,
    time_usecs: *mut c_longlong,
) -> c_int {
    // SAFETY: packetdrill passes the size of its buffer.
    let room = unsafe { count.read() };
    let Ok(buffer) = bytes_mut(buffer, room) else { return -1 };
    let Some((at, packet)) = shared(user).sniff() else {
        put(count, 0);
        return 0;
    };
    let Some(target) = buffer.get_mut(..packet.len()) else { return -1 };
    target.copy_from_slice(&packet);
    put(count, packet.len());
    put(time_usecs, c_longlong::try_from(at.as_nanos() / 1000).unwrap_or(c_longlong::MAX));
    0
}

extern "C" fn usleep(user: User, micros: useconds_t) -> c_int {
    shared(user).sleep(Duration::from_micros(micros.into()));
    0
}

extern "C" fn gettimeofday(user: User, time: *mut timeval, _zone: *mut c_void) -> c_int {
    let micros = shared(user).time().as_nanos() / 1000;
    let seconds = time_t::try_from(micros / 1_000_000).unwrap_or(time_t::MAX);
    let rest = suseconds_t::try_from(micros % 1_000_000).unwrap_or(0);
    put(time, timeval { tv_sec: seconds, tv_usec: rest });
    0
}

fn not_there<T>() -> Result<T, i32> {
    Err(libc::ENOSYS)
}

extern "C" fn epoll_create(_user: User, _size: c_int) -> c_int {
    to_int::<i32>(not_there())
}

extern "C" fn epoll_ctl(
    _user: User,
    _epfd: c_int,
    _operation: c_int,
    _fd: c_int,
    _event: *mut c_void,
) -> c_int {
    to_int::<i32>(not_there())
}

extern "C" fn epoll_wait(
    _user: User,
    _epfd: c_int,
    _events: *mut c_void,
    _count: c_int,
    _timeout: c_int,
) -> c_int {
    to_int::<i32>(not_there())
}

extern "C" fn pipe(_user: User, _fds: *mut c_int) -> c_int {
    to_int::<i32>(not_there())
}

extern "C" fn splice(
    _user: User,
    _source: c_int,
    _source_at: *mut i64,
    _target: c_int,
    _target_at: *mut i64,
    _len: usize,
    _flags: libc::c_uint,
) -> ssize_t {
    to_c::<isize>(not_there())
}
