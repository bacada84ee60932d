//! Odd requests to hyper, once directly and once through the proxy: what the proxy lets through means the same behind it as it
//! would have meant without it.
//!
//! ```text
//! bytes --+--> hyper                what it makes of them
//!         +--> proxy --> hyper      a beginning of that, or nothing
//! ```
//!
//! `VAMP_FUZZ_SEED` and `VAMP_FUZZ_CASES` widen the search.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use crate::fuzz::{Chance, REQUEST_WORDS, REQUESTS, setting};
use crate::support::{Bench, gateway, route};

/// A request as hyper understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Understood {
    method: String,
    /// Path and query.
    target: String,
    host: String,
    /// Fields for both ends, in order.
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    /// The body came to its end.
    complete: bool,
    /// Came in absolute form.
    absolute: bool,
}

impl Understood {
    /// For the gateway of this test, as the proxy finds it by Host.
    fn is_for_shop(&self) -> bool {
        let host = self.host.rsplit_once(':').map_or(self.host.as_str(), |(host, _)| host);
        host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case("shop.test")
    }

    /// Whether it is what became of `direct` on its way through the proxy.
    fn is(&self, direct: &Self) -> bool {
        // RFC 9112, 3.2.4: absolute form without a path is meant for the whole server. hyper shows both as `/`.
        let server =
            direct.absolute && direct.method == "OPTIONS" && direct.target == "/" && self.target == "*";
        let target = if server { &self.target } else { &direct.target };
        *self == Self { target: target.clone(), absolute: self.absolute, ..direct.clone() }
    }
}

type Taken = Arc<Mutex<Vec<Understood>>>;

/// Fields that a proxy takes out, adds or writes anew.
const ALTERED: &[&str] = &[
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "vamp-debug",
    "vamp-hops",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-proto",
];

