//! What flags of a driver's port have in common.

use std::str::FromStr;

/// A MAC address as users write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes: Option<Vec<u8>> = text
            .split(':')
            .map(|byte| u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() == 2))
            .collect();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not six bytes such as 02:00:00:00:00:01"))
    }
}

/// How many queues to open: one for each thread, and one thread for each CPU that was named.
///
/// # Errors
/// A sentence where `--queues` and `--cpus` do not fit together.
pub fn queue_count(queues: Option<u16>, cpus: Option<usize>) -> Result<u16, String> {
    let cpus = cpus.map(|count| u16::try_from(count).unwrap_or(u16::MAX));
    match (queues, cpus) {
        (Some(queues), Some(cpus)) if queues != cpus => Err(format!(
            "--queues {queues} and --cpus with {cpus} of them: one thread runs on each queue, \
             so give as many CPUs as queues, or leave --queues out"
        )),
        (Some(queues), None) if queues > 1 => Err(format!(
            "--queues {queues} without --cpus: name the {queues} CPUs that shall poll them, \
             for example --cpus 0-{}",
            queues - 1
        )),
        (queues, cpus) => Ok(queues.or(cpus).unwrap_or(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_cpu_for_each_queue_or_a_sentence() {
        assert_eq!(queue_count(None, None), Ok(1));
        assert_eq!(queue_count(Some(1), None), Ok(1));
        assert_eq!(queue_count(None, Some(3)), Ok(3));
        assert_eq!(queue_count(Some(2), Some(2)), Ok(2));
        let refused = |queues, cpus| queue_count(queues, cpus).expect_err("refused");
        assert!(refused(Some(2), Some(1)).contains("as many CPUs as queues"));
        assert!(refused(Some(4), None).contains("--cpus 0-3"));
    }

    #[test]
    fn a_mac_address_has_six_bytes_of_two_digits() {
        assert_eq!("02:00:00:00:0a:Ff".parse(), Ok(Mac([2, 0, 0, 0, 10, 255])));
        for wrong in ["02:00:00:00:00", "02:00:00:00:00:001", "x", "2:0:0:0:0:1"] {
            let refused = wrong.parse::<Mac>().expect_err(wrong);
            assert!(refused.contains("such as 02:00"), "{refused}");
        }
    }
}
