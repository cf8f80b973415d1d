use super::super::link::Exchange;
use super::*;
use std::cell::Cell;
use std::rc::Rc;

/// Takes a known time on a clock of its own, and counts what was asked of it.
struct Scripted {
    now_ns: Rc<Cell<u64>>,
    takes_ns: u64,
    sizes: Vec<usize>,
    exchanges: u64,
    verified: u64,
}

impl Exchange for Scripted {
    fn prepare(&mut self, size: usize) -> Result<(), String> {
        self.sizes.push(size);
        Ok(())
    }

    fn exchange(&mut self) -> Result<(), String> {
        self.exchanges += 1;
        self.now_ns.set(self.now_ns.get() + self.takes_ns);
        Ok(())
    }

    fn verify(&mut self) -> Result<(), String> {
        self.verified += 1;
        Ok(())
    }
}

fn scripted(takes_ns: u64) -> (Scripted, impl FnMut() -> u64) {
    let now_ns = Rc::new(Cell::new(1_000_000));
    let clock = Rc::clone(&now_ns);
    let exchange = Scripted { now_ns, takes_ns, sizes: Vec::new(), exchanges: 0, verified: 0 };
    (exchange, move || clock.get())
}

const NO_GAP: Gap = Gap { sleep: std::time::Duration::ZERO, spin_ns: 0 };

/// Measures with exchanges of `takes_ns`; returns the number of samples and of batches.
fn measured(takes_ns: u64, min_ns: u64, max_ns: u64, min: usize, max: usize) -> (usize, u64) {
    let (mut exchange, mut clock) = scripted(takes_ns);
    let bounds = Bounds { min_ns, max_ns, min_iterations: min, max_iterations: max };
    let mut samples = Vec::new();
    batch::measure(&mut exchange, &mut clock, 8, &bounds, NO_GAP, &mut samples).unwrap();
    assert_eq!(exchange.sizes, [8]);
    assert!(samples.iter().all(|sample| *sample == takes_ns), "{samples:?}");
    let batches = exchange.verified;
    assert_eq!(exchange.exchanges, samples.len() as u64 + batches, "one untimed ping a batch");
    (samples.len(), batches)
}

#[test]
fn batches_go_on_until_the_maximum_of_time_or_of_iterations() {
    // Batches of 10 take 11 exchanges, 110 ns: after 9 of them, 990 ns are below 1000.
    assert_eq!(measured(10, 0, 1000, 10, 1_000_000), (100, 10));
    // The last batch is cut to what is left.
    assert_eq!(measured(10, 0, 1_000_000, 10, 25), (25, 3));
    // The minimum of iterations holds although the time is over.
    assert_eq!(measured(10, 0, 1, 50, 1000), (50, 1));
    // The maximum of iterations ends it although the minimum of time is not reached.
    assert_eq!(measured(10, 1_000_000, 1_000_000, 10, 30), (30, 3));
    // The minimum of time holds although the maximum of time is over.
    assert_eq!(measured(10, 500, 100, 10, 1000), (50, 5));
}

#[test]
fn the_warm_up_meets_both_minima_and_is_of_one_byte() {
    let (mut exchange, mut clock) = scripted(10);
    batch::warm_up(&mut exchange, &mut clock, 5_000, 250).unwrap();
    // One and 300 are the first above 250; they take 3010 ns, so it goes on to 501.
    assert_eq!((exchange.sizes.as_slice(), exchange.exchanges), (&[1][..], 501));
    let (mut exchange, mut clock) = scripted(10);
    batch::warm_up(&mut exchange, &mut clock, 0, 0).unwrap();
    assert_eq!((exchange.exchanges, exchange.verified), (1, 1));
}

#[test]
fn a_gap_is_no_part_of_the_samples() {
    let (mut exchange, now) = scripted(10);
    let shared = Rc::clone(&exchange.now_ns);
    // Every reading takes 1 ns, so that spinning comes to an end.
    let mut clock = move || {
        shared.set(shared.get() + 1);
        now_of(&shared)
    };
    drop(now);
    let bounds = Bounds { min_ns: 0, max_ns: 0, min_iterations: 3, max_iterations: 3 };
    let gap = Gap { sleep: std::time::Duration::from_nanos(1), spin_ns: 5000 };
    let mut samples = Vec::new();
    batch::measure(&mut exchange, &mut clock, 8, &bounds, gap, &mut samples).unwrap();
    assert_eq!(samples, [11, 11, 11]);
    assert!(clock() > 1_000_000 + 3 * 5000, "the gaps were spent");
}

