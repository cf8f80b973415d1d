//! Searches against servers made of arithmetic.

use super::*;
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { min_rps: 1000, max_rps: 10_000_000, resolution_percent: 2 };

/// Most trials of any search here: three for each of at most 64 doublings, 7 halvings of the
/// doubling that is left, and 8 confirmations.
const TRIALS_MAX: usize = 3 * (64 + 7 + 8);

/// A small generator (SplitMix64), so that noise can be replayed.
struct Random(u64);

impl Random {
    fn percent(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % 100
    }
}

/// Runs a search to its end, and returns the trials as well.
fn search(
    bounds: Bounds,
    mut server: impl FnMut(u64, Length) -> Verdict,
) -> (Conclusion, Vec<(u64, Length)>) {
    let mut bisection = Bisection::new(bounds);
    let mut trials = Vec::new();
    loop {
        match bisection.step() {
            Step::Done(conclusion) => return (conclusion, trials),
            Step::Run { rate_rps, length } => {
                trials.push((rate_rps, length));
                assert!(trials.len() <= TRIALS_MAX, "{trials:?}");
                assert!((bounds.min_rps..=bounds.max_rps).contains(&rate_rps), "{rate_rps}");
                bisection.observe(server(rate_rps, length));
            }
        }
    }
}

/// A server that holds up to a rate.
fn up_to(limit_rps: u64) -> impl FnMut(u64, Length) -> Verdict {
    move |rate_rps, _| if rate_rps <= limit_rps { Verdict::Holds } else { Verdict::Fails }
}

#[test]
fn a_known_limit_is_found_within_the_resolution_and_confirmed() {
    for limit_rps in [1000, 1019, 54_321, 123_456, 9_999_999] {
        let (conclusion, trials) = search(BOUNDS, up_to(limit_rps));
        let Conclusion::Holds { rate_rps, above: Above::Fails(above_rps) } = conclusion else {
            panic!("{limit_rps}: {conclusion:?}");
        };
        assert!(rate_rps <= limit_rps && limit_rps < above_rps, "{limit_rps}: {conclusion:?}");
        assert!(above_rps - rate_rps <= (rate_rps / 50).max(1), "{limit_rps}: {conclusion:?}");
        // Only the last trial is of full length.
        let full = trials.iter().filter(|(_, length)| *length == Length::Full).count();
        assert_eq!((full, trials.last()), (1, Some(&(rate_rps, Length::Full))));
    }
}

#[test]
fn the_way_to_100_000_from_1000_is_this() {
    let bounds = Bounds { resolution_percent: 10, ..BOUNDS };
    let (_, trials) = search(bounds, up_to(100_000));
    let rates: Vec<u64> = trials.iter().map(|(rate_rps, _)| *rate_rps).collect();
    let expect = [
        1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 128_000, 90_509, 107_634, 107_634,
        98_700, 98_700,
    ];
    assert_eq!(rates, expect);
}

#[test]
fn the_lowest_and_the_highest_rate_are_the_ends() {
    let (conclusion, trials) = search(BOUNDS, up_to(999));
    assert_eq!(conclusion, Conclusion::Never { verdict: Verdict::Fails });
    assert_eq!(trials.len(), 2, "the first failure is repeated: {trials:?}");
    let (conclusion, _) = search(BOUNDS, up_to(u64::MAX));
    assert_eq!(conclusion, Conclusion::Holds { rate_rps: 10_000_000, above: Above::Max });
    let one = Bounds { min_rps: 5, max_rps: 5, resolution_percent: 1 };
    let (conclusion, trials) = search(one, up_to(5));
    assert_eq!(conclusion, Conclusion::Holds { rate_rps: 5, above: Above::Max });
    assert_eq!(trials, [(5, Length::Short), (5, Length::Full)]);
}

#[test]
fn one_bad_trial_is_noise_and_two_of_three_decide() {
    let decide = |verdicts: &[Verdict]| {
        let mut votes = Votes::default();
        verdicts.iter().for_each(|verdict| votes.count(*verdict));
        votes.decision()
    };
    use Verdict::{ClientLimit, Fails, Holds};
    assert_eq!(decide(&[Holds]), Some(Holds));
    assert_eq!(decide(&[Fails]), None);
    assert_eq!(decide(&[Fails, Holds]), None);
    assert_eq!(decide(&[Fails, Holds, Holds]), Some(Holds));
    assert_eq!(decide(&[Fails, Holds, Fails]), Some(Fails));
    assert_eq!(decide(&[Fails, Fails]), Some(Fails));
    assert_eq!(decide(&[ClientLimit]), None);
    assert_eq!(decide(&[ClientLimit, ClientLimit]), Some(ClientLimit));
    assert_eq!(decide(&[ClientLimit, Fails]), Some(Fails));
    assert_eq!(decide(&[ClientLimit, Holds, ClientLimit]), Some(ClientLimit));
}

