//! What a script costs for a request and for a response: `cargo bench -p loadgen --bench script`.
//!
//! The scripts are those of `loadgen/scripts`, and one that returns the same string each time,
//! which is the cost of calling a script at all.

use criterion::{Criterion, criterion_group, criterion_main};
use loadgen::script::{Session, Setup, ThreadScript};
use loadgen::source::Source;
use loadgen::url::Url;
use std::hint::black_box;
use std::net::TcpListener;
use std::path::Path;

/// A script in the VM of one thread, and the session that it belongs to.
fn prepare(script: &Path, args: &[&str]) -> (Session, ThreadScript) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url_text = format!("http://{}/plaintext", server.local_addr().unwrap());
    let mut setup = Setup::new(script, &url_text, &Url::parse(&url_text).unwrap());
    setup.args = args.iter().map(|word| (*word).to_owned()).collect();
    let mut session = Session::load(setup).unwrap();
    assert_eq!(session.warnings(), [""; 0]);
    session.resolve().unwrap();
    let thread = session.thread().unwrap();
    (session, thread)
}

fn requests(criterion: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scripts = [
        ("same_string", "benches/same.lua", &[][..]),
        ("paths", "scripts/paths.lua", &["/a", "/b", "/c", "/d"]),
        ("pipeline_16", "scripts/pipeline.lua", &["16"]),
        ("counter", "scripts/counter.lua", &[]),
        ("token", "scripts/token.lua", &[]),
    ];
    let mut group = criterion.benchmark_group("request");
    for (name, file, args) in scripts {
        let (_session, mut thread) = prepare(&folder.join(file), args);
        let mut batch = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                thread.render(&mut batch).unwrap();
                black_box(batch.len())
            });
        });
    }
    group.finish();
}

fn responses(criterion: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (_session, mut thread) = prepare(&folder.join("scripts/token.lua"), &[]);
    let fields: [(&[u8], &[u8]); 4] = [
        (b"content-type", b"text/plain"),
        (b"server", b"showdown"),
        (b"content-length", b"13"),
        (b"date", b"Sun, 06 Nov 1994 08:49:37 GMT"),
    ];
    criterion.bench_function("response/4_fields_13_bytes", |bencher| {
        bencher.iter(|| thread.response(200, black_box(&fields), b"Hello, World!").unwrap());
    });
}

criterion_group!(benches, requests, responses);
criterion_main!(benches);
