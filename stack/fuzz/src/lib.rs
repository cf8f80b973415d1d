//! Fuzz targets of the stack: frames into an engine, segments between two connections.
//!
//! Both read their input as a list of small operations, so that every input means something and a
//! change of one byte changes one thing.
//!
//! What it deliberately does not do: fuzz smoltcp, or time-outs of days.
//!
//! Entry points: [`ALL`] for the targets, the program `stack-fuzz` to run them for long.
#![forbid(unsafe_code)]

mod engine_frames;
mod plain;
mod reader;
mod tcp_segments;
#[path = "../../engine/tests/attacks/victim.rs"]
#[expect(unreachable_pub, dead_code, reason = "the engine's tests share this file, and use more")]
mod victim;

use server_http_fuzz::engine::Target;

/// Every target.
pub static ALL: [&dyn Target; 2] = [&engine_frames::EngineFrames, &tcp_segments::TcpSegments];

#[cfg(test)]
mod tests {
    use super::*;
    use server_http_fuzz::engine::Campaign;

    /// Runs a bounded campaign, that ends with the input that fails if one does.
    fn check(target: &dyn Target, runs: u64) {
        let mut campaign = Campaign::new(target, 1);
        if let Err(find) = campaign.begin(&[]).and_then(|()| campaign.run(runs)) {
            let (oracle, what) = (find.failure.oracle, find.failure.what);
            panic!("{}: {oracle}: {what}\ninput: {:?}", target.name(), find.input);
        }
        let progress = campaign.progress();
        assert!(progress.behaviours > 20, "{progress:?}: inputs do different things");
    }

    #[test]
    fn engine_frames() {
        check(ALL[0], 1500);
    }

    #[test]
    fn tcp_segments() {
        check(ALL[1], 3000);
    }
}