async fn understand(request: Request<Incoming>, taken: Taken) -> Result<Response<String>, Infallible> {
    let (head, mut body) = request.into_parts();
    let field = |name: &str| head.headers.get_all(name).iter().map(|value| value.as_bytes().to_vec());
    let nominated: Vec<String> = field("connection")
        .flat_map(|value| {
            String::from_utf8_lossy(&value)
                .to_ascii_lowercase()
                .split(',')
                .map(|token| token.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    // The same that a proxy never drops.
    let kept = |name: &str| name == "cache-control" || !nominated.iter().any(|token| token == name);
    let host = field("host").next().map(|value| String::from_utf8_lossy(&value).into_owned());
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let target = match (head.method.as_str(), target) {
        ("OPTIONS", "") => "*",
        (_, "") => "/",
        (_, target) => target,
    };
    let mut understood = Understood {
        method: head.method.to_string(),
        target: target.to_owned(),
        host: host.or(head.uri.authority().map(ToString::to_string)).unwrap_or_default(),
        fields: head
            .headers
            .iter()
            .filter(|(name, _)| !ALTERED.contains(&name.as_str()) && kept(name.as_str()))
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect(),
        body: Vec::new(),
        complete: true,
        absolute: head.uri.authority().is_some(),
    };
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => understood.body.extend_from_slice(&data),
            Ok(Err(_)) => {}
            Err(_) => {
                understood.complete = false;
                break;
            }
        }
    }
    if let Ok(mut taken) = taken.lock() {
        taken.push(understood);
    }
    Ok(Response::builder().header("x-reference", "1").body("ok".to_owned()).unwrap_or_default())
}

async fn reference() -> (SocketAddr, Taken) {
    let taken = Taken::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shared) = (listener.local_addr().unwrap(), Arc::clone(&taken));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let taken = Arc::clone(&shared);
            tokio::spawn(async move {
                let service = service_fn(move |request| understand(request, Arc::clone(&taken)));
                // A connection that is refused ends; that is what it is here for.
                let _ = http1::Builder::new()
                    .half_close(true)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, taken)
}

/// Sends bytes and reads until the other side closes; answers how many answers came from hyper.
fn send(address: SocketAddr, bytes: &[u8]) -> usize {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    // What was refused may end in a reset.
    let _ = stream.read_to_end(&mut answer);
    answer.windows(14).filter(|part| part.eq_ignore_ascii_case(b"x-reference: 1")).count()
}

fn one_request(chance: &mut Chance) -> Vec<u8> {
    if chance.below(3) == 0 {
        return chance.pick(REQUESTS).to_vec();
    }
    let method = chance.pick(&["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "X-Y"]);
    let target = chance.pick(&[
        "/",
        "/a?b=c",
        "*",
        "http://shop.test/x",
        "//a/b",
        "/%2e%2e/a",
        "/a/../b",
        "/a;b=c?d?e",
        "http://shop.test",
        "/a%",
        "/[x]|y",
        "/a\"b",
        "/a?b=http://c/#",
        "shop.test",
        "http://SHOP.test:80/p?q",
    ]);
    let version = chance.pick(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2"]);
    let mut text = format!("{method} {target} {version}\r\n");
    if chance.below(10) > 0 {
        text.push_str(chance.pick(&[
            "Host: shop.test\r\n",
            "Host:shop.test\r\n",
            "HOST: \tshop.test:80 \r\n",
        ]));
    }
    for _ in 0..chance.below(4) {
        text.push_str(chance.pick(&[
            "X-A: 1\r\n",
            "x-a:\r\n",
            "X-B: a, b\r\n",
            "X-C:\t\u{e9} \r\n",
            "Connection: x-a\r\n",
            "Connection: close\r\n",
            "Connection: keep-alive, x-b\r\n",
            "TE: trailers\r\n",
            "Accept: */*\r\n",
            "Cookie: a=b; c=d\r\n",
            "Expect: 100-continue\r\n",
            "Upgrade: x\r\n",
            "Trailer: x-t\r\n",
            "Content-Type: a/b\r\n",
            "Range: bytes=0-1\r\n",
        ]));
    }
    let body = chance.pick(&["", "hello", "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n", "0\r\n\r\n"]);
    match chance.below(5) {
        0 => text.push_str("\r\n"),
        1 => text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len())),
        2 => text.push_str(&format!("content-length:0{}\r\n\r\n{body}", body.len())),
        3 if !body.is_empty() => {
            let extension = chance.pick(&["", ";a", ";a=\"b\"", " ;x"]);
            let trailer = chance.pick(&["", "X-T: 1\r\n", "Content-Length: 5\r\n"]);
            text.push_str(&format!(
                "Transfer-Encoding: chunked\r\n\r\n{:X}{extension}\r\n{body}\r\n0\r\n{trailer}\r\n",
                body.len()
            ));
        }
        _ => text.push_str(&format!(
            "Transfer-Encoding: {}\r\n\r\n{body}",
            chance.pick(&["chunked", "gzip, chunked", "identity", "Chunked"])
        )),
    }
    text.into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_passes_means_the_same_to_hyper() {
    let (hyper, taken) = reference().await;
    let bench = Bench::with(|settings| settings.workers = 1);
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[hyper])])]).await;
    let proxy = bench.proxy.virtual_host_address().unwrap();
    let first = setting("VAMP_FUZZ_SEED", 0);
    let (mut passed, mut stopped, mut faults) = (0, 0, Vec::new());
    for seed in first..first + setting("VAMP_FUZZ_CASES", 2000) {
        let mut chance = Chance(seed);
        let mut bytes = Vec::new();
        for _ in 0..=chance.below(3) {
            bytes.extend(one_request(&mut chance));
        }
        if chance.below(3) > 0 {
            chance.damage(&mut bytes, REQUEST_WORDS);
        }
        let ask = |address| {
            taken.lock().unwrap().clear();
            let answers = send(address, &bytes);
            let mut understood = std::mem::take(&mut *taken.lock().unwrap());
            // One without an end may or may not have been noted by now.
            understood.retain(|request| request.complete);
            (answers, understood)
        };
        let (_, mut direct) = ask(hyper);
        // Others are answered by the proxy, and the connection goes on.
        direct.retain(Understood::is_for_shop);
        let (answers, through) = ask(proxy);
        passed += through.len();
        stopped += direct.len().saturating_sub(through.len());
        let same = through.iter().zip(&direct).all(|(through, direct)| through.is(direct));
        if !same || through.len() > direct.len() || answers < through.len() {
            faults.push(format!(
                "seed {seed}: {:?}\n  direct  {direct:?}\n  through {through:?}, {answers} answers",
                String::from_utf8_lossy(&bytes)
            ));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(12)].join("\n"));
    // Neither everything nor nothing gets through.
    assert!(passed > 1000 && stopped > 100, "{passed} {stopped}");
}
