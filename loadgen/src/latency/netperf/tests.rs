use super::confidence::{Level, Rule};
use super::options::{Length, Test};
use super::outcome::Counts;
use super::*;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

fn parse(line: &str) -> Result<Options, String> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    Options::parse(&words).map_err(|failure| failure.to_string())
}

/// A test of two runs: 1000 transactions in 2 s, 3000 in 2 s.
fn outcome(options: &Options) -> Outcome<'_> {
    let run = |transactions: u64| Counts {
        elapsed_ns: 2_000_000_000,
        transactions,
        sent_bytes: transactions * 64,
        received_bytes: 1_000_000 * transactions,
        connections: 1,
        lost: 0,
        retransmitted: 2,
        user_us: 100_000,
        system_us: 300_000,
        remote_us: options.server_pid.map(|_| 1_000_000),
    };
    let mut latency = Samples::new(3, EXPECTED_MAX_NS);
    for ns in [1000, 2000, 3000, 10_000] {
        latency.record(ns);
    }
    Outcome {
        options,
        command_line: "loadgen rr".to_owned(),
        runs: vec![run(1000), run(3000)],
        latency,
        request_bytes: options.request,
        buffers: (16384, 131_072),
        cpus: 2,
    }
}

/// What is printed for a command line.
fn printed(line: &str) -> String {
    table::text(&outcome(&parse(line).unwrap()), "192.0.2.1:8080")
}

#[test]
fn defaults_are_those_of_netperf() {
    let options = parse("rr").unwrap();
    assert_eq!((options.test, options.request, options.response), (Test::TcpRr, 1, 1));
    assert_eq!(options.length, Length::Time(Duration::from_secs(10)));
    assert_eq!((options.burst, options.nodelay, options.rule), (0, false, None));
    assert_eq!(parse("crr").unwrap().test, Test::TcpCrr);
    let stream = parse("stream").unwrap();
    assert_eq!((stream.test, stream.message), (Test::TcpStream, 16384));
}

#[test]
fn a_command_line_of_netperf_is_understood() {
    let options = parse(
        "rr -H 192.0.2.1 -p 9 -t tcp_rr -l -500 -i 10,3 -I 99,5 -c -P 0 -T 0 -- -r 64,64 -b 3 -D",
    )
    .unwrap();
    assert_eq!((options.host.as_str(), options.port), ("192.0.2.1", 9));
    assert_eq!(options.length, Length::Count(500));
    assert_eq!(
        options.rule,
        Some(Rule { level: Level::P99, width_percent: 5.0, least: 3, most: 10 })
    );
    assert_eq!((options.request, options.response, options.burst), (64, 64, 3));
    assert!(options.nodelay && options.local_cpu && !options.headings);
    assert_eq!(options.cpu, Some(0));
    assert!(options.remarks.is_empty());
    let options = parse("rr -t HTTP_RR -r ,1000").unwrap();
    assert_eq!(options.response, 1000);
    assert_eq!(parse("rr -r 7").unwrap().response, 7);
    assert_eq!(parse("rr -l 0.5").unwrap().length, Length::Time(Duration::from_millis(500)));
}

#[test]
fn bounds_of_repetitions_are_brought_within_those_of_netperf_aloud() {
    let options = parse("rr -i 100,1 -I 95").unwrap();
    assert_eq!(options.remarks, ["-i 100,1 becomes 30,3: from 3 to 30 runs, as in netperf"]);
}

#[test]
fn what_cannot_be_obeyed_is_refused_with_a_sentence() {
    let check = |line: &str, part: &str| {
        let message = parse(line).expect_err(line);
        assert!(message.contains(part), "{line}: {message}");
    };
    check("rr -z", "unexpected argument");
    check("rr -t TCP_CRR", "none of TCP_RR, UDP_RR, HTTP_RR");
    check("rr -t SCTP_RR", "possible values");
    check("rr -r 1,2", "echoes answers with as many bytes");
    check("rr -r 0", "nothing would be sent");
    check("rr -t HTTP_RR -r 1,2", "give -r ,RESP");
    check("rr -l 0", "0.001");
    check("rr -l -0", "negative number");
    check("rr -m 5", "-m is for stream");
    check("rr -t UDP_RR -D", "-D is for TCP");
    check("rr --close rst", "--close is for crr");
    check("rr -i 5,3", "give -I too");
    check("rr -I 90,5", "not 95 or 99");
    check("rr -I 99,0", "positive percentage");
    check("rr -C", "--server-pid");
    check("rr -k -o", "cannot be used with");
    check("rr -k NONSENSE", "THROUGHPUT THROUGHPUT_UNITS");
    check("crr -b 3", "-b is for");
    check("stream -r 1,1", "-r is for");
    check("stream -j", "-j is for");
}

