//! Tables of command lines; what wrk says to the same was read off Debian's wrk 4.1.0.

use super::*;

const URL: &str = "http://127.0.0.1:8080/plaintext";

fn read(words: &[&str]) -> Parsed {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    parse("loadgen", &words)
}

fn options(words: &[&str]) -> Options {
    read(words).result.unwrap_or_else(|refusal| panic!("{words:?}: {refusal:?}"))
}

fn refused(words: &[&str]) -> Refusal {
    read(words).result.expect_err(&format!("{words:?}"))
}

#[test]
fn the_defaults_are_those_of_wrk() {
    let options = options(&[URL]);
    assert_eq!((options.connections, options.threads, options.duration_s), (10, 2, 10));
    assert_eq!(options.plan.timeout, Duration::from_secs(2));
    assert_eq!(options.plan.connections, 5);
    assert_eq!(options.plan.warmup, Duration::ZERO);
    assert!(!options.latency && options.pin.is_empty() && options.json.is_none());
}

#[test]
fn options_may_stand_anywhere_and_in_every_form() {
    let expect = options(&["-c32", "-t", "4", "-d", "1m", "-T1s", "-L", URL]);
    assert_eq!((expect.connections, expect.threads, expect.duration_s), (32, 4, 60));
    assert!(expect.latency);
    for other in [
        &[URL, "-c", "32", "-t4", "-d60", "-T", "1", "--latency"] as &[&str],
        &["--connections=32", "--threads", "4", "--dur=60s", "--timeout=1", URL, "--lat"],
        &["-Lc32", "-t4", "-d1M", "-T1", "--", URL],
    ] {
        assert_eq!(options(other), expect, "{other:?}");
    }
}

#[test]
fn connections_that_do_not_divide_by_the_threads_are_left_out() {
    assert_eq!(options(&["-c", "1k", "-t", "3", URL]).plan.connections, 333);
}

#[test]
fn words_after_the_url_are_for_the_script() {
    let check = |words: &[&str], args: &[&str]| {
        let options = options(words);
        assert_eq!(options.script, Some(PathBuf::from("x.lua")));
        assert_eq!(options.threads, 1);
        assert_eq!(options.args, args);
    };
    check(&["-s", "x.lua", "-t1", URL], &[]);
    check(&["-sx.lua", URL, "-t1", "one", "two"], &["one", "two"]);
    check(&["--script=x.lua", "-t", "1", URL, "--", "-t", "9"], &["-t", "9"]);
}

#[test]
fn our_own_options() {
    let options = options(&["--pin", "0,2-3", "--json=out.json", "--warmup", "250ms", URL]);
    assert_eq!(options.pin, [0, 2, 3]);
    assert_eq!(options.json, Some(PathBuf::from("out.json")));
    assert_eq!(options.plan.warmup, Duration::from_millis(250));
    assert_eq!(parse_warmup("--warmup", "2s"), Ok(Duration::from_secs(2)));
    assert!(parse_warmup("--warmup", "ms").is_err());
    assert!(parse_warmup("--warmup", "1.5").is_err());
}

#[test]
fn a_rate_makes_an_open_loop() {
    let plain = options(&["-R", "20k", URL]);
    let schedule = Schedule::Open { rate_rps: 20_000, arrival: Arrival::Fixed, seed: 1 };
    assert_eq!((plain.plan.schedule, plain.layout), (schedule, Layout::Wrk2));
    let poisson = options(&["--rate=5", "--arrival", "poisson", "--seed", "7", URL]);
    let schedule = Schedule::Open { rate_rps: 5, arrival: Arrival::Poisson, seed: 7 };
    assert_eq!(poisson.plan.schedule, schedule);
    let raw = options(&["-R1", "-U", "-B", URL]);
    assert!(raw.latency && raw.u_latency && raw.plan.batch_latency);
}

#[test]
fn options_of_twrk_bring_its_layout() {
    let twrk = options(&["-P", "-D", "500ms", URL]);
    assert!(twrk.pin_allowed);
    assert_eq!((twrk.plan.warmup, twrk.layout), (Duration::from_millis(500), Layout::Twrk));
    assert_eq!(options(&[URL]).layout, Layout::Wrk);
}

#[test]
fn what_connections_lead_to_and_wait_for() {
    let both = options(&["--connect", "[::1]:80,/run/x.sock", "--end-hung", URL]);
    let expect = [
        Endpoint::Tcp(([0_u16, 0, 0, 0, 0, 0, 0, 1], 80).into()),
        Endpoint::Unix(PathBuf::from("/run/x.sock")),
    ];
    assert_eq!((both.connect.as_slice(), both.plan.hung), (&expect as &[_], HungRule::End));
    assert_eq!(options(&["--spin", "always", URL]).plan.spin, Spin::Always);
    assert_eq!(options(&[URL]).plan.transport, TransportKind::Epoll);
    assert_eq!(options(&["--transport", "uring", URL]).plan.transport, TransportKind::Uring);
}

#[test]
fn options_of_wrk_may_be_shortened_as_before_there_were_others() {
    let short = options(&["--d", "1", "--conn", "1", "--thr=1", "--lat", "--ti", "3", URL]);
    assert_eq!((short.duration_s, short.connections, short.threads), (1, 1, 1));
    assert!(short.latency && short.plan.timeout == Duration::from_secs(3));
    assert_eq!(options(&["--s", "x.lua", URL]).script, Some(PathBuf::from("x.lua")));
}

