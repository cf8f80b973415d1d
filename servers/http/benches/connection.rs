//! What a request costs, beside what `httparse` alone costs for the shortest of them.
//!
//! The bound that is kept: `get_40_bytes` in at most 200 ns, or 3 times `httparse_alone` in the
//! same run. `cargo bench -p server-http`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use server_http::{Connection, Date, Limits, Now, Sink};
use std::hint::black_box;

const GET_40_BYTES: &[u8; 40] = b"GET /plaintext HTTP/1.1\r\nHost: x.org\r\n\r\n";

const BROWSER: &[u8] = b"GET /plaintext HTTP/1.1\r\n\
    Host: www.example.org:8080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate\r\n\
    Connection: keep-alive\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Cookie: session=0123456789\r\n\
    Priority: u=0, i\r\n\r\n";

/// A buffer that is emptied before each call, as a fast client empties a socket's.
struct Buffer {
    bytes: Box<[u8; 16 * 1024]>,
    length: usize,
}

impl Sink for Buffer {
    fn space(&self) -> usize {
        self.bytes.len() - self.length
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn backlog(&self) -> usize {
        self.length
    }

    fn lend(&mut self, len: usize) -> Option<&mut [u8]> {
        self.bytes[self.length..].get_mut(..len)
    }

    fn commit(&mut self, len: usize) {
        assert!(len <= self.space(), "commit of {len} bytes into {}", self.space());
        self.length += len;
    }
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("connection");
    group.bench_function("httparse_alone", |bencher| {
        bencher.iter(|| {
            let mut table = [const { std::mem::MaybeUninit::uninit() }; Limits::HEADER_COUNT_MAX];
            let mut request = httparse::Request::new(&mut []);
            let parsed = request.parse_with_uninit_headers(black_box(GET_40_BYTES), &mut table);
            assert!(parsed.is_ok_and(|status| status.is_complete()));
            black_box(request.headers.len())
        });
    });
    let echo =
        [b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", &[b'e'; 1000][..]];
    let cases: [(&str, Vec<u8>, u32); 5] = [
        ("get_40_bytes", GET_40_BYTES.to_vec(), 1),
        ("json", b"GET /json HTTP/1.1\r\nHost: x.org\r\n\r\n".to_vec(), 1),
        ("browser", BROWSER.to_vec(), 1),
        ("echo_1000_bytes", echo.concat(), 1),
        ("pipelined", GET_40_BYTES.repeat(16), 16),
    ];
    for (name, input, requests) in cases {
        group.throughput(Throughput::Elements(u64::from(requests)));
        group.bench_function(BenchmarkId::new(name, requests), |bencher| {
            let now = Now { monotonic_ns: 1, date: Date::from_unix_seconds(784_111_777) };
            let mut connection = Connection::new(&Limits::DEFAULT, 0);
            let mut output = Buffer { bytes: Box::new([0; 16 * 1024]), length: 0 };
            bencher.iter(|| {
                output.length = 0;
                let advance = connection.advance(&now, black_box(&input), false, &mut output);
                assert_eq!((advance.responses, advance.consumed), (requests, input.len()));
                black_box(output.bytes[0])
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(50)
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2))
        .without_plots();
    targets = requests
}
criterion_main!(benches);
