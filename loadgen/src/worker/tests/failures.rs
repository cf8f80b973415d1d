//! What ends a request otherwise than well: each is counted once, under its name.

use super::*;

#[test]
fn an_announced_close_is_no_error_however_it_arrives() {
    const LAST: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    const UNTIL: &str = "HTTP/1.1 200 OK\r\n\r\nok";
    let servers: [Server; 4] = [
        |_| vec![(MS, Act::Bytes(LAST)), (MS, Act::Close)],
        |_| vec![(MS, Act::LastBytes(LAST)), (MS, Act::Close)],
        |_| vec![(MS, Act::LastBytes(OK)), (MS, Act::Close)],
        |_| vec![(MS / 2, Act::Bytes(UNTIL)), (MS, Act::Close)],
    ];
    for (index, server) in servers.into_iter().enumerate() {
        let expect = Counts {
            // Opening takes a millisecond, answering another: 2, 4, … 98 ms, and at 100 ms.
            sent: 50,
            requests: 50,
            reopened: 50,
            ..Counts::default()
        };
        assert_eq!(counts(&Case { server, ..case() }), expect, "server {index}");
    }
}

#[test]
fn failures_are_counted_by_kind_and_the_connection_opened_again() {
    let check = |server: Server, expect: Counts| {
        let expect = Counts { sent: 50, reopened: 50, ..expect };
        assert_eq!(counts(&Case { server, ..case() }), expect);
    };
    let read = Counts { read: 50, ..Counts::default() };
    let framing = Counts { framing: 50, ..Counts::default() };
    check(|_| vec![(MS, Act::Reset)], read);
    check(|_| vec![(MS, Act::Close)], read);
    check(|_| vec![(MS / 2, Act::Bytes("HTTP/1.1 2")), (MS, Act::Reset)], read);
    check(|_| vec![(MS / 2, Act::Bytes("HTTP/1.1 2")), (MS, Act::Close)], framing);
    check(|_| vec![(MS, Act::Bytes("SSH-2.0-OpenSSH\r\n"))], framing);
    check(|_| vec![(MS, Act::Bytes("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nok"))], framing);
    check(
        |_| {
            let short = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok";
            vec![(MS / 2, Act::Bytes(short)), (MS, Act::Close)]
        },
        framing,
    );
}

#[test]
fn after_a_failure_a_response_that_had_begun_is_forgotten() {
    let server: Server = |n| match n {
        0 => vec![(MS, Act::Bytes("HTTP/1.1 200 OK\r\ncontent-")), (2 * MS, Act::Reset)],
        _ => vec![(MS, Act::Bytes(OK))],
    };
    let got = counts(&Case { server, ..case() });
    assert_eq!((got.read, got.framing, got.requests), (1, 0, 96));
}

#[test]
fn refused_connections_are_tried_again_at_a_bounded_pace() {
    let got = counts(&Case { plan: closed(1, 1000), door: |_| Act::Refuse, ..case() });
    // At 1 ms and each 101 ms after: the pause, and a millisecond to be refused.
    assert_eq!(got, Counts { connect: 10, ..Counts::default() });
    let door = |n| if n < 3 { Act::Refuse } else { Act::Open };
    let got = counts(&Case { plan: closed(1, 1000), door, ..case() });
    assert_eq!((got.connect, got.reopened), (3, 0));
    // Open at 304 ms, then an answer each millisecond.
    assert_eq!(got.requests, 696);
}

#[test]
fn a_connection_that_does_not_open_is_given_up_and_tried_again() {
    let door = |n| if n < 2 { Act::Silence } else { Act::Open };
    let outcome = outcome(&Case { plan: closed(1, 21_000), door, ..case() });
    assert_eq!(outcome.errnos, [((Failure::Connect, libc::ETIMEDOUT), 2)].into());
    // Given up after 10 s and after 20 s, open a millisecond later, then an answer in each.
    assert_eq!((outcome.counts.connect, outcome.counts.reopened), (2, 0));
    assert_eq!(outcome.counts.requests, 999);
}