#[test]
fn selectors_have_the_figures_by_hand() {
    let check = |line: &str, expect: &str| {
        assert_eq!(printed(&format!("{line} -P 0")), expect.replace(' ', "\n") + "\n", "{line}");
    };
    // (500 + 1500) / 2 transactions a second; 0.8 s of CPU in 4 s of 2 CPUs for 4000 of them.
    check(
        "rr -k throughput,THROUGHPUT_UNITS,ELAPSED_TIME,RT_LATENCY",
        "THROUGHPUT=1000.00 THROUGHPUT_UNITS=Trans/s ELAPSED_TIME=2.00 RT_LATENCY=1000.00",
    );
    check("rr -b 3 -k RT_LATENCY,BURST_SIZE", "RT_LATENCY=4000.00 BURST_SIZE=3");
    check(
        "rr -k LOCAL_CPU_UTIL,LOCAL_CPU_PERCENT_USER,LOCAL_SD,SD_UNITS,REMOTE_SD",
        "LOCAL_CPU_UTIL=10.00 LOCAL_CPU_PERCENT_USER=2.50 LOCAL_SD=200.000 SD_UNITS=usec/Tran \
         REMOTE_SD=-1.000",
    );
    // 2 s of CPU in 4 s of 2 CPUs.
    check(
        "rr --server-pid 1 -k REMOTE_CPU_UTIL,REMOTE_SD,REMOTE_CPU_METHOD",
        "REMOTE_CPU_UTIL=25.00 REMOTE_SD=500.000 REMOTE_CPU_METHOD=schedstat",
    );
    check(
        "rr -k MIN_LATENCY,MEAN_LATENCY,P50_LATENCY,MAX_LATENCY",
        "MIN_LATENCY=1.00 MEAN_LATENCY=4.00 P50_LATENCY=3.00 MAX_LATENCY=10.00",
    );
    check(
        "rr -r 64 -k REQUEST_SIZE,RESPONSE_SIZE,PROTOCOL,LOCAL_TRANSPORT_RETRANS",
        "REQUEST_SIZE=64 RESPONSE_SIZE=64 PROTOCOL=TCP LOCAL_TRANSPORT_RETRANS=4",
    );
    check(
        "rr -k CONFIDENCE_LEVEL,CONFIDENCE_ITERATION",
        "CONFIDENCE_LEVEL=-1 CONFIDENCE_ITERATION=2",
    );
    check("crr -k LOCAL_TRANSPORT_RETRANS", "LOCAL_TRANSPORT_RETRANS=-1");
    // 4 * 10^9 bytes in 4 s are 8000 * 10^6 bits a second; 0.8 s for 3,906,250 KiB.
    check(
        "stream -k THROUGHPUT,THROUGHPUT_UNITS,LOCAL_SD,SD_UNITS,TRANSACTION_RATE,LOCAL_SEND_SIZE",
        "THROUGHPUT=8000.00 THROUGHPUT_UNITS=10^6bits/s LOCAL_SD=0.205 SD_UNITS=usec/KB \
         TRANSACTION_RATE=-1.00 LOCAL_SEND_SIZE=16384",
    );
}

#[test]
fn csv_has_a_heading_and_one_line() {
    let text = printed("rr -P 1 -o THROUGHPUT,THROUGHPUT_UNITS,COMMAND_LINE");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[1..],
        ["Throughput,Throughput Units,Command Line", "1000.00,Trans/s,\"loadgen rr\""]
    );
    assert_eq!(printed("rr -P 0 -o ELAPSED_TIME"), "2.00\n");
    let all = printed("rr -o");
    let columns = |line: Option<&str>| line.map(|line| line.split(',').count());
    assert_eq!(columns(all.lines().nth(1)), Some(selectors::ALL.len()));
    assert_eq!(columns(all.lines().nth(2)), Some(selectors::ALL.len()));
}

#[test]
fn every_selector_prints_one_value_and_has_a_name_of_its_own() {
    let text = printed("rr -P 0 -k");
    let mut names: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
    assert_eq!(names.len(), selectors::ALL.len());
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), selectors::ALL.len());
    assert!(
        text.lines().all(|line| line.split_once('=').is_some_and(|(_, value)| !value.is_empty()))
    );
}

