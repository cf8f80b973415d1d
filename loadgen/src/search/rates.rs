//! Lists of rates: `10k,20k-100k+10k`.

use crate::units::parse_metric;

/// Most rates of one list.
const RATES_MAX: usize = 1000;

/// Reads a list of rates in requests per second, which is returned rising, each rate once.
///
/// An element is a rate (`10k`), or a range with its step (`20k-100k+10k`, both ends included
/// where the step meets them).
///
/// # Errors
/// A sentence that names the element and what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<u64>, String> {
    let mut rates = Vec::new();
    for element in text.split(',').map(str::trim) {
        let Some((first, rest)) = element.split_once('-') else {
            rates.push(rate(element, element)?);
            continue;
        };
        let Some((last, step)) = rest.split_once('+') else {
            return Err(format!("'{element}': a range needs its step, such as 20k-100k+10k"));
        };
        let (first, last) = (rate(element, first)?, rate(element, last)?);
        let step = rate(element, step)?;
        if first > last {
            return Err(format!("'{element}': the range runs backwards"));
        }
        let count = (last - first) / step + 1;
        if count > RATES_MAX as u64 {
            return Err(format!("'{element}': {count} rates; at most {RATES_MAX} are run"));
        }
        rates.extend((0..count).map(|index| first + index * step));
    }
    rates.sort_unstable();
    rates.dedup();
    if rates.len() > RATES_MAX {
        return Err(format!("{} rates; at most {RATES_MAX} are run", rates.len()));
    }
    Ok(rates)
}

/// Reads one rate, which must be at least 1.
///
/// # Errors
/// A sentence that names `element`, of which `text` is a part.
fn rate(element: &str, text: &str) -> Result<u64, String> {
    parse_metric(text).filter(|rate| *rate > 0).ok_or_else(|| {
        format!(
            "'{element}': '{text}' is no rate: write a whole number above 0, such as 500 or 10k"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_and_ranges_rise_and_come_once() {
        let check = |text: &str, expect: &[u64]| assert_eq!(parse(text).unwrap(), expect, "{text}");
        check("10k", &[10_000]);
        check("3,1,2,1", &[1, 2, 3]);
        check("10k, 20k-50k+10k", &[10_000, 20_000, 30_000, 40_000, 50_000]);
        check("1-10+4", &[1, 5, 9]);
        check("5-5+1", &[5]);
        check("1k-3k+1k,2k-4k+1k", &[1000, 2000, 3000, 4000]);
    }

    #[test]
    fn what_is_no_rate_is_named() {
        let check = |text: &str, part: &str| {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.contains(part), "{text}: {refusal}");
        };
        check("", "'' is no rate");
        check("0", "'0' is no rate");
        check("10k,fast", "'fast': 'fast' is no rate");
        check("10k-20k", "a range needs its step");
        check("10-5+1", "runs backwards");
        check("10-50+0", "'0' is no rate");
        check("1-1M+1", "1000000 rates; at most 1000");
        check("1-900+1,1001-1900+1", "1800 rates");
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[0-9kM+,-]{0,30}") {
            if let Ok(rates) = parse(&text) {
                prop_assert!(!rates.is_empty() && rates.is_sorted() && rates.len() <= RATES_MAX);
            }
        }
    }
}
