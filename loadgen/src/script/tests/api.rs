//! The globals that scripts find: `wrk`, threads, addresses, statistics.

use super::*;
use crate::request::Fields;

/// Runs `lines` as `done`, with the figures of [`figures`], and compares what they print.
fn check_done(rate_given: bool, lines: &str, expect: &str) {
    let text = format!("function done(summary, latency, requests)\n{lines}\nend");
    let world = world(&text);
    world.session.done(&figures(rate_given)).unwrap();
    assert_eq!(world.printed(), format!("{expect}\n"), "{lines}");
}

/// Compares an expression in a thread's VM once `init` has run.
fn check(text: &str, expression: &str, expect: &str) {
    let world = world(text);
    let found = world.global(1, expression).replace(&world.authority, "HOST");
    assert_eq!(found, expect, "{expression}");
}

#[test]
fn the_table_has_the_parts_of_the_url() {
    let port = "wrk.port:match('^%d+$') ~= nil";
    check("", &format!("{port} and type(wrk.port)"), "string");
    check("", "wrk.scheme .. ' ' .. wrk.host .. ' ' .. wrk.path", "http 127.0.0.1 /start?q=1");
    check("", "wrk.method .. ' ' .. tostring(wrk.body)", "GET nil");
    check("", "wrk.headers.Host", "HOST");
    check("", "require('wrk') == wrk", "true");
    check("", "type(wrk.thread) .. ' ' .. tostring(wrk.thread.addr)", "userdata HOST");
    for name in ["format", "lookup", "connect", "resolve", "setup", "init", "request", "time_us"] {
        check("", &format!("type(wrk.{name})"), "function");
    }
}

#[test]
fn fields_of_the_command_line_are_there_before_the_script_runs() {
    let file = File::new("seen = wrk.headers.A wrk.headers.B = 'script'");
    let mut setup = Setup::new(&file.0, "http://h/", &Url::parse("http://h/").unwrap());
    let mut fields = Fields::default();
    fields.add("A: 1").unwrap();
    fields.add("B: line").unwrap();
    fields.add("Host: named").unwrap();
    setup.fields = fields.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let session = Session::load(setup).unwrap();
    let text: String = session
        .main()
        .lua()
        .load("wrk.init({}) return seen .. ' ' .. wrk.request()")
        .eval()
        .unwrap();
    assert_eq!(sorted(&text), ["1 GET / HTTP/1.1", "A: 1", "B: script", "Host: named", ""]);
}

#[test]
fn hosts_get_their_port_and_addresses_of_ipv6_their_brackets() {
    let host = |url: &str| {
        let file = File::new("");
        let setup = Setup::new(&file.0, url, &Url::parse(url).unwrap());
        let session = Session::load(setup).unwrap();
        let lua = session.main().lua();
        lua.load("wrk.init({}) return wrk.headers.Host").eval::<String>().unwrap()
    };
    assert_eq!(host("http://example.test/"), "example.test");
    assert_eq!(host("http://example.test:81/"), "example.test:81");
    assert_eq!(host("http://[::1]:81/"), "[::1]:81");
    assert_eq!(host("http://[::1]/"), "[::1]");
}

#[test]
fn format_fills_in_what_is_not_given() {
    let check = |call: &str, expect: &[&str]| {
        let world = world("function init() wrk.headers.A = 'b' end");
        let text = world.global(0, call).replace(&world.authority, "HOST");
        assert_eq!(sorted(&text), expect, "{call}");
    };
    check("wrk.format()", &["GET /start?q=1 HTTP/1.1", "A: b", "Host: HOST", ""]);
    check("wrk.format('PUT', '/x')", &["PUT /x HTTP/1.1", "A: b", "Host: HOST", ""]);
    check("wrk.format(nil, nil, {B = 1, Host = 'h'})", {
        &["GET /start?q=1 HTTP/1.1", "B: 1", "Host: h", ""]
    });
    check("wrk.format('POST', '/', nil, 'four')", {
        &["POST / HTTP/1.1", "A: b", "Content-Length: 4", "Host: HOST", "", "four"]
    });
    check("wrk.format(nil, nil, {T = true, N = 1.5})", {
        &["GET /start?q=1 HTTP/1.1", "Host: HOST", "N: 1.5", "T: true", ""]
    });
}

#[test]
fn format_writes_host_and_length_into_the_table_that_it_was_given() {
    let length = "local t = {} wrk.format(nil, nil, t, 'abc')
        local first = t['Content-Length'] wrk.format(nil, nil, t)
        return tostring(first) .. ' ' .. tostring(t['Content-Length']) .. ' ' .. t.Host";
    let expression = format!("(function() {length} end)()");
    check("", &expression, "3 nil HOST");
    check("wrk.body = 'abc'", "wrk.headers['Content-Length']", "3");
}

