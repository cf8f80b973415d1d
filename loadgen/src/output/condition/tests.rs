//! What conditions mean, and what is said of texts that are none.

use super::super::figures::tests::figures;
use super::*;
use crate::samples::Samples;
use proptest::prelude::*;

fn check(text: &str, expect: bool, measured: &str) {
    let finding = Condition::parse(text).unwrap().check(&figures());
    assert_eq!((finding.holds, finding.measured.as_str()), (Some(expect), measured), "{text}");
}

#[test]
fn latencies_are_compared_in_the_unit_of_the_condition() {
    check("max>999us", true, "max is 1000us");
    check("max > 1ms", false, "max is 1ms");
    check("max>=1ms", true, "max is 1ms");
    check("max<0.001s", false, "max is 0.001s");
    check("min==1000ns", true, "min is 1000ns");
    check("mean!=500.5us", false, "mean is 500.5us");
    check("p100 <= 1.000001ms", true, "p100 is 1ms");
    // The histogram's resolution: 501 µs cannot be told from 501.247 µs.
    check("p50<501us", false, "p50 is 501.247us");
    check("stdev>1s", false, "stdev is 0.000289s");
}

#[test]
fn rates_and_counts_may_have_metric_units_and_counts_a_share() {
    check("rate<10k", true, "rate is 0.5k");
    check("rate>=500", true, "rate is 500");
    check("requests==0.001M", true, "requests is 0.001M");
    check("errors>0", true, "errors is 23");
    check("errors>2.5%", false, "errors is 2.277228%");
    for (name, count) in [
        ("connect", 1),
        ("read", 2),
        ("write", 3),
        ("framing", 4),
        ("hung", 8),
        ("timeout", 5),
        ("status", 6),
        ("non2xx", 7),
    ] {
        check(&format!("{name}=={count}"), true, &format!("{name} is {count}"));
    }
}

#[test]
fn a_text_that_is_no_condition_is_refused_with_position_and_grammar() {
    let check = |text: &str, at_char: usize, expected: &str| {
        let error = Condition::parse(text).unwrap_err();
        assert_eq!((error.at_char, error.expected), (at_char, expected), "{text:?}");
    };
    check("", 0, "this is no metric");
    check("p0>1us", 0, "this is no metric");
    check("p101>1us", 0, "this is no metric");
    check(" latency>1us", 1, "this is no metric");
    check("p99", 3, "a comparison is missing");
    check("p99=1us", 3, "a comparison is missing");
    check("p99>", 4, "a number is expected, with at most six decimals");
    check("p99>-1us", 4, "a number is expected, with at most six decimals");
    check("p99>1.1234567us", 4, "a number is expected, with at most six decimals");
    check("p99>500", 7, "a latency needs one of the units ns us ms s");
    check("p99 > 5 m", 8, "a latency needs one of the units ns us ms s");
    check("p99>5%", 5, "a latency needs one of the units ns us ms s");
    check("rate<10us", 7, "a rate is a number, with k or M if wanted");
    check("rate<10%", 7, "a rate is a number, with k or M if wanted");
    check("errors>0ms", 8, "a count is a number, with k, M or % if wanted");
    check("errors>0 1", 9, "a count is a number, with k, M or % if wanted");
    check("errors>1% 2", 10, "nothing may follow");
    check("errors>99999999999999999999", 7, "a number is expected, with at most six decimals");
    let message = Condition::parse("p99>500").unwrap_err().to_string();
    let expect = "'p99>500': at character 8: a latency needs one of the units ns us ms s\n  \
                  p99>500\n         ^\na condition is METRIC COMPARISON VALUE, such as";
    assert!(message.starts_with(expect), "{message}");
}

#[test]
fn violations_name_the_condition_and_what_was_measured() {
    let parse = |text| Condition::parse(text).unwrap();
    let conditions = ["max>999us", "errors>100", "rate<10k"].map(parse);
    assert_eq!(
        violations(&judge(&conditions, &figures())),
        ["--fail-if 'max>999us': max is 1000us", "--fail-if 'rate<10k': rate is 0.5k"]
    );
}

#[test]
fn a_latency_that_nothing_is_known_of_is_a_violation_and_other_figures_are_known() {
    let latency = Samples::new(3, 1 << 40);
    let mut silent = Figures { latency, ..figures() };
    (silent.counts.requests, silent.counts.sent) = (0, 0);
    let parse = |text| Condition::parse(text).unwrap();
    let conditions = ["p99>1s", "p99<1s", "requests>0", "connect>50%"].map(parse);
    assert_eq!(
        violations(&judge(&conditions, &silent)),
        [
            "--fail-if 'p99>1s': p99 is unknown: no response came",
            "--fail-if 'p99<1s': p99 is unknown: no response came",
            "--fail-if 'connect>50%': connect is 100%",
        ]
    );
}

proptest! {
    #[test]
    fn no_text_breaks_the_parser(text in "\\PC{0,20}") {
        drop(Condition::parse(&text).map_err(|error| error.to_string()));
    }

    #[test]
    fn nearly_conditions_are_read_or_refused_within_their_length(
        text in "(p99|max|rate|errors|é) ?(>|>=|=|<)? ?[0-9.]{0,4} ?(us|ms|%|k|é)?",
    ) {
        if let Err(error) = Condition::parse(&text) {
            prop_assert!(error.at_char <= text.chars().count());
        }
    }
}
