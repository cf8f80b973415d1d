//! What cannot be served is refused with a sentence, its likely cause and its cure.

use crate::{BINARY, LISTEN, arguments, words};
use server_testing::{Server, refused};

fn check(arguments: &[String], expect: &str) {
    let error = refused(BINARY, &words(arguments));
    let last = error.lines().last().unwrap_or_default();
    assert!(last.starts_with("server-dpdk: "), "{error}");
    assert!(last.contains(expect), "`{last}` lacks `{expect}`");
}

/// The server's arguments behind `--listen`, as one string.
fn line(text: &str) -> Vec<String> {
    ["--listen", LISTEN].into_iter().chain(text.split(' ')).map(str::to_owned).collect()
}

#[test]
fn without_huge_pages_the_cure_is_named() {
    // A folder without huge pages in it stands for a machine without any.
    let text = format!("-- --no-pci --huge-dir /proc --file-prefix huge-{}", std::process::id());
    check(&line(&text), "hugepages.sh up, or do without: --no-huge -m 256");
}

#[test]
fn without_a_port_it_is_said_how_to_name_one() {
    let text = format!("-- --no-huge -m 64 --no-pci --file-prefix none-{}", std::process::id());
    check(&line(&text), "DPDK has found no port");
}

#[test]
fn wrong_arguments_of_eal_are_refused() {
    let check = |more: &str, expect: &str| {
        let pid = std::process::id();
        let text = format!("-- --no-huge -m 64 --no-pci --file-prefix wrong-{pid} {more}");
        check(&line(&text), expect);
    };
    check("-l 0", "name the CPUs with --cpus");
    check("--vdev=net_nonsense0", "EAL says above which device no driver takes");
    check("--no-such-argument", "a wrong argument, or another program with");
    check("--vdev net_memif0,zero-copy=yes", "leave it out");
    check("--vdev net_null0 --vdev net_null1", "there are 2 ports: name one of net_null0, net_n");
}

#[test]
fn what_the_port_does_not_have_is_refused() {
    let check = |flags: &[&str], expect: &str| check(&arguments(flags, "net_null0", "no"), expect);
    check(&["--port", "net_null1"], "there is no port `net_null1`, but net_null0");
    check(&["--frames", "1000"], "1000 frames for rings of 1024 and 1024: choose 2304");
    check(&["--frames", "100000"], "cannot make a mempool: Cannot allocate memory");
    check(&["--queues", "2"], "--cpus 0-1");
    check(&["--mac", "01:00:00:00:00:01"], "choose one of a single host");
}

#[test]
fn two_programs_need_a_file_prefix_each() {
    let arguments = arguments(&[], "net_ring0", "twice");
    let server = Server::start(BINARY, &words(&arguments));
    check(&arguments, "another program with the same --file-prefix");
    server.stop();
}