#[test]
fn the_client_as_the_limit_is_told_apart_from_the_server() {
    let client = |rate_rps, _| {
        if rate_rps <= 50_000 { Verdict::Holds } else { Verdict::ClientLimit }
    };
    let (conclusion, _) = search(BOUNDS, client);
    let Conclusion::Holds { rate_rps, above: Above::ClientLimit(above_rps) } = conclusion else {
        panic!("{conclusion:?}");
    };
    assert!(rate_rps <= 50_000 && above_rps > 50_000);
    let (conclusion, _) = search(BOUNDS, |_, _| Verdict::ClientLimit);
    assert_eq!(conclusion, Conclusion::Never { verdict: Verdict::ClientLimit });
}

#[test]
fn what_holds_for_a_short_time_only_is_lowered_until_it_holds_at_full_length() {
    // A queue that overflows only in a long trial above 80,000.
    let server = |rate_rps, length| match length {
        Length::Short if rate_rps <= 100_000 => Verdict::Holds,
        Length::Full if rate_rps <= 80_000 => Verdict::Holds,
        _ => Verdict::Fails,
    };
    let (conclusion, trials) = search(BOUNDS, server);
    let Conclusion::Holds { rate_rps, above: Above::Fails(above_rps) } = conclusion else {
        panic!("{conclusion:?}");
    };
    assert!(rate_rps <= 80_000 && above_rps > 80_000, "{conclusion:?}");
    assert!(rate_rps > 60_000, "{trials:?}");
    assert_eq!(trials.last(), Some(&(rate_rps, Length::Full)));
    // One that never holds for long ends at the lowest rate.
    let (conclusion, _) = search(BOUNDS, |_, length| match length {
        Length::Short => Verdict::Holds,
        Length::Full => Verdict::Fails,
    });
    assert_eq!(conclusion, Conclusion::Never { verdict: Verdict::Fails });
}

#[test]
fn a_tenth_of_trials_spoilt_moves_the_result_little() {
    let limit_rps = 200_000;
    let near = (0..200)
        .filter(|seed| {
            let mut random = Random(*seed);
            let (conclusion, _) = search(BOUNDS, |rate_rps, _| {
                let spoilt = random.percent() < 10;
                if rate_rps <= limit_rps && !spoilt { Verdict::Holds } else { Verdict::Fails }
            });
            match conclusion {
                Conclusion::Holds { rate_rps, .. } => {
                    assert!(rate_rps <= limit_rps, "{seed}: noise never makes a server better");
                    rate_rps >= limit_rps * 95 / 100
                }
                Conclusion::Never { .. } => false,
            }
        })
        .count();
    // Two of three spoilt is 1 to 3 in 100 at each of some twelve rates, where a single trial
    // would have ended seven searches of ten too low.
    assert!(near >= 140, "{near} of 200");
}

proptest! {
    #[test]
    fn every_search_ends_with_a_rate_that_was_confirmed(
        min_rps in 1_u64..1_000_000,
        span in 0_u64..u64::MAX / 2,
        resolution_percent in 1_u64..50,
        seed: u64,
        spoilt_percent in 0_u64..100,
        limit_rps: u64,
    ) {
        let bounds = Bounds { min_rps, max_rps: min_rps + span, resolution_percent };
        let mut random = Random(seed);
        let mut last = None;
        let (conclusion, trials) = search(bounds, |rate_rps, _| {
            let verdict = match random.percent() {
                percent if percent < spoilt_percent / 2 => Verdict::ClientLimit,
                percent if percent < spoilt_percent => Verdict::Fails,
                _ if rate_rps <= limit_rps => Verdict::Holds,
                _ => Verdict::Fails,
            };
            last = Some(verdict);
            verdict
        });
        match conclusion {
            Conclusion::Holds { rate_rps, above } => {
                prop_assert_eq!(trials.last(), Some(&(rate_rps, Length::Full)));
                prop_assert_eq!(last, Some(Verdict::Holds));
                prop_assert!(rate_rps <= limit_rps);
                if let Above::Fails(above_rps) | Above::ClientLimit(above_rps) = above {
                    prop_assert!(above_rps > rate_rps);
                }
            }
            Conclusion::Never { verdict } => prop_assert!(verdict != Verdict::Holds),
        }
    }
}
