//! The targets: what is fuzzed, and the oracles.

mod chunked;
mod grammar;
mod http_request;

use crate::delivery::{Cuts, Ending, Outcome, Plan, Taking, deliver};
use crate::engine::{Failure, Target, fnv};
use server_http::Limits;
use std::path::PathBuf;

/// Every target.
pub static ALL: [&dyn Target; 2] = [&http_request::HttpRequest, &chunked::Chunked];

/// The target called `name`.
#[must_use]
pub fn named(name: &str) -> Option<&'static dyn Target> {
    ALL.into_iter().find(|target| target.name() == name)
}

/// The folder of the target's corpus.
#[must_use]
pub fn corpus_folder(target: &dyn Target) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "corpus", target.name()].iter().collect()
}

/// Limits that inputs of a few hundred bytes reach.
static TIGHT: Limits = Limits {
    request_line_bytes: 96,
    head_bytes: 320,
    header_count: 6,
    empty_lines: 3,
    body_bytes: 600,
    chunk_overhead_bytes: 48,
    output_bytes: 130,
    ..Limits::DEFAULT
};

/// What came of an input in the ways that are judged.
struct Outcomes {
    /// Whole, and left open.
    whole: Outcome,
    /// By the byte, and left open.
    by_byte: Outcome,
    /// Whole, and then the end of the input.
    at_eof: Outcome,
    /// Whole, and then nothing for too long.
    timed_out: Outcome,
}

/// Delivers `input` in many ways, and requires the same outcome of all that end in the same way.
///
/// None where it answers too much.
fn deliver_in_all_ways(input: &[u8], limits: &'static Limits) -> Result<Option<Outcomes>, Failure> {
    let seed = fnv(input);
    let whole = deliver(input, limits, Plan::whole(Ending::Open))?;
    if whole.is_cut_short {
        return Ok(None);
    }
    let random = |step: u64| Cuts::Random(seed.wrapping_add(step));
    let slowly = |step: u64| Taking::Slowly(seed.wrapping_add(step));
    let plan = Plan { cuts: Cuts::EachByte, ..Plan::whole(Ending::Open) };
    let by_byte = deliver(input, limits, plan)?;
    require_same(&whole, &by_byte, plan)?;
    for (cuts, taking) in [
        (Cuts::Whole, slowly(1)),
        (random(2), Taking::AtOnceLending),
        (random(3), slowly(3)),
        (random(4), slowly(4)),
    ] {
        let plan = Plan { cuts, taking, ending: Ending::Open };
        require_same(&whole, &deliver(input, limits, plan)?, plan)?;
    }
    let ends = |ending: Ending| {
        let expect = deliver(input, limits, Plan::whole(ending))?;
        let plan = Plan { cuts: random(5), taking: slowly(5), ending };
        require_same(&expect, &deliver(input, limits, plan)?, plan)?;
        Ok::<_, Failure>(expect)
    };
    let (at_eof, timed_out) = (ends(Ending::Eof)?, ends(Ending::TimeOut)?);
    ends(Ending::Drain)?;
    let plan = Plan::whole(Ending::EofWithLast);
    require_same(&at_eof, &deliver(input, limits, plan)?, plan)?;
    Ok(Some(Outcomes { whole, by_byte, at_eof, timed_out }))
}

/// The outcome depends on the bytes, not on how they were cut.
///
/// The one thing that may differ is an interim response: `100 Continue` is due only while the body
/// has not begun to arrive.
fn require_same(expect: &Outcome, got: &Outcome, plan: Plan) -> Result<(), Failure> {
    let fail = |what: String| Err(Failure::new("split", format!("{plan:?}: {what}")));
    let same_output = expect.output == got.output
        || without_interim(&expect.output) == without_interim(&got.output);
    if !same_output {
        let (expect, got) = (expect.output.escape_ascii(), got.output.escape_ascii());
        return fail(format!("{got} in place of {expect}"));
    }
    let rest = |outcome: &Outcome| {
        (outcome.responses, outcome.close, outcome.consumed, outcome.wake_at_ns)
    };
    if rest(expect) != rest(got) {
        return fail(format!("{:?} in place of {:?}", rest(got), rest(expect)));
    }
    Ok(())
}

/// `output` without the interim responses. One inside the body of an echo goes too, which is the
/// same on both sides of a comparison.
fn without_interim(output: &[u8]) -> Vec<u8> {
    const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut kept = Vec::new();
    let mut rest = output;
    while let Some(at) = rest.windows(INTERIM.len()).position(|window| window == INTERIM) {
        kept.extend_from_slice(&rest[..at]);
        rest = &rest[at + INTERIM.len()..];
    }
    kept.extend_from_slice(rest);
    kept
}
