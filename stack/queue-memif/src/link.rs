//! A link: the regions that both ends have mapped, and where in them the rings lie.

use crate::config::{Config, Role};
use crate::handshake::Refusal;
use crate::region;
use crate::sys::Mapping;
use crate::wire::{AddRing, ring};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

/// What a client agrees on with a server before it makes its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dimensions {
    /// Pairs of rings.
    pub(crate) queue_count: u16,
    /// Descriptors of each ring, as a power of two.
    pub(crate) log2_ring_size: u8,
    /// Length of each buffer, in bytes.
    pub(crate) buffer_bytes: u32,
}

/// Where a ring lies: checked to be within its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingPlace {
    /// Index of the region.
    pub(crate) region: usize,
    /// From the region's beginning, in bytes.
    pub(crate) offset: usize,
    /// Descriptors, as a power of two.
    pub(crate) log2_size: u8,
    /// Of a client's own rings: where its first buffer lies in region 0.
    pub(crate) buffers_offset: usize,
}

/// The rings of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) c2s: RingPlace,
    pub(crate) s2c: RingPlace,
}

/// What both ends share while they are connected.
#[derive(Debug)]
pub(crate) struct Link {
    /// Which end we are.
    pub(crate) role: Role,
    pub(crate) regions: Vec<Mapping>,
    pub(crate) pairs: Vec<Pair>,
    /// Length of a client's buffers, in bytes; 0 at the server, who reads it from descriptors.
    pub(crate) buffer_bytes: u32,
}

impl Link {
    /// Makes a client's memory, one region: all rings C2S, all rings S2C, then their buffers in the
    /// same order, as DPDK does. Returns the region's file as well.
    ///
    /// # Errors
    /// Those of making a region.
    pub(crate) fn make(dimensions: Dimensions) -> io::Result<(Self, OwnedFd)> {
        let Dimensions { queue_count, log2_ring_size, buffer_bytes } = dimensions;
        let queues = usize::from(queue_count);
        let ring_bytes = ring::bytes(log2_ring_size);
        let ring_buffer_bytes = (buffer_bytes as usize) << log2_ring_size;
        // Buffers begin on a page of their own, far from what indices share.
        let buffers_offset = (2 * queues * ring_bytes).next_multiple_of(4096);
        let (fd, mapping) = region::make(buffers_offset + 2 * queues * ring_buffer_bytes)?;
        let place = |nth: usize| RingPlace {
            region: 0,
            offset: nth * ring_bytes,
            log2_size: log2_ring_size,
            buffers_offset: buffers_offset + nth * ring_buffer_bytes,
        };
        let pair = |queue| Pair { c2s: place(queue), s2c: place(queues + queue) };
        let pairs = (0..queues).map(pair).collect();
        let link = Self { role: Role::Client, regions: vec![mapping], pairs, buffer_bytes };
        for pair in &link.pairs {
            link.set_up(pair.c2s, 0);
            link.set_up(pair.s2c, ring::FLAG_MASK_INTERRUPTS);
        }
        Ok((link, fd))
    }

    /// Takes over what a client offers: files and sizes of its regions, and its rings.
    ///
    /// # Errors
    /// [`Refusal`], by what is wrong with it.
    pub(crate) fn adopt(regions: &[(OwnedFd, u64)], rings: &[AddRing]) -> Result<Self, Refusal> {
        let regions: Vec<Mapping> = regions
            .iter()
            .map(|(fd, size_bytes)| region::adopt(fd, *size_bytes))
            .collect::<Result<_, _>>()?;
        let of = |is_c2s: bool| -> Vec<AddRing> {
            rings.iter().copied().filter(|ring| ring.is_c2s == is_c2s).collect()
        };
        let (c2s, s2c) = (of(true), of(false));
        if c2s.is_empty() || c2s.len() != s2c.len() {
            return Err(Refusal::RingsUnpaired);
        }
        let pairs = c2s
            .iter()
            .zip(&s2c)
            .map(|(c2s, s2c)| Ok(Pair { c2s: place(&regions, c2s)?, s2c: place(&regions, s2c)? }))
            .collect::<Result<Vec<_>, _>>()?;
        let link = Self { role: Role::Server, regions, pairs, buffer_bytes: 0 };
        for pair in &link.pairs {
            link.take_over(pair.c2s, Some(ring::FLAG_MASK_INTERRUPTS))?;
            link.take_over(pair.s2c, None)?;
        }
        Ok(link)
    }

    /// Writes the beginning of a ring of our own, whose indices are 0.
    fn set_up(&self, place: RingPlace, flags: u16) {
        let region = &self.regions[place.region];
        region.u32(place.offset + ring::COOKIE).store(ring::COOKIE_VALUE, Ordering::Relaxed);
        region.u16(place.offset + ring::FLAGS).store(flags, Ordering::Release);
    }

    /// Checks the beginning of a client's ring, and writes what is the server's in it.
    fn take_over(&self, place: RingPlace, flags: Option<u16>) -> Result<(), Refusal> {
        let region = &self.regions[place.region];
        let cookie = region.u32(place.offset + ring::COOKIE).load(Ordering::Acquire);
        if cookie != ring::COOKIE_VALUE {
            return Err(Refusal::RingCookie);
        }
        region.u16(place.offset + ring::TAIL).store(0, Ordering::Release);
        if let Some(flags) = flags {
            region.u16(place.offset + ring::FLAGS).store(flags, Ordering::Release);
        }
        Ok(())
    }

    /// The rings of a queue as (receiving, sending), if the link has that many.
    pub(crate) fn rings(&self, queue: usize) -> Option<(RingPlace, RingPlace)> {
        let Pair { c2s, s2c } = *self.pairs.get(queue)?;
        Some(match self.role {
            Role::Server => (c2s, s2c),
            Role::Client => (s2c, c2s),
        })
    }
}

impl Dimensions {
    /// What both the configuration and a server's bounds allow.
    pub(crate) fn within(config: &Config, queue_count_max: u32, log2_ring_size_max: u8) -> Self {
        let log2_ring_size = u8::try_from(config.ring_frames.ilog2()).unwrap_or(u8::MAX);
        let queue_count_max = u16::try_from(queue_count_max).unwrap_or(u16::MAX);
        Self {
            queue_count: config.queue_count.min(queue_count_max),
            log2_ring_size: log2_ring_size.min(log2_ring_size_max),
            buffer_bytes: config.buffer_bytes,
        }
    }
}

/// Where a client's ring lies, if that is within a region.
fn place(regions: &[Mapping], offered: &AddRing) -> Result<RingPlace, Refusal> {
    let AddRing { region, offset, log2_size, .. } = *offered;
    let (region, offset) = (usize::from(region), offset as usize);
    let mapping = regions.get(region).ok_or(Refusal::RingPlace)?;
    // Descriptors are read as words of 64 bits.
    let is_aligned = offset.is_multiple_of(align_of::<u64>());
    if log2_size > ring::LOG2_SIZE_MAX {
        return Err(Refusal::RingSize);
    }
    if !is_aligned || offset + ring::bytes(log2_size) > mapping.len() {
        return Err(Refusal::RingPlace);
    }
    Ok(RingPlace { region, offset, log2_size, buffers_offset: 0 })
}
