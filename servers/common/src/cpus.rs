//! Lists of CPUs as the kernel writes them: `0,2-3`.

use std::fmt;
use std::str::FromStr;

/// CPUs by number, in the order given, without repetition. One server thread runs on each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(Vec<usize>);

/// Highest CPU number accepted: the width of the kernel's `cpu_set_t`.
const CPU_MAX: usize = 1023;

impl CpuList {
    /// The CPU numbers.
    #[must_use]
    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }
}

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |digits: &str| {
                digits.parse::<usize>().ok().filter(|cpu| *cpu <= CPU_MAX).ok_or_else(|| {
                    format!("'{part}' is not a CPU or a range of CPUs: write for example 0,2-3")
                })
            };
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("the range '{part}' runs backwards: write {last}-{first}"));
            }
            for cpu in first..=last {
                if cpus.contains(&cpu) {
                    return Err(format!("CPU {cpu} is named twice: one thread runs on each"));
                }
                cpus.push(cpu);
            }
        }
        Ok(Self(cpus))
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(usize::to_string).collect();
        formatter.write_str(&numbers.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_parse_and_nonsense_is_refused_with_a_sentence() {
        let check =
            |text: &str, expect: Result<&[usize], &str>| match (CpuList::from_str(text), expect) {
                (Ok(list), Ok(cpus)) => assert_eq!(list.as_slice(), cpus, "{text}"),
                (Err(message), Err(part)) => assert!(message.contains(part), "{text}: {message}"),
                (got, expect) => panic!("{text}: {got:?}, expected {expect:?}"),
            };
        check("0", Ok(&[0]));
        check("3,0-1", Ok(&[3, 0, 1]));
        check("", Err("is not a CPU"));
        check("a", Err("is not a CPU"));
        check("1-", Err("is not a CPU"));
        check("2-1", Err("backwards"));
        check("1,0-1", Err("named twice"));
        check("1024", Err("is not a CPU"));
    }
}
