//! The scripts in `loadgen/scripts`: one test for each.

use super::*;
use std::time::Duration;

fn run(name: &str, args: &[&str]) -> World {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut world = prepare(&folder.join(name), args, 2).unwrap();
    assert_eq!(world.session.warnings(), [""; 0]);
    world
}

const GET: &str = "GET /start?q=1 HTTP/1.1\r\nHost: HOST\r\n\r\n";

#[test]
fn addr_gives_threads_addresses_that_answer() {
    let mut world = run("addr.lua", &[]);
    assert_eq!(world.threads[0].address().unwrap().to_string(), world.authority);
    assert_eq!(world.threads[1].address().unwrap().to_string(), world.authority);
    assert_eq!(world.request(1), GET);
}

#[test]
fn args_are_method_and_body() {
    assert_eq!(run("args.lua", &[]).request(0), GET);
    assert_eq!(
        sorted(&run("args.lua", &["POST", "some text"]).request(1)),
        ["POST /start?q=1 HTTP/1.1", "Content-Length: 9", "Host: HOST", "", "some text"]
    );
}

#[test]
fn counter_numbers_requests_in_each_thread() {
    let mut world = run("counter.lua", &[]);
    let mut check = |thread, number| {
        let line = format!("GET /item/{number} HTTP/1.1");
        let field = format!("X-Number: {number}");
        assert_eq!(sorted(&world.request(thread)), [&line, "Host: HOST", &field, ""]);
    };
    // Thread 0's first request was the one that is verified and not sent.
    check(0, 2);
    check(0, 3);
    check(1, 1);
    check(0, 4);
}

#[test]
fn delay_is_what_the_command_line_says() {
    let check = |args: &[&str], rest_ms| {
        let mut world = run("delay.lua", args);
        let delay = world.threads[1].delay().unwrap();
        assert_eq!(delay, Some(Duration::from_millis(rest_ms)));
        assert_eq!(world.threads[1].fixed().map(<[u8]>::len), Some(world.authority.len() + 35));
    };
    check(&[], 10);
    check(&["20"], 20);
}

#[test]
fn paths_are_asked_for_in_turn() {
    let mut world = run("paths.lua", &["/a", "/b", "/c?d=e"]);
    for path in ["/b", "/c?d=e", "/a", "/b"] {
        assert_eq!(world.request(0), format!("GET {path} HTTP/1.1\r\nHost: HOST\r\n\r\n"));
    }
    assert_eq!(run("paths.lua", &[]).request(0), GET);
}

#[test]
fn pipeline_sends_as_many_as_it_is_told() {
    let mut world = run("pipeline.lua", &["3", "/p"]);
    assert_eq!((world.threads[0].depth(), world.threads[1].depth()), (3, 3));
    let one = "GET /p HTTP/1.1\r\nHost: HOST\r\n\r\n";
    assert_eq!(world.request(1), one.repeat(3));
    assert_eq!(run("pipeline.lua", &[]).request(0), GET);
}

#[test]
fn post_sends_a_form() {
    let world = run("post.lua", &[]);
    let batch = String::from_utf8(world.threads[1].fixed().unwrap().to_vec()).unwrap();
    assert_eq!(
        sorted(&batch.replace(&world.authority, "HOST")),
        [
            "POST /start?q=1 HTTP/1.1",
            "Content-Length: 24",
            "Content-Type: application/x-www-form-urlencoded",
            "Host: HOST",
            "",
            "name=showdown&mode=epoll"
        ]
    );
}

#[test]
fn report_is_a_line_of_json() {
    let world = run("report.lua", &[]);
    world.session.done(&figures(false)).unwrap();
    // Mean 350; squares 62,500 + 2 x 22,500 + 302,500 = 410,000 / 3, the root of which is 369.68.
    // Ranks are round(0.5 x 4 + 0.5) = 3 (2.5 rounds up) and round(0.99 x 4 + 0.5) = 4.
    assert_eq!(
        world.printed(),
        "{\"requests\":4,\"duration_us\":1500000,\"bytes\":8589934592,\"errors\":15,\
         \"latency_mean_us\":350.00,\"latency_stdev_us\":369.68,\"latency_min_us\":100,\
         \"latency_p50_us\":200,\"latency_p99_us\":900,\"latency_max_us\":900,\
         \"thread_rps_max\":40}\n"
    );
    assert_eq!(run("report.lua", &[]).request(0), GET);
}

#[test]
fn stop_ends_a_thread_and_no_other() {
    let mut world = run("stop.lua", &["2"]);
    assert!(world.threads[0].wants_responses());
    world.respond(0, 200, &[], "");
    assert!(!world.threads[0].stopped());
    world.respond(0, 200, &[], "");
    assert!(world.threads[0].stopped());
    assert!(!world.threads[1].stopped());
    assert_eq!(world.request(0), GET);
}

#[test]
fn threads_are_numbered_and_added_up() {
    let mut world = run("threads.lua", &[]);
    assert_eq!(sorted(&world.request(1)), {
        ["GET /start?q=1 HTTP/1.1", "Host: HOST", "X-Thread: 2", ""]
    });
    world.respond(0, 200, &[], "");
    world.respond(1, 404, &[], "");
    world.respond(1, 404, &[], "");
    // The run is over: the workers drop their scripts, and the VMs live on.
    world.threads.clear();
    world.session.done(&figures(false)).unwrap();
    assert_eq!(world.printed(), "thread 1: 1 times 200\nthread 2: 2 times 404\n");
}

#[test]
fn token_goes_with_all_requests_after_it_came() {
    let mut world = run("token.lua", &[]);
    let before = "GET /authenticate HTTP/1.1\r\nHost: HOST\r\n\r\n";
    assert_eq!(world.request(0), before);
    world.respond(0, 401, &[("X-Token", "no")], "");
    assert_eq!(world.request(0), before);
    world.respond(0, 200, &[("Server", "s"), ("X-Token", "t1")], "body");
    let after = ["GET /resource HTTP/1.1", "Host: HOST", "X-Token: t1", ""];
    assert_eq!(sorted(&world.request(0)), after);
    world.respond(0, 200, &[("X-Token", "t2")], "");
    assert_eq!(sorted(&world.request(0)), after);
    assert_eq!(world.request(1), before);
}