#[test]
fn bytes_of_every_value_pass_unchanged() {
    let mut world = world(
        "local all = {}
         for byte = 0, 255 do all[#all + 1] = string.char(byte) end
         function request() return wrk.format('POST', '/', {Host = 'h'}, table.concat(all)) end",
    );
    let mut batch = Vec::new();
    world.threads[0].render(&mut batch).unwrap();
    let all: Vec<u8> = (0..=255).collect();
    assert!(batch.ends_with(&[b"\r\n\r\n", all.as_slice()].concat()), "{batch:?}");
    assert!(batch.starts_with(b"POST / HTTP/1.1\r\n"), "{batch:?}");
}

#[test]
fn arguments_follow_the_url() {
    let text = "function init(args)
        all = #args .. ' ' .. args[0]:match('^http://') .. args[1] .. args[2]
    end";
    check(text, "all", "2 http://onetwo");
}

#[test]
fn threads_take_and_give_values() {
    let world = world(
        "threads = {}
         function setup(thread)
             threads[#threads + 1] = thread
             thread:set('table', {1, {two = 'three'}})
             thread:set('number', #threads)
             thread:set(7, true)
         end
         function init() answer = table[2].two .. number .. tostring(_G['7']) end
         function done()
             for _, thread in ipairs(threads) do print(thread:get('answer')) end
             print(threads[1]:get('missing'), type(threads[1]), threads[1].unknown)
             print(tostring(threads[1].addr) == tostring(wrk.addrs[1]))
         end",
    );
    world.session.done(&figures(false)).unwrap();
    assert_eq!(world.printed(), "three1true\nthree2true\nnil\tuserdata\tunknown\ntrue\n");
}

#[test]
fn a_thread_sees_itself() {
    let text = "function init() wrk.thread:set('a', {5}) b = wrk.thread:get('a')[1] end";
    check(text, "b", "5");
    check("", "select(2, pcall(wrk.thread.get, wrk.thread, 'print'))", {
        "cannot transfer 'function' to thread"
    });
}

#[test]
fn addresses_can_be_replaced() {
    let mut world = world("function setup(t) t.addr = wrk.lookup('127.0.0.9', '99')[1] end");
    assert_eq!(world.threads[1].address().unwrap().to_string(), "127.0.0.9:99");
    // Only where to connect has changed.
    assert_eq!(world.request(1), "GET /start?q=1 HTTP/1.1\r\nHost: HOST\r\n\r\n");
    check("", "tostring(wrk.lookup('::1', 'https')[1])", "::1:443");
    check("", "type(wrk.lookup('127.0.0.1', 80)[1])", "userdata");
    check(
        "function init() wrk.thread.addr = wrk.lookup('127.0.0.9', '7')[1] end",
        "tostring(wrk.thread.addr)",
        "127.0.0.9:7",
    );
}

#[test]
fn the_summary_has_wrks_names_and_units() {
    let lines = "print(summary.duration, summary.requests, summary.bytes)
        local e = summary.errors print(e.connect, e.read, e.write, e.status, e.timeout)";
    check_done(false, lines, "1500000\t4\t8589934592\n1\t2\t3\t4\t5");
    check_done(false, "print(string.format('%d', summary.duration / 7))", "214285");
}

#[test]
fn statistics_are_called_measured_and_asked_by_name() {
    check_done(false, "print(latency.min, latency.max, latency.mean)", "100\t900\t350");
    check_done(false, "print(string.format('%.3f', latency.stdev))", "369.685");
    check_done(false, "print(latency:percentile(50), latency:percentile(99.9))", "200\t900");
    check_done(false, "print(latency:percentile('50'))", "200");
    check_done(false, "print(latency.percentile(latency, 1))", "100");
    check_done(false, "print(#latency, #requests)", "3\t1");
    check_done(false, "print(latency(1), latency(2)) print(latency(2))", "100\t200\t2\n200\t2");
    check_done(false, "print(latency(0)) print(latency(4))", "0\t3\n0\t3");
    check_done(false, "print(requests.max, requests(1))", "40\t40\t1");
    check_done(false, "print(type(latency))", "userdata");
    // wrk answers a name that it does not know with the name, and a number with its text.
    check_done(false, "print(latency.total, type(latency[1]))", "total\tstring");
}

#[test]
fn with_a_rate_statistics_are_indexed_as_in_wrk2() {
    check_done(true, "print(#latency)", "4");
    check_done(true, "print(latency[1], latency[2], latency[3], latency[4])", "100\t200\t200\t900");
    check_done(true, "print(latency['1'], latency.max, latency.total)", "100\t900\ttotal");
    check_done(true, "print(latency:percentile(50), latency:percentile(100))", "200\t900");
    check_done(true, "print(latency(2))", "200\t2");
}

#[test]
fn the_time_of_day_is_in_microseconds() {
    // 2020-01-01 to 2100-01-01.
    check("", "wrk.time_us() > 1577836800e6 and wrk.time_us() < 4102444800e6", "true");
}

#[test]
fn numbers_are_printed_as_lua_5_1_prints_them() {
    check("", "string.format('%d %d', 3.7, -3.7)", "3 -3");
    check("", "2^53", "9.007199254741e+15");
    check("", "require('bit').band(6, 3)", "2");
    check("", "tostring(10/2)", "5");
}