fn now_of(clock: &Cell<u64>) -> u64 {
    clock.get()
}

fn parse(line: &str) -> Result<Options, String> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    Options::parse(&words).map_err(|failure| failure.to_string())
}

#[test]
fn the_defaults_are_those_of_sfnt_pingpong() {
    let options = parse("pingpong tcp").unwrap();
    assert_eq!((options.minms, options.maxms), (1000, 3000));
    assert_eq!((options.miniter, options.maxiter), (1000, 1_000_000));
    assert_eq!((options.warmupiter, options.warmupms), (10_000, 500));
    assert!((options.percentile - 99.0).abs() < f64::EPSILON);
    assert!(!options.rtt.0 && !options.spin.client.0 && !options.nodelay.client.0);
    assert_eq!(options.n_pings, 1);
    assert_eq!(sizes_of(&options).len(), 17);
    assert_eq!(sizes_of(&parse("pingpong udp").unwrap())[0], 0);
    assert_eq!(reporting(&options), "1/2 RTT");
}

#[test]
fn minima_raise_maxima_as_in_sfnt_pingpong() {
    let options = parse("pingpong --minms 5000 --miniter 2000000 tcp").unwrap();
    assert_eq!((options.maxms, options.maxiter), (5000, 2_000_000));
}

#[test]
fn a_value_counts_for_both_ends_or_one_for_each() {
    let check = |line: &str, spin: (bool, bool), cpus: (Option<usize>, Option<usize>)| {
        let options = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!((options.spin.client.0, options.spin.server.0), spin, "{line}");
        assert_eq!((options.affinity.client.0, options.affinity.server.0), cpus, "{line}");
    };
    check("pingpong tcp", (false, false), (None, None));
    check("pingpong --spin --affinity 1 tcp", (true, true), (Some(1), Some(1)));
    check("pingpong --spin=1;0 --affinity=1;any tcp", (true, false), (Some(1), None));
    check("pingpong --spin=0;1 --affinity any;2 tcp", (false, true), (None, Some(2)));
    check("pingpong tcp --spin=0", (false, false), (None, None));
}

#[test]
fn what_cannot_be_obeyed_is_refused_with_a_sentence() {
    let check = |line: &str, part: &str| {
        let message = parse(line).expect_err(line);
        assert!(message.contains(part), "{line}: {message}");
    };
    check("pingpong", "THROUGH");
    check("pingpong carrier_pigeon", "unix_stream");
    check("pingpong --frobnicate tcp", "unexpected argument");
    check("pingpong --mcast 224.1.2.3 udp", "joins no multicast group");
    check("pingpong --mcastintf=eth9 udp", "--mcastintf is not there");
    check("pingpong --forkboth tcp", "leave HOST out");
    check("pingpong --n-pongs 2 tcp", "--n-pings");
    check("pingpong --v6only tcp", "the server has flags of its own");
    check("pingpong --sizes 4-1 tcp", "backwards");
    check("pingpong --muxer kqueue tcp", "epoll_adddel");
    check("pingpong --spin=maybe tcp", "not 0 or 1");
    check("pingpong --affinity 1;2;3 tcp", "more than two values");
    check("pingpong --percentile 101 tcp", "from 0 to 100");
    check("pingpong --miniter 0 tcp", "1..=100000000");
    check("pingpong --spin=1;0 tcp 127.0.0.1", "for a server started here");
    check("pingpong unix_stream 127.0.0.1", "give no HOST");
    check("pingpong http", "HOST:PORT");
    check("pingpong --nodelay udp 127.0.0.1", "--nodelay is for");
    check("pingpong --connect tcp 127.0.0.1", "--connect is for udp");
    check("pingpong --more tcp", "--n-pings");
    check("pingpong --more --n-pings 2 pipe", "for sockets");
    check("pingpong --bind 127.0.0.1 pipe", "--bind is for");
    check("pingpong --ttl 0 tcp", "1..=255");
    check("pingpong --ttl 2 unix_stream", "--ttl is for");
    check("pingpong --ipv4 --ipv6 tcp", "cannot be used with");
    check("pingpong --busy-poll 50 pipe", "for sockets");
    check("pingpong --n-udp 3 tcp", "--muxer");
    check("pingpong --n-udp 3 --muxer epoll_adddel tcp", "--muxer");
    check("pingpong --sizes 1 --maxmsg 9 tcp", "the default sweep only");
    check("pingpong --timeout 0 tcp", "1..=3600");
}