#[test]
fn the_classic_table_of_transactions() {
    assert_eq!(
        printed("rr -H host -r 64 -b 2 -D"),
        "TCP REQUEST/RESPONSE TEST from 0.0.0.0 (0.0.0.0) port 0 AF_INET to host (192.0.2.1) port \
         8080 AF_INET : nodelay : first burst 2\n\
         Local /Remote\n\
         Socket Size   Request  Resp.   Elapsed  Trans.\n\
         Send   Recv   Size     Size    Time     Rate\n\
         bytes  Bytes  bytes    bytes   secs.    per sec\n\
         \n\
         16384  131072 64       64      2.00     1000.00  \n\
         -1     -1\n"
    );
    assert_eq!(printed("rr -P 0 -v 0"), "1000.00\n");
    assert_eq!(printed("rr -P 0 -v 0 -c"), "200.00\n");
    assert_eq!(
        printed("rr -P 0"),
        "16384  131072 1        1       2.00     1000.00  \n-1     -1\n"
    );
}

#[test]
fn the_table_with_service_demand_and_latencies() {
    assert_eq!(
        printed("rr -P 0 -c -j"),
        "16384  131072 1       1      2.00    1000.00  10.00  -1.00  200.000 -1.000 \n\
         -1     -1\n\
         1.0      4.0      3.0      10.0     10.0     10.0      4.1\n"
    );
    assert_eq!(
        printed("rr -P 0 -c -C --server-pid 1").lines().next(),
        Some("16384  131072 1       1      2.00    1000.00  10.00  25.00  200.000 500.000")
            .map(|line| line.to_owned() + "")
            .as_deref()
    );
}

#[test]
fn the_table_of_a_stream() {
    let text = printed("stream -m 1000");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("TCP STREAM TEST from "));
    assert_eq!(lines[4], "bytes  bytes   bytes    secs.    10^6bits/sec");
    assert_eq!(
        lines[6].split_whitespace().collect::<Vec<_>>(),
        ["131072", "16384", "1000", "2.00", "8000.00"]
    );
}

#[test]
fn an_interval_that_was_not_reached_is_told_loudly() {
    let text = printed("rr -I 99,5 -i 3,3 -v 0");
    assert!(text.starts_with("!!! WARNING\n!!! Desired confidence was not achieved"), "{text}");
    assert!(text.contains("Throughput      : unknown"), "two runs have no interval: {text}");
    let title = printed("rr -I 99,5").lines().next().map(str::to_owned);
    assert!(title.is_some_and(|title| title.ends_with(" : +/-2.500% @ 99% conf.")));
    let options = parse("rr -I 95,5 -k THROUGHPUT_CONFID,CONFIDENCE_INTERVAL -P 0").unwrap();
    let mut known = outcome(&options);
    known.runs = vec![known.runs[0]; 3];
    assert_eq!(
        table::text(&known, "192.0.2.1:8080"),
        "THROUGHPUT_CONFID=0.000\nCONFIDENCE_INTERVAL=0.050000\n"
    );
}

/// Runs 20 transactions, four in flight, against a server that drops the `dropped`-th datagram;
/// returns how many were lost.
fn lost(dropped: Option<usize>, loss_wait: Duration) -> u64 {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    // Four at the beginning, then one for each answer but the last.
    let echo = thread::spawn(move || {
        let mut buffer = [0; 16];
        for n in 0..4 + 19 {
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            if dropped != Some(n) {
                server.send_to(&buffer[..length], from).unwrap();
            }
        }
    });
    let options = parse("rr -t UDP_RR -b 3 -l -20 -r 8").unwrap();
    let request = peer::request(&options, "");
    let setup = Setup { options: &options, address, request, loss_wait };
    let found = runs::run(&setup, &mut Samples::new(3, EXPECTED_MAX_NS)).unwrap();
    assert_eq!(found.counts.transactions, 20);
    drop(echo.join());
    found.counts.lost
}

#[test]
fn datagrams_that_do_not_come_back_are_counted_and_named() {
    assert_eq!(lost(None, Duration::from_secs(60)), 0);
    // Those behind it may be slow on a machine that is busy; the one that was dropped never comes.
    assert!(lost(Some(5), Duration::from_millis(1)) >= 1);
    let options = parse("rr -t UDP_RR").unwrap();
    let mut outcome = outcome(&options);
    assert_eq!(outcome.loss(), None);
    outcome.runs[1].lost = 2;
    assert!(outcome.loss().unwrap().starts_with("UDP_RR: 2 datagrams were lost. Each leaves"));
}
