//! Regions: memory files that a client makes and both ends map.
//!
//! Touching a mapped page behind the end of its file kills a process (SIGBUS). So a file must not
//! become shorter once it is mapped, and the seal that forbids it is asked for.

use crate::handshake::Refusal;
use crate::sys::Mapping;
use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create,
};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Most regions of a link. DPDK and VPP use one, or a few with zero copy.
pub(crate) const REGIONS_MAX: u16 = 16;
/// Most bytes of all regions of a link: we map them completely, so that this bounds what a client
/// can have us allocate.
pub(crate) const REGION_BYTES_MAX: u64 = 1 << 30;

/// Makes a region of `len` zeroed bytes that neither shrinks nor grows.
///
/// # Errors
/// Those of memfd_create(2), ftruncate(2) and mmap(2).
pub(crate) fn make(len: usize) -> io::Result<(OwnedFd, Mapping)> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create("memif-region", flags)?;
    ftruncate(&fd, len as u64)?;
    // Servers look for the first one. The last one keeps them from adding others.
    fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    let mapping = Mapping::shared(fd.as_fd(), len)?;
    Ok((fd, mapping))
}

/// Maps a region of the peer's.
///
/// # Errors
/// [`Refusal`] where the file can shrink, or is shorter than `size_bytes`.
pub(crate) fn adopt(fd: &OwnedFd, size_bytes: u64) -> Result<Mapping, Refusal> {
    let seals = fcntl_get_seals(fd).map_err(|_| Refusal::RegionUnsealed)?;
    if !seals.contains(SealFlags::SHRINK) {
        return Err(Refusal::RegionUnsealed);
    }
    let there = fstat(fd).map_err(|_| Refusal::RegionUnmappable)?.st_size;
    let is_there = u64::try_from(there).is_ok_and(|there| size_bytes <= there);
    if !is_there || size_bytes == 0 || size_bytes > REGION_BYTES_MAX {
        return Err(Refusal::RegionSize);
    }
    let len = usize::try_from(size_bytes).map_err(|_| Refusal::RegionSize)?;
    Mapping::shared(fd.as_fd(), len).map_err(|_| Refusal::RegionUnmappable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_region_is_mapped_by_the_other_end_and_keeps_its_length() {
        let (fd, mapping) = make(8192).expect("a region");
        let theirs = adopt(&fd, 8192).expect("sealed and long enough");
        mapping.write(8000, b"x");
        let mut byte = [0];
        theirs.read(8000, &mut byte);
        assert_eq!(&byte, b"x");
        assert!(ftruncate(&fd, 4096).is_err(), "sealed");
        assert_eq!(adopt(&fd, 8193).err(), Some(Refusal::RegionSize));
        assert_eq!(adopt(&fd, 0).err(), Some(Refusal::RegionSize));
        assert_eq!(adopt(&fd, u64::MAX).err(), Some(Refusal::RegionSize));
    }

    #[test]
    fn a_file_that_can_shrink_is_refused() {
        let fd = memfd_create("queue-memif-test", MemfdFlags::ALLOW_SEALING).expect("a memfd");
        ftruncate(&fd, 4096).expect("room");
        assert_eq!(adopt(&fd, 4096).err(), Some(Refusal::RegionUnsealed));
        let null = OwnedFd::from(File::open("/dev/null").expect("it is there"));
        assert_eq!(adopt(&null, 4096).err(), Some(Refusal::RegionUnsealed), "not even a memfd");
    }
}
