//! Message sizes: sfnt-pingpong's lists and ranges, and its default sweeps.

use std::str::FromStr;

/// Largest message, in bytes: that of `/bytes/N`.
pub(super) const SIZE_MAX_BYTES: usize = 16 << 20;
/// Most sizes in one run.
const SIZES_MAX: usize = 1 << 17;

/// Message sizes in bytes, in the order in which they are measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sizes(pub(super) Vec<usize>);

impl FromStr for Sizes {
    type Err = String;

    /// Reads a list of numbers and ranges: `8`, `1-4`, `0-100+25`, `1-1024x2`, by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut sizes = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            add_part(part, &mut sizes)?;
        }
        if sizes.is_empty() {
            return Err("no size: write for example 1,2,4 or 1-64+8 or 1-65536x2".to_owned());
        }
        Ok(Self(sizes))
    }
}

fn add_part(part: &str, sizes: &mut Vec<usize>) -> Result<(), String> {
    let Some((low, rest)) = part.split_once('-') else {
        return push(sizes, number(part)?);
    };
    let low = number(low)?;
    let (high, step): (&str, Box<dyn Fn(usize) -> usize>) =
        if let Some((high, add)) = rest.split_once('+') {
            let add = number(add)?;
            (high, Box::new(move |size| size + add))
        } else if let Some((high, factor)) = rest.split_once('x') {
            let factor = number(factor)?;
            (high, Box::new(move |size| size.saturating_mul(factor)))
        } else {
            (rest, Box::new(|size| size + 1))
        };
    let high = number(high)?;
    if high < low {
        return Err(format!("{part}: the range goes backwards"));
    }
    let mut size = low;
    while size <= high {
        push(sizes, size)?;
        let next = step(size);
        if next <= size {
            return Err(format!("{part}: the range never ends, its step leads nowhere"));
        }
        size = next;
    }
    Ok(())
}

fn push(sizes: &mut Vec<usize>, size: usize) -> Result<(), String> {
    if sizes.len() == SIZES_MAX {
        return Err(format!("more than {SIZES_MAX} sizes"));
    }
    sizes.push(size);
    Ok(())
}

fn number(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|size| *size <= SIZE_MAX_BYTES);
    number.ok_or_else(|| format!("{text:?} is not a number from 0 to {SIZE_MAX_BYTES}"))
}

/// The sweep of a byte stream: powers of two times `min`, which is 1 where it is 0, up to `max`,
/// which is 64 KiB where it is 0.
pub(super) fn stream_sweep(min: usize, max: usize) -> Sizes {
    sweep(min.max(1), if max == 0 { 64 << 10 } else { max }, |size| size * 2)
}

/// The sweep of datagrams: 0 and powers of two up to `max`, which is 32 KiB where it is 0, with
/// the largest that one Ethernet frame of 1500 bytes carries, 1472, and the one behind it.
pub(super) fn datagram_sweep(min: usize, max: usize) -> Sizes {
    sweep(min, if max == 0 { 32 << 10 } else { max }, |size| match size {
        0 => 1,
        1024 => 1472,
        1472 => 1473,
        _ => (size + 1).next_power_of_two(),
    })
}

fn sweep(min: usize, max: usize, next: impl Fn(usize) -> usize) -> Sizes {
    Sizes(
        std::iter::successors(Some(min), |size| Some(next(*size)))
            .take_while(|size| *size <= max)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_are_read_as_sfnt_pingpong_reads_them() {
        let check = |text: &str, expect: &[usize]| {
            assert_eq!(text.parse::<Sizes>(), Ok(Sizes(expect.to_vec())), "{text}");
        };
        check("8", &[8]);
        check("1,2,4", &[1, 2, 4]);
        check(",1,,2,", &[1, 2]);
        check("4,1", &[4, 1]);
        check("1-4", &[1, 2, 3, 4]);
        check("5-5", &[5]);
        check("0-100+25", &[0, 25, 50, 75, 100]);
        check("0-99+25", &[0, 25, 50, 75]);
        check("1-16x2", &[1, 2, 4, 8, 16]);
        check("3-50x4", &[3, 12, 48]);
        check("1-2,10-30+10,64", &[1, 2, 10, 20, 30, 64]);
    }

    #[test]
    fn ranges_that_make_no_sense_are_refused() {
        let check = |text: &str, part: &str| {
            let message = text.parse::<Sizes>().expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        };
        check("", "no size");
        check(",", "no size");
        check("a", "\"a\" is not a number");
        check("-3", "\"\" is not a number");
        check("1-", "\"\" is not a number");
        check("4-1", "backwards");
        check("1-8+0", "never ends");
        check("1-8x1", "never ends");
        check("0-8x2", "never ends");
        check("1-8x2+1", "\"8x2\" is not a number");
        check("16777217", "from 0 to 16777216");
        check("0-16777216", "more than 131072 sizes");
    }

    #[test]
    fn the_default_sweeps_are_those_of_sfnt_pingpong() {
        let stream = stream_sweep(0, 0).0;
        assert_eq!(stream.len(), 17);
        assert_eq!((stream[0], stream[1], stream[16]), (1, 2, 65536));
        assert_eq!(
            datagram_sweep(0, 0).0,
            [
                0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1472, 1473, 2048, 4096, 8192,
                16384, 32768
            ]
        );
    }

    #[test]
    fn the_ends_of_a_sweep_can_be_given() {
        assert_eq!(stream_sweep(3, 20).0, [3, 6, 12]);
        assert_eq!(datagram_sweep(3, 20).0, [3, 4, 8, 16]);
        assert_eq!(datagram_sweep(1024, 1472).0, [1024, 1472]);
        assert_eq!(stream_sweep(8, 4).0, [0_usize; 0]);
    }
}
