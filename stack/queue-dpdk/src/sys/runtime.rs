//! EAL, once per process; the errors that DPDK returns; threads that DPDK knows.

use super::ffi;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a call of DPDK returned instead of a result: an errno, some of them DPDK's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

impl Errno {
    /// Those of `<errno.h>` on Linux for which there is a cure to name.
    pub(crate) const NOT_PERMITTED: Self = Self(1);
    pub(crate) const OUT_OF_MEMORY: Self = Self(12);
    pub(crate) const ACCESS_DENIED: Self = Self(13);
    pub(crate) const BUSY: Self = Self(16);
    pub(crate) const NO_DEVICE: Self = Self(19);
    pub(crate) const INVALID: Self = Self(22);
    pub(crate) const ALREADY: Self = Self(114);
}

impl fmt::Display for Errno {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = ffi::shim_error_text(self.0);
        // SAFETY: rte_strerror returns a constant or a buffer of this thread, ended by a NUL, that
        // lives until its next call, which is after this use.
        let text = unsafe { CStr::from_ptr(text) };
        out.write_str(&text.to_string_lossy())
    }
}

/// 0 is success, anything else an errno.
pub(super) const fn check(code: c_int) -> Result<(), Errno> {
    if code == 0 { Ok(()) } else { Err(Errno(code)) }
}

/// The DPDK that is linked, as it calls itself: `DPDK 22.11.11`.
pub(crate) fn version() -> String {
    // SAFETY: rte_version returns a buffer that it fills in once and that lives as long as the
    // process.
    let text = unsafe { CStr::from_ptr(ffi::shim_version()) };
    text.to_string_lossy().into_owned()
}

/// EAL, set up. Cleaned up when dropped: the devices hold on to it.
#[derive(Debug)]
pub(crate) struct Runtime {
    /// Ports that somebody has opened.
    claimed: Mutex<BTreeSet<u16>>,
}

/// Set when EAL has been cleaned up: nothing may be called any more.
static IS_OVER: AtomicBool = AtomicBool::new(false);

impl Runtime {
    /// Sets EAL up. It refuses by itself to be set up twice.
    pub(crate) fn init(arguments: Vec<CString>) -> Result<Self, Errno> {
        // EAL changes the order of the arguments and keeps pointers to them.
        let mut argv: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
        let argc = c_int::try_from(argv.len()).map_err(|_| Errno::INVALID)?;
        argv.push(std::ptr::null_mut());
        let argv = argv.leak();
        // SAFETY: `argc` strings and a null pointer, as main gets them; all of it lives as long as
        // the process.
        check(unsafe { ffi::shim_eal_init(argc, argv.as_mut_ptr()) })?;
        Ok(Self { claimed: Mutex::new(BTreeSet::new()) })
    }

    /// Whether packets lie in huge pages.
    pub(crate) fn has_huge_pages(&self) -> bool {
        ffi::shim_eal_has_huge_pages() != 0
    }

    /// Adds a device, as `--vdev` does: `net_ring0`.
    pub(crate) fn probe(&self, arguments: &CStr) -> Result<(), Errno> {
        // SAFETY: a string that DPDK copies.
        check(unsafe { ffi::shim_device_probe(arguments.as_ptr()) })
    }

    /// The numbers of all ports.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let mut ids = [0; 256];
        // SAFETY: an array of 256 numbers, of which that many at most are written.
        let count = unsafe { ffi::shim_ports(ids.as_mut_ptr(), 256) };
        ids[..usize::from(count)].to_vec()
    }

    /// The name of a port: a PCI address, or that of a virtual device.
    pub(crate) fn port_name(&self, port: u16) -> Result<String, Errno> {
        text(|buffer, room| {
            // SAFETY: a buffer of `room` bytes, into which a string with its NUL is written.
            unsafe { ffi::shim_port_name(port, buffer, room) }
        })
    }

    /// The driver of a port: `net_memif`.
    pub(crate) fn port_driver(&self, port: u16) -> Result<String, Errno> {
        text(|buffer, room| {
            // SAFETY: as in `port_name`.
            unsafe { ffi::shim_port_driver(port, buffer, room) }
        })
    }

    /// Takes a port for one owner; false where it has one.
    pub(super) fn claim(&self, port: u16) -> bool {
        self.claimed().insert(port)
    }

    /// Gives it up.
    pub(super) fn release(&self, port: u16) {
        self.claimed().remove(&port);
    }

    fn claimed(&self) -> MutexGuard<'_, BTreeSet<u16>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the calling thread known to DPDK until it ends, so that mempools have a cache for it.
    pub(crate) fn register_thread(&self) -> Result<(), Errno> {
        check(ffi::shim_thread_register())?;
        REGISTRATION.with(|_| ());
        Ok(())
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        IS_OVER.store(true, Ordering::Release);
        let error = ffi::shim_eal_cleanup();
        debug_assert_eq!(error, 0, "EAL was set up");
    }
}

/// Goes down with its thread.
struct Registration;

impl Drop for Registration {
    fn drop(&mut self) {
        if !IS_OVER.load(Ordering::Acquire) {
            ffi::shim_thread_unregister();
        }
    }
}

thread_local! {
    static REGISTRATION: Registration = const { Registration };
}

/// A string that a function writes to a buffer.
fn text(write: impl FnOnce(*mut c_char, usize) -> c_int) -> Result<String, Errno> {
    let mut buffer = [0_u8; 256];
    check(write(buffer.as_mut_ptr().cast(), buffer.len()))?;
    let text = CStr::from_bytes_until_nul(&buffer).map_err(|_| Errno::INVALID)?;
    Ok(text.to_string_lossy().into_owned())
}
