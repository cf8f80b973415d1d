//! When hooks are called, and what their absence means.

use super::*;
use std::time::Duration;

#[test]
fn the_script_runs_once_in_each_vm_and_threads_are_made_one_after_the_other() {
    let log = std::env::temp_dir().join(format!("loadgen-{}-order", std::process::id()));
    let path = log.to_str().unwrap();
    let text = format!(
        "local function log(word)
             local file = io.open('{path}', 'a') file:write(word, ' ') file:close()
         end
         log('load')
         function setup() log('setup') end
         function init() log('init') end
         function request() log('request') return wrk.format() end
         function done() log('done') end"
    );
    let mut world = world(&text);
    world.request(1);
    world.session.done(&figures(false)).unwrap();
    let order = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert_eq!(order, "load load setup init request load setup init request done ");
}

#[test]
fn without_hooks_a_request_is_rendered_once() {
    let world = world("wrk.method = 'PUT'");
    let thread = &world.threads[1];
    let expect = format!("PUT /start?q=1 HTTP/1.1\r\nHost: {}\r\n\r\n", world.authority);
    assert_eq!(thread.fixed(), Some(expect.as_bytes()));
    assert_eq!(thread.depth(), 1);
    assert!(!thread.wants_responses() && !thread.stopped());
    assert!(!world.session.has_done().unwrap());
    world.session.done(&figures(false)).unwrap();
}

#[test]
fn a_static_request_is_what_init_has_left() {
    let mut world = world("function init(args) wrk.path = wrk.path .. '&a=' .. args[1] end");
    assert!(world.threads[0].fixed().is_some());
    assert_eq!(world.request(0), "GET /start?q=1&a=one HTTP/1.1\r\nHost: HOST\r\n\r\n");
}

#[test]
fn what_changes_after_init_does_not_reach_the_static_request() {
    let mut world = world("function request() wrk.path = '/changed' return wrk.request() end");
    assert_eq!(world.threads[0].fixed(), None);
    assert_eq!(world.request(0), "GET /start?q=1 HTTP/1.1\r\nHost: HOST\r\n\r\n");
}

#[test]
fn hooks_may_be_replaced_while_the_load_runs() {
    let mut world = world(
        "function first() return wrk.format('GET', '/first') end
         function second() return wrk.format('GET', '/second') end
         request = first
         function response() request = second response = function() request = nil end end",
    );
    let line = |world: &mut World| world.request(0).lines().next().unwrap().to_owned();
    assert_eq!(line(&mut world), "GET /first HTTP/1.1");
    world.respond(0, 200, &[], "");
    assert_eq!(line(&mut world), "GET /second HTTP/1.1");
    world.respond(0, 200, &[], "");
    // Without one, wrk goes on with the request that was rendered after init.
    assert_eq!(line(&mut world), "GET /start?q=1 HTTP/1.1");
}

#[test]
fn thread_0_decides_which_hooks_there_are() {
    let world = world(
        "function setup(thread) count = (count or 0) + 1 thread:set('id', count) end
         function init()
             if id == 1 then
                 function request() return wrk.format():rep(2) end
             else
                 function response() end
                 function delay() return 5 end
             end
         end",
    );
    assert_eq!(world.threads.iter().map(Source::depth).collect::<Vec<_>>(), [2, 2]);
    assert!(world.threads.iter().all(|thread| thread.fixed().is_none()));
    assert!(world.threads.iter().all(|thread| !thread.wants_responses()));
}

#[test]
fn a_response_comes_with_status_fields_and_body() {
    let mut world = world(
        "function response(status, headers, body)
             local names = {}
             for name, value in pairs(headers) do names[#names + 1] = name .. '=' .. value end
             table.sort(names)
             seen = type(status) .. status .. ' ' .. table.concat(names, ',') .. ' ' .. body
         end",
    );
    world.respond(1, 404, &[("A", "1"), ("a", "2"), ("A", "3")], "not\0here");
    assert_eq!(world.global(1, "seen"), "number404 A=3,a=2 not\0here");
    world.respond(1, 204, &[], "");
    assert_eq!(world.global(1, "seen"), "number204  ");
    assert_eq!(world.global(0, "seen"), "nil");
}

#[test]
fn delays_are_whole_milliseconds() {
    let check = |returned: &str, delay_ms: u64| {
        let mut world = world(&format!("function delay() return {returned} end"));
        let found = world.threads[1].delay().unwrap();
        assert_eq!(found, Some(Duration::from_millis(delay_ms)), "{returned}");
    };
    check("25", 25);
    check("2.9", 2);
    check("'30'", 30);
    check("0", 0);
    // wrk takes these for no delay.
    check("nil", 0);
    check("{}", 0);
    check("-5", 0);
    check("0/0", 0);
    let mut world = world("");
    assert_eq!(world.threads[0].delay().unwrap(), None);
}

#[test]
fn stop_takes_effect_only_once_the_thread_runs() {
    let world = world(
        "function setup(thread) thread:stop() end
         function init() wrk.thread:stop() end",
    );
    assert!(!world.threads[0].stopped());
    let lua = world.threads[1].vm().lua();
    lua.load("wrk.thread:stop()").exec().unwrap();
    assert!(world.threads[1].stopped() && !world.threads[0].stopped());
}

#[test]
fn a_thread_that_is_stopped_in_request_needs_no_other_request() {
    let mut world = world(
        "local left = 2
         function request()
             left = left - 1
             if left >= 0 then return wrk.format() end
             wrk.thread:stop()
         end",
    );
    assert_ne!(world.request(0), "");
    assert_eq!(world.request(0), "");
    assert!(world.threads[0].stopped());
}

#[test]
fn without_addresses_a_thread_has_none() {
    let file = File::new("function setup(thread) print(thread.addr) end");
    let setup = Setup::new(&file.0, "http://h/", &Url::parse("http://h/").unwrap());
    let mut session = Session::load(setup).unwrap();
    assert_eq!(session.thread().unwrap().address(), None);
}

#[test]
fn the_rest_of_a_vm_lives_as_long_as_the_session() {
    let mut world = world(
        "local threads = {}
         function setup(thread) threads[#threads + 1] = thread end
         function init() count = 0 end
         function response() count = count + 1 end
         function done() for _, t in ipairs(threads) do print(t:get('count')) end end",
    );
    world.respond(1, 200, &[], "");
    world.threads.clear();
    world.session.main().lua().gc_collect().unwrap();
    world.session.done(&figures(false)).unwrap();
    assert_eq!(world.printed(), "0\n1\n");
}

#[test]
fn a_thread_script_can_go_to_another_thread() {
    let mut world = world("function request() return wrk.format('GET', '/moved') end");
    let mut script = world.threads.remove(1);
    let moved = std::thread::spawn(move || {
        let mut batch = Vec::new();
        script.render(&mut batch).map(|()| batch)
    });
    let batch = moved.join().unwrap().unwrap();
    assert!(batch.starts_with(b"GET /moved HTTP/1.1\r\n"));
}
