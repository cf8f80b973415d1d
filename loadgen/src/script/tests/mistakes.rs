//! What is said of a script that is wrong, and when.

use super::*;

/// The error of preparing a script, without the folder of the file; `FILE` stands for its name.
fn check(text: &str, expect: &str) {
    let file = File::new(text);
    let error = prepare(&file.0, &[], 2).err().expect(text);
    assert_eq!(named(&error.0, &file), expect, "{text}");
}

/// A message in which the file is called `FILE`.
fn named(message: &str, file: &File) -> String {
    message.replace(file.0.to_str().unwrap(), "FILE")
}

/// What a hook that is called under load fails with.
fn check_later(
    text: &str,
    call: impl Fn(&mut ThreadScript) -> Result<(), SourceError>,
    expect: &str,
) {
    let file = File::new(text);
    let mut world = prepare(&file.0, &[], 1).unwrap();
    let error = call(&mut world.threads[0]).expect_err(text);
    assert_eq!(named(&error.0, &file), expect, "{text}");
}

#[test]
fn errors_before_the_load_say_file_line_and_hook() {
    check("function setup() error('boom') end", "FILE:1: boom (in setup())");
    check("function init()\n local x\n x.y = 1 end", {
        "FILE:3: attempt to index local 'x' (a nil value) (in init())"
    });
    let object = "setmetatable({}, {__tostring = function() return 'told' end})";
    check(&format!("function request() error({object}) end"), "FILE:1: told (in request())");
    check("function init() error('without place', 0) end", "FILE:1: without place (in init())");
    check("function init() wrk.format(nil, nil, nil, true) end", {
        "FILE:1: bad argument #1 to 'len' (string expected, got boolean) (in init())"
    });
}

#[test]
fn wrong_uses_of_threads_are_told_in_the_words_of_wrk() {
    check("function setup(thread)\n thread.foo = 1 end", {
        "FILE:2: cannot set 'number' on thread (in setup())"
    });
    check("function setup(thread) thread:set('f', print) end", {
        "FILE:1: cannot transfer 'function' to thread (in setup())"
    });
    check("f = print function init() wrk.thread:get('f') end", {
        "FILE:1: cannot transfer 'function' to thread (in init())"
    });
    check("function setup(thread) thread.addr = 'host' end", {
        "FILE:1: bad argument (wrk.addr expected, got string) (in setup())"
    });
    check("function setup(thread) thread.get('x') end", {
        "FILE:1: bad argument (wrk.thread expected, got string) (in setup())"
    });
}

#[test]
fn errors_of_the_api_are_strings_that_scripts_can_catch() {
    let world = world(
        "function setup(thread)
             ok, why = pcall(function() thread.foo = 1 end)
             caught = type(why) .. ' ' .. why:match('cannot .*')
         end
         function done() print(caught) end",
    );
    world.session.done(&figures(false)).unwrap();
    assert_eq!(world.printed(), "string cannot set 'number' on thread\n");
}

#[test]
fn names_that_are_not_known_are_told_where_they_were_asked_for() {
    let host = "no-such-service";
    check(&format!("function init()\n wrk.lookup('127.0.0.1', '{host}') end"), {
        "FILE:2: unable to resolve 127.0.0.1:no-such-service Servname not supported for \
         ai_socktype (in init())"
    });
}

#[test]
fn a_first_request_that_is_none_is_refused() {
    check("function request() return 'GET /' end", "incomplete request at 1:6");
    check("function request() return 'FOO / HTTP/1.1\\r\\n\\r\\n' end", {
        "invalid HTTP method at 1:1"
    });
    check("function request() end", {
        "incomplete request at 1:1: request() returned nil, not a string"
    });
    check("function request() return {} end", {
        "incomplete request at 1:1: request() returned a table, not a string"
    });
    // A number is taken for its text.
    check("function request() return 5 end", "invalid HTTP method at 1:1");
}

#[test]
fn errors_under_load_end_the_source() {
    let render = |thread: &mut ThreadScript| thread.render(&mut Vec::new());
    check_later("function request() request = function() end return wrk.format() end", render, {
        "request() returned nil, not a string"
    });
    check_later(
        "function request() request = function() error('x') end return wrk.format() end",
        render,
        "FILE:1: x (in request())",
    );
    let respond = |thread: &mut ThreadScript| thread.response(200, &[], b"");
    check_later("function response() local x = nil + 1 end", respond, {
        "FILE:1: attempt to perform arithmetic on a nil value (in response())"
    });
    check_later(
        "function response() response = nil end",
        |thread| {
            respond(thread)?;
            respond(thread)
        },
        "attempt to call field 'response' (a nil value) (in response())",
    );
    let delay = |thread: &mut ThreadScript| thread.delay().map(drop);
    check_later("function delay() error('late') end", delay, "FILE:1: late (in delay())");
}

#[test]
fn errors_of_done_are_told_too() {
    let file = File::new("function done(s, l) l:percentile() end");
    let world = prepare(&file.0, &[], 1).unwrap();
    let error = world.session.done(&figures(false)).unwrap_err();
    assert_eq!(named(&error.0, &file), {
        "FILE:1: bad argument #1 to 'percentile' (number expected, got no value) (in done())"
    });
}

#[test]
fn a_script_that_cannot_be_run_is_a_warning_and_the_run_goes_on() {
    let check = |text: &str, warning: &str, path: &str| {
        let file = File::new(text);
        let mut world = prepare(&file.0, &[], 2).unwrap();
        let warnings = world.session.warnings();
        let warnings: Vec<_> = warnings.iter().map(|warning| named(warning, &file)).collect();
        assert_eq!(warnings, [warning], "{text}");
        assert_eq!(world.request(1), format!("GET {path} HTTP/1.1\r\nHost: HOST\r\n\r\n"));
    };
    check("function request( retur", "FILE: FILE:1: ')' expected near '<eof>'", "/start?q=1");
    check("error('no')", "FILE: FILE:1: no", "/start?q=1");
    // What it had set before stays.
    check("wrk.path = '/set' error('no')", "FILE: FILE:1: no", "/set");
}

#[test]
fn a_script_that_is_not_there_is_told_in_the_words_of_wrk() {
    let mut world = prepare(Path::new("no-such.lua"), &[], 2).unwrap();
    let expect = "no-such.lua: cannot open no-such.lua: No such file or directory";
    assert_eq!(world.session.warnings(), [expect]);
    assert_eq!(world.session.warnings(), [""; 0]);
}

#[test]
fn a_hook_that_is_no_function_is_told_and_not_called() {
    let file = File::new("request = 5 delay = 'no' done = {}");
    let mut world = prepare(&file.0, &[], 1).unwrap();
    let warnings: Vec<_> =
        world.session.warnings().iter().map(|warning| named(warning, &file)).collect();
    assert_eq!(
        warnings,
        [
            "FILE: 'delay' is a string, not a function: it is not called",
            "FILE: 'request' is a number, not a function: it is not called",
            "FILE: 'done' is a table, not a function: it is not called",
        ]
    );
    assert!(world.threads[0].fixed().is_some());
    assert_eq!(world.threads[0].delay(), Ok(None));
}

#[test]
fn a_server_that_is_not_there_is_told_in_the_words_of_wrk() {
    let file = File::new("");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Nobody listens at the client's end of a connection, and nobody else can while it is open.
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let address = client.local_addr().unwrap();
    let url = format!("http://{address}/");
    let session = Session::load(Setup::new(&file.0, &url, &Url::parse(&url).unwrap())).unwrap();
    let error = session.resolve().unwrap_err();
    assert_eq!(error.0, format!("unable to connect to {address} Connection refused"));
}
