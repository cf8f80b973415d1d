//! What a contender's file may say, and what becomes of it.

use super::*;

fn site() -> Site {
    Site {
        host: "198.18.0.1".to_owned(),
        port: 8080,
        cpu: 3,
        dir: PathBuf::from("/tmp/x"),
        bin: PathBuf::from("/opt/bin"),
    }
}

fn parse(text: &str) -> Result<Vec<Contender>> {
    Contender::parse("f.toml", &format!("[[contender]]\nname = \"n\"\n{text}"))
}

fn refuses(text: &str, part: &str) {
    let message = format!("{:#}", parse(text).unwrap_err());
    assert!(message.contains(part) && message.contains("f.toml"), "'{part}' not in: {message}");
}

#[test]
fn every_contender_that_comes_with_the_program_is_understood() {
    for contender in Contender::named(ALL).unwrap() {
        let cure = contender.package.is_some() || contender.build.is_some();
        assert!(cure, "{} does not say where its program comes from", contender.name);
    }
}

#[test]
fn a_command_is_a_line_or_a_list_of_words() {
    let words = |text: &str| parse(text).unwrap()[0].words(&site()).join("|");
    assert_eq!(words("command = \"a 'b c' {port}\""), "taskset|-c|3|a|b c|8080");
    assert_eq!(words("command = [\"a\", \"b c\"]"), "taskset|-c|3|a|b c");
    refuses("command = \"a 'b\"", "a quote in 'a 'b' is not closed");
    refuses("command = []", "a command needs a program");
    refuses("command = \"\"", "a command needs a program");
}

#[test]
fn placeholders_are_replaced_and_other_braces_stay() {
    let text = "listen {address} {host} {port} {cpu} {dir} {bin}; events { x {y} }";
    let expect = "listen 198.18.0.1:8080 198.18.0.1 8080 3 /tmp/x /opt/bin; events { x {y} }";
    assert_eq!(site().fill(text), expect);
}

#[test]
fn values_that_cannot_be_are_refused() {
    let with = |line: &str| format!("command = \"x\"\n{line}");
    refuses(&with("port = 1"), "unknown field `port`");
    refuses(&with("address = \"{address}/x\""), "is not http://HOST:PORT/PATH");
    refuses(&with("address = \"http://{host}/x\""), "is not http://HOST:PORT/PATH");
    refuses(&with("files = { \"../x\" = \"\" }"), "'../x' is no name of a file in its folder");
    refuses(&with("env = { \"a=b\" = \"\" }"), "'a=b' is no variable");
    refuses(&with("ready = { line = \"\" }"), "give it a text");
    refuses(&with("ready = \"soon\""), "unknown variant `soon`");
    refuses(&with("package = \"p\"\nbuild = \"b\""), "not both");
    refuses("command = \"x\"\nname = \"n\"", "duplicate key");
}

#[test]
fn an_address_has_a_port_and_a_path() {
    let check = |address: &str, port: u16, path: &str| {
        let text = format!("command = \"x\"\naddress = \"{address}\"");
        let contender = parse(&text).unwrap().remove(0);
        let authority = contender.authority(&site()).unwrap();
        assert_eq!((authority, contender.path()), (("198.18.0.1".to_owned(), port), path));
    };
    check("http://{address}/plaintext", 8080, "/plaintext");
    check("http://{host}:9000", 9000, "/");
    check("http://{address}/a/b?c", 8080, "/a/b?c");
}

#[test]
fn a_program_that_is_not_there_is_named_with_the_cure() {
    let lacks = |text: &str| parse(text).unwrap()[0].lacks(&site());
    assert_eq!(lacks("command = \"sh -c x\""), None);
    let package = "command = \"no-such-program\"\npackage = \"p\"";
    let expect =
        "no-such-program is not installed; cure: apt-get install --no-install-recommends p";
    assert_eq!(lacks(package).as_deref(), Some(expect));
    let neither = "no-such-program is not there: install it, or write its path";
    assert_eq!(lacks("command = \"no-such-program\"").as_deref(), Some(neither));
    let build = "command = \"{bin}/none\"\nbuild = \"cargo build\"";
    assert_eq!(lacks(build).as_deref(), Some("not built; cure: cargo build"));
}

#[test]
fn the_first_line_of_either_output_is_the_version() {
    let version = |command: &str| {
        let text = format!("command = \"x\"\nversion = {command:?}");
        parse(&text).unwrap()[0].version_line(&site())
    };
    assert_eq!(version("sh -c 'echo; echo 1.2; echo 3'").as_deref(), Some("1.2"));
    assert_eq!(version("sh -c 'echo v4 >&2'").as_deref(), Some("v4"));
    assert_eq!(version("sh -c 'exit 3'").as_deref(), Some("unknown (exit status: 3)"));
    assert_eq!(parse("command = \"x\"").unwrap()[0].version_line(&site()), None);
}

#[test]
fn an_entry_is_a_name_a_file_or_a_command() {
    let one = Contender::named("mine=./server --port {port}").unwrap().remove(0);
    assert_eq!((one.name.as_str(), one.command.program()), ("mine", "./server"));
    let check = |entry: &str, part: &str| {
        let message = format!("{:#}", Contender::named(entry).unwrap_err());
        assert!(message.contains(part), "{entry}: {message}");
    };
    check("a b=x", "'a b' cannot name a contender");
    check("mine=", "a command needs a program");
    check("no/such.toml", "the contender no/such.toml cannot be read");
    check("none", "no contender is called 'none'");
}