#[test]
fn fields_are_kept_and_those_that_wrk_ignores_are_named() {
    let options = options(&["-H", "A: b", "-H", "C:d", "-H", "Content-Length: 5", URL]);
    let mut fields = Fields::default();
    fields.add("A: b").unwrap();
    assert_eq!(options.fields, fields);
    assert_eq!(options.warnings.len(), 2, "{:?}", options.warnings);
    assert!(options.warnings[0].contains("'C:d'"));
}

#[test]
fn mistakes_that_wrk_has_words_for() {
    let check = |words: &[&str], message: &str| {
        let expect = Refusal { message: Some(message.to_owned()), usage: Usage::Wrk };
        assert_eq!(refused(words), expect, "{words:?}");
    };
    check(&["-t", "5", "-c", "2", URL], "number of connections must be >= threads");
    check(&["-c0", "-t1", URL], "number of connections must be >= threads");
    check(&["-t", "5", "-c", "2", "foo"], "invalid URL: foo");
    check(&["http://"], "invalid URL: http://");
    check(&["-z"], "loadgen: invalid option -- 'z'");
    check(&[URL, "-c"], "loadgen: option requires an argument -- 'c'");
    check(&["--foo", URL], "loadgen: unrecognized option '--foo'");
    check(&["--lat=3", URL], "loadgen: option '--latency' doesn't allow an argument");
    check(
        &["--t", "3"],
        "loadgen: option '--t' is ambiguous; possibilities: '--threads' '--timeout'",
    );
    check(&["--h", "3"], "loadgen: option '--h' is ambiguous; possibilities: '--header' '--help'");
}

#[test]
fn mistakes_that_get_wrks_usage_and_a_sentence_of_ours() {
    let check = |words: &[&str], part: &str| {
        let refusal = refused(words);
        assert_eq!(refusal.usage, Usage::Wrk, "{words:?}");
        let message = refusal.message.unwrap_or_default();
        assert!(message.contains(part), "{words:?}: {message}");
    };
    check(&["-d", "500ms", URL], "--duration 500ms: whole seconds");
    check(&["-T", "0.5", URL], "--timeout 0.5: whole seconds");
    check(&["-c", "1.5k", URL], "--connections 1.5k: a whole number");
    check(&["-R", "10/s", URL], "--rate 10/s: a whole number");
    check(&["-t", "10s", URL], "--threads 10s: a whole number");
    check(&["-d", "0", URL], "must be at least 1");
    check(&["-t", "0", URL], "must be at least 1");
}

#[test]
fn mistakes_of_our_own_get_a_sentence() {
    let check = |words: &[&str], part: &str| {
        let refusal = refused(words);
        assert_eq!(refusal.usage, Usage::None, "{words:?}");
        let message = refusal.message.unwrap_or_default();
        assert!(message.contains(part), "{words:?}: {message}");
    };
    check(&["ftp://127.0.0.1/"], "the scheme must be http://, https:// or http+unix://");
    check(&["--end-hung", "-T0", URL], "would end every request");
    check(&["-R0", URL], "at least one request per second");
    check(&["--arrival", "uniform", URL], "--arrival uniform: one of fixed, poisson");
    check(&["--spin", "x", URL], "--spin x: one of near, always, never");
    check(&["--transport", "tcp", URL], "--transport tcp: one of epoll, uring");
    check(&["--seed", "-1", URL], "--seed -1: a whole number");
    check(&["--connect", "localhost:80", URL], "'localhost:80' is neither ADDRESS:PORT");
    check(&["--pin", "x", URL], "'x' is no CPU");
    check(&["--pin", "3-1", URL], "backwards");
    check(&["--pin", "1024", URL], "'1024' is no CPU");
    check(&["--warmup", "soon", URL], "--warmup soon");
    check(&["-H", "a: b\r\nc: d", URL], "control characters");
}

#[test]
fn usage_alone() {
    for words in [&[] as &[&str], &["-r", URL], &["-v"]] {
        assert_eq!(refused(words), Refusal { message: None, usage: Usage::Wrk }, "{words:?}");
    }
    for words in [&["--help"] as &[&str], &["-h"], &["-?"]] {
        assert_eq!(refused(words), Refusal { message: None, usage: Usage::Full }, "{words:?}");
    }
}

#[test]
fn the_full_usage_has_every_option_and_sub_command() {
    let text = usage_text(Usage::Full);
    for long in SPECS.iter().filter_map(|spec| spec.long).filter(|long| *long != "help") {
        assert!(text.contains(&format!("--{long} ")), "--{long}");
    }
    for word in ["sweep", "search", "pingpong", "rr|", "crr|", "stream ", "noise", "https://"] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn the_version_does_not_end_the_program() {
    let parsed = read(&["-v", URL]);
    assert!(parsed.version && parsed.result.is_ok());
    assert!(read(&["-v", "-z"]).version, "what came before a mistake has its effect");
}

#[test]
fn usage_is_laid_out_as_wrk_lays_it_out() {
    let text = usage_text(Usage::Wrk);
    assert_eq!(text.lines().count(), 14);
    assert!(text.lines().all(|line| line.len() == 54));
    assert!(usage_text(Usage::Full).starts_with(&text));
    assert_eq!(usage_text(Usage::None), "");
}