#[test]
fn a_connection_that_has_not_opened_at_the_end_is_counted() {
    // The first opens, has its first answer, and is closed when the second is due to come.
    let closes: Server = |_| vec![(MS, Act::Bytes(OK)), (2 * MS, Act::Close)];
    let door = |n| if n == 0 { Act::Open } else { Act::Silence };
    let case = Case { server: closes, door, ..case() };
    let got = counts(&Case { plan: closed(2, 100), ..case });
    assert_eq!((got.connect, got.requests, got.read, got.reopened), (2, 1, 1, 1));
    // Not before the time-out of 10 ms has passed.
    let got = counts(&Case { plan: closed(2, 9), door: |_| Act::Silence, ..case });
    assert_eq!(got, Counts::default());
}

#[test]
fn opening_in_time_again_and_again_is_no_failure() {
    let server: Server = |_| vec![(MS, Act::LastBytes(OK))];
    let got = counts(&Case { plan: closed(1, 25_000), server, ..case() });
    assert_eq!((got.connect, got.requests, got.reopened), (0, 12_500, 12_500));
}

#[test]
fn failures_are_told_by_their_error_number() {
    let server: Server = |n| match n {
        0 => vec![(MS, Act::Reset)],
        _ => vec![(MS, Act::Bytes(OK))],
    };
    let door = |n| if n < 2 { Act::Refuse } else { Act::Open };
    let outcome = outcome(&Case { plan: closed(1, 1000), server, door, ..case() });
    let expect =
        [((Failure::Connect, libc::ECONNREFUSED), 2), ((Failure::Read, libc::ECONNRESET), 1)];
    assert_eq!(outcome.errnos, expect.into());
}

/// The third request is never answered; the time-out is 10 ms.
const HANGS: Server = |n| if n == 2 { Vec::new() } else { vec![(MS, Act::Bytes(OK))] };

#[test]
fn a_hung_request_is_waited_for_to_the_end_and_keeps_its_time() {
    let outcome = outcome(&Case { server: HANGS, ..case() });
    // Open at 1 ms, answers at 2 and 3 ms; then nothing.
    let counts = outcome.counts;
    assert_eq!((counts.sent, counts.requests, counts.hung, counts.in_flight), (3, 2, 1, 0));
    assert_eq!(outcome.latency.max(), 97 * MS);
    assert_eq!((outcome.gap.length_ns, outcome.gap.began_ns), (97 * MS, (5 + 3) * MS));
}

#[test]
fn a_hung_request_may_be_ended_at_the_timeout() {
    let plan = Plan { hung: HungRule::End, ..closed(1, 100) };
    let outcome = outcome(&Case { plan, server: HANGS, ..case() });
    let counts = outcome.counts;
    // Sent at 3 ms. The timer that was set with the first request looks at 11 ms, when the third
    // has waited for 8, and again at 13 ms; the next connection is open at 14 ms.
    assert_eq!((counts.hung, counts.reopened, counts.timeout), (1, 1, 0));
    assert_eq!((counts.requests, counts.in_flight), (2 + 86, 1));
    assert_eq!(outcome.latency.max(), 10 * MS);
}

#[test]
fn what_a_script_is_told_of_time_outs_is_what_wrk_counts() {
    let server: Server = |n| vec![(if n == 5 { 50 * MS } else { MS }, Act::Bytes(OK))];
    let plan = Plan { wrk_figures: true, ..closed(1, 100) };
    let late = outcome(&Case { plan, server, ..case() });
    let figures = late.wrk.unwrap();
    assert_eq!((figures.timeout, late.counts.timeout), (1, 1));
    assert_eq!(figures.latency_us, [(1000, 49)].into());
    let plan = Plan { hung: HungRule::End, ..plan };
    let ended = outcome(&Case { plan, server, ..case() });
    assert_eq!(ended.wrk.unwrap().timeout, 1);
    assert_eq!((ended.counts.timeout, ended.counts.hung), (0, 1));
}
