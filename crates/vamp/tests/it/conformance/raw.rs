//! Raw matchers (gateways 10.4, R27), between angle brackets and as a whole condition.

use serde_json::json;

use super::Report;
use super::conditions::{Requests, run};
use crate::harness::Vamp;

/// Rule, matcher, requests.
const MATCHERS: &[(&str, &str, Requests)] = &[
    // Headers.
    (
        "hdr: each comma-separated value",
        "hdr(X-Env) beta",
        &[
            ("GET / | X-Env: beta", true),
            ("GET / | x-env: beta", true),
            ("GET / | X-Env: alpha, beta", true),
            ("GET / | X-Env: beta,alpha", true),
            ("GET / | X-Env: alpha | X-Env: beta", true),
            ("GET / | X-Env: beta2", false),
            ("GET / | X-Env: Beta", false),
            ("GET / | X-Env: alpha beta", false),
            ("GET / | X-Other: beta", false),
            ("GET /", false),
        ],
    ),
    ("req.hdr", "req.hdr(X-Env) beta", &[("GET / | X-Env: a, beta", true), ("GET / | X-Env: a", false)]),
    ("hdr: name ignores case", "hdr(x-ENV) beta", &[("GET / | X-Env: beta", true), ("GET /", false)]),
    (
        "any of the values",
        "hdr(X-Env) alpha beta",
        &[("GET / | X-Env: alpha", true), ("GET / | X-Env: beta", true), ("GET / | X-Env: gamma", false)],
    ),
    (
        "much white space",
        "hdr(X-Env)    alpha \t  beta",
        &[("GET / | X-Env: beta", true), ("GET / | X-Env: gamma", false)],
    ),
    ("single quotes", "hdr(X-Env) 'a b'", &[("GET / | X-Env: a b", true), ("GET / | X-Env: a", false)]),
    ("double quotes", "hdr(X-Env) \"a b\"", &[("GET / | X-Env: a b", true), ("GET / | X-Env: a", false)]),
    (
        "-i",
        "hdr(X-Env) -i beta",
        &[("GET / | X-Env: BETA", true), ("GET / | X-Env: beta", true), ("GET / | X-Env: b", false)],
    ),
    (
        "-i, upper case value",
        "hdr(X-Env) -i BeTa",
        &[("GET / | X-Env: bEtA", true), ("GET / | X-Env: alpha", false)],
    ),
    ("--", "hdr(X-Env) -- -i", &[("GET / | X-Env: -i", true), ("GET / | X-Env: i", false)]),
    ("-i --", "hdr(X-Env) -i -- -M", &[("GET / | X-Env: -m", true), ("GET / | X-Env: m", false)]),
    (
        "_beg",
        "hdr_beg(X-Env) be",
        &[
            ("GET / | X-Env: beta", true),
            ("GET / | X-Env: a, beta", true),
            ("GET / | X-Env: abe", false),
            ("GET / | X-Env: Beta", false),
            ("GET /", false),
        ],
    ),
    (
        "_end",
        "hdr_end(X-Env) ta",
        &[("GET / | X-Env: beta", true), ("GET / | X-Env: beta, x", true), ("GET / | X-Env: tab", false)],
    ),
    (
        "_sub",
        "hdr_sub(X-Env) et",
        &[("GET / | X-Env: beta", true), ("GET / | X-Env: a, beta", true), ("GET / | X-Env: alpha", false)],
    ),
    ("_sub -i", "hdr_sub(X-Env) -i ET", &[("GET / | X-Env: beta", true), ("GET / | X-Env: alpha", false)]),
    (
        "_sub, any of",
        "hdr_sub(X-Env) et lph",
        &[("GET / | X-Env: alpha", true), ("GET / | X-Env: gamma", false)],
    ),
    (
        "_dir",
        "hdr_dir(X-Path) admin",
        &[
            ("GET / | X-Path: /x/admin/y", true),
            ("GET / | X-Path: admin", true),
            ("GET / | X-Path: /admin", true),
            ("GET / | X-Path: /xadmin/y", false),
            ("GET / | X-Path: /adminx", false),
        ],
    ),
    (
        "_dom",
        "hdr_dom(Host) example",
        &[
            ("GET / | Host: www.example.org", true),
            ("GET / | Host: example.org", true),
            ("GET / | Host: www.example", true),
            ("GET / | Host: www.example2.org", false),
            ("GET / | Host: wwwexample.org", false),
        ],
    ),
    (
        "_dom, two labels",
        "hdr_dom(Host) example.org",
        &[
            ("GET / | Host: www.example.org", true),
            ("GET / | Host: www.example.com", false),
            ("GET / | Host: badexample.org", false),
        ],
    ),
    (
        "_dom -i",
        "hdr_dom(Host) -i EXAMPLE",
        &[("GET / | Host: www.example.org", true), ("GET / | Host: a.b", false)],
    ),
    (
        "_reg is a search",
        "hdr_reg(X-Env) e.a",
        &[("GET / | X-Env: beta", true), ("GET / | X-Env: alpha", false)],
    ),
    (
        "_reg, anchors",
        "hdr_reg(X-Env) ^b.*a$",
        &[("GET / | X-Env: beta", true), ("GET / | X-Env: xbeta", false)],
    ),
    ("_reg -i", "hdr_reg(X-Env) -i ^BE", &[("GET / | X-Env: beta", true), ("GET / | X-Env: alpha", false)]),
    (
        "_reg, any of",
        "hdr_reg(X-Env) ^b ^g",
        &[("GET / | X-Env: gamma", true), ("GET / | X-Env: alpha", false)],
    ),
    (
        "_reg, group",
        "hdr_reg(X-Env) ^(alpha|beta)$",
        &[("GET / | X-Env: beta", true), ("GET / | X-Env: betas", false)],
    ),
    (
        "_len",
        "hdr_len(X-Env) 4",
        &[("GET / | X-Env: beta", true), ("GET / | X-Env: alpha", false), ("GET /", false)],
    ),
    ("_len gt", "hdr_len(X-Env) gt 4", &[("GET / | X-Env: alpha", true), ("GET / | X-Env: beta", false)]),
    ("-m str", "hdr(X-Env) -m str beta", &[("GET / | X-Env: beta", true), ("GET / | X-Env: betas", false)]),
    ("-m beg", "hdr(X-Env) -m beg be", &[("GET / | X-Env: beta", true), ("GET / | X-Env: abe", false)]),
    ("-m end", "hdr(X-Env) -m end ta", &[("GET / | X-Env: beta", true), ("GET / | X-Env: tab", false)]),
    ("-m sub", "hdr(X-Env) -m sub et", &[("GET / | X-Env: beta", true), ("GET / | X-Env: alpha", false)]),
    (
        "-m dir",
        "hdr(X-Path) -m dir admin",
        &[("GET / | X-Path: /x/admin/y", true), ("GET / | X-Path: /xadmin", false)],
    ),
    (
        "-m dom",
        "hdr(Host) -m dom example",
        &[("GET / | Host: www.example.org", true), ("GET / | Host: wwwexample.org", false)],
    ),
    ("-m reg", "hdr(X-Env) -m reg ^be", &[("GET / | X-Env: beta", true), ("GET / | X-Env: abe", false)]),
    (
        "-m found",
        "hdr(X-Env) -m found",
        &[("GET / | X-Env: beta", true), ("GET / | X-Other: beta", false), ("GET /", false)],
    ),
    ("-m len", "hdr(X-Env) -m len 4", &[("GET / | X-Env: beta", true), ("GET / | X-Env: alpha", false)]),
    ("-i -m", "hdr(X-Env) -i -m sub ET", &[("GET / | X-Env: beta", true), ("GET / | X-Env: alpha", false)]),
    ("-m -i", "hdr(X-Env) -m sub -i ET", &[("GET / | X-Env: beta", true), ("GET / | X-Env: alpha", false)]),
    (
        "the tutorial's",
        "hdr_sub(user-agent) Android",
        &[
            ("GET / | User-Agent: Mozilla/5.0 (Linux; Android 14)", true),
            ("GET / | User-Agent: curl/8", false),
            ("GET /", false),
        ],
    ),
    (
        "req.fhdr: each full line",
        "req.fhdr(X-Env) a",
        &[("GET / | X-Env: a", true), ("GET / | X-Env: b | X-Env: a", true), ("GET / | X-Env: a, b", false)],
    ),
    (
        "req.fhdr, comma",
        "req.fhdr(X-Env) 'a, b'",
        &[("GET / | X-Env: a, b", true), ("GET / | X-Env: a | X-Env: b", false), ("GET / | X-Env: a", false)],
    ),
    (
        "req.fhdr -m sub",
        "req.fhdr(X-Env) -m sub ', b'",
        &[("GET / | X-Env: a, b, c", true), ("GET / | X-Env: a,b", false)],
    ),
    (
        "req.fhdr -m beg",
        "req.fhdr(X-Env) -m beg a",
        &[("GET / | X-Env: a, b", true), ("GET / | X-Env: b, a", false)],
    ),
    (
        "req.fhdr -m reg",
        "req.fhdr(X-Env) -m reg a,",
        &[("GET / | X-Env: a, b", true), ("GET / | X-Env: b, a", false)],
    ),
    // Counts and numbers.
    (
        "hdr_cnt eq",
        "hdr_cnt(X-Env) eq 2",
        &[
            ("GET / | X-Env: a, b", true),
            ("GET / | X-Env: a | X-Env: b", true),
            ("GET / | X-Env: a", false),
            ("GET / | X-Env: a, b, c", false),
            ("GET /", false),
        ],
    ),
    (
        "hdr_cnt, bare number",
        "hdr_cnt(X-Env) 2",
        &[("GET / | X-Env: a, b", true), ("GET / | X-Env: a", false)],
    ),
    ("hdr_cnt gt", "hdr_cnt(X-Env) gt 0", &[("GET / | X-Env: a", true), ("GET /", false)]),
    (
        "hdr_cnt ge",
        "hdr_cnt(X-Env) ge 2",
        &[("GET / | X-Env: a, b", true), ("GET / | X-Env: a, b, c", true), ("GET / | X-Env: a", false)],
    ),
    ("hdr_cnt lt", "hdr_cnt(X-Env) lt 1", &[("GET /", true), ("GET / | X-Env: a", false)]),
    (
        "hdr_cnt le",
        "hdr_cnt(X-Env) le 1",
        &[("GET /", true), ("GET / | X-Env: a", true), ("GET / | X-Env: a, b", false)],
    ),
    ("hdr_cnt eq 0", "hdr_cnt(X-Env) eq 0", &[("GET /", true), ("GET / | X-Env: a", false)]),
    ("req.hdr_cnt", "req.hdr_cnt(X-Env) eq 2", &[("GET / | X-Env: a, b", true), ("GET / | X-Env: a", false)]),
    (
        "req.fhdr_cnt",
        "req.fhdr_cnt(X-Env) eq 1",
        &[("GET / | X-Env: a, b", true), ("GET / | X-Env: a | X-Env: b", false), ("GET /", false)],
    ),
    (
        "hdr_val gt",
        "hdr_val(X-Num) gt 5",
        &[("GET / | X-Num: 7", true), ("GET / | X-Num: 5", false), ("GET /", false)],
    ),
    (
        "hdr_val lt",
        "hdr_val(X-Num) lt 5",
        &[("GET / | X-Num: 3", true), ("GET / | X-Num: 5", false), ("GET /", false)],
    ),
    (
        "hdr_val eq",
        "hdr_val(X-Num) eq 7",
        &[("GET / | X-Num: 7", true), ("GET / | X-Num: 07", true), ("GET / | X-Num: 8", false)],
    ),
    ("hdr_val ge", "hdr_val(X-Num) ge 5", &[("GET / | X-Num: 5", true), ("GET / | X-Num: 4", false)]),
    ("hdr_val le", "hdr_val(X-Num) le 5", &[("GET / | X-Num: 5", true), ("GET / | X-Num: 6", false)]),
    ("hdr_val, bare number", "hdr_val(X-Num) 7", &[("GET / | X-Num: 7", true), ("GET / | X-Num: 6", false)]),
    // Cookies. (Whether `_val` goes with other fetches than `hdr` is open: the grammar has it, the table of fetches has not.)
    (
        "cook",
        "cook(group) admin",
        &[
            ("GET / | Cookie: group=admin", true),
            ("GET / | Cookie: a=1; group=admin; b=2", true),
            ("GET / | Cookie: a=1 | Cookie: group=admin", true),
            ("GET / | Cookie: group=superadmin", false),
            ("GET / | Cookie: group=Admin", false),
            ("GET / | Cookie: Group=admin", false),
            ("GET / | Cookie: other=admin", false),
            ("GET /", false),
        ],
    ),
    (
        "req.cook",
        "req.cook(group) admin",
        &[("GET / | Cookie: group=admin", true), ("GET / | Cookie: group=x", false)],
    ),
    (
        "cook -i",
        "cook(group) -i ADMIN",
        &[("GET / | Cookie: group=admin", true), ("GET / | Cookie: group=x", false)],
    ),
    (
        "cook, any of",
        "cook(group) admin root",
        &[("GET / | Cookie: group=root", true), ("GET / | Cookie: group=x", false)],
    ),
    (
        "cook_beg",
        "cook_beg(group) ad",
        &[("GET / | Cookie: group=admin", true), ("GET / | Cookie: group=xad", false)],
    ),
    (
        "cook_end",
        "cook_end(group) min",
        &[("GET / | Cookie: group=admin", true), ("GET / | Cookie: group=mini", false)],
    ),
    (
        "cook_sub",
        "cook_sub(group) dmi",
        &[("GET / | Cookie: group=admin", true), ("GET / | Cookie: group=x", false)],
    ),
    (
        "cook_reg",
        "cook_reg(group) ^a.*n$",
        &[("GET / | Cookie: group=admin", true), ("GET / | Cookie: group=xadmin", false)],
    ),
    (
        "cook_len",
        "cook_len(group) 5",
        &[("GET / | Cookie: group=admin", true), ("GET / | Cookie: group=x", false)],
    ),
    (
        "req.cook -m sub",
        "req.cook(group) -m sub dmi",
        &[("GET / | Cookie: group=admin", true), ("GET / | Cookie: group=x", false)],
    ),
    (
        "req.cook_sub as a synonym",
        "req.cook_sub(group) dmi",
        &[("GET / | Cookie: group=admin", true), ("GET / | Cookie: group=x", false)],
    ),
    (
        "cook -m found",
        "cook(group) -m found",
        &[("GET / | Cookie: group=x", true), ("GET / | Cookie: a=group", false), ("GET /", false)],
    ),
    (
        "req.cook_cnt",
        "req.cook_cnt(group) eq 1",
        &[("GET / | Cookie: group=a", true), ("GET / | Cookie: x=1", false), ("GET /", false)],
    ),
    (
        "req.cook_cnt, twice",
        "req.cook_cnt(group) ge 2",
        &[("GET / | Cookie: group=a; group=b", true), ("GET / | Cookie: group=a", false)],
    ),
    // Path.
    (
        "path",
        "path /v2",
        &[
            ("GET /v2", true),
            ("GET /v2?x=1", true),
            ("GET /v2/", false),
            ("GET /V2", false),
            ("GET /?/v2", false),
            ("GET /", false),
        ],
    ),
    ("path, any of", "path /a /b", &[("GET /a", true), ("GET /b", true), ("GET /c", false)]),
    ("path -i", "path -i /V2", &[("GET /v2", true), ("GET /v3", false)]),
    ("path, not decoded", "path /a%20b", &[("GET /a%20b", true), ("GET /ab", false)]),
    (
        "path_beg",
        "path_beg /v2",
        &[("GET /v2", true), ("GET /v2/x", true), ("GET /v22", true), ("GET /x/v2", false)],
    ),
    ("path_beg, any of", "path_beg /v2 /v3", &[("GET /v3/x", true), ("GET /v4", false)]),
    ("path_beg -i", "path_beg -i /API", &[("GET /api/x", true), ("GET /x", false)]),
    (
        "path_end",
        "path_end .png .jpg",
        &[("GET /a.jpg", true), ("GET /a.png?x=1", true), ("GET /a.gif", false), ("GET /a?b=.png", false)],
    ),
    ("path_sub", "path_sub adm", &[("GET /x/admin", true), ("GET /x?adm", false)]),
    ("path_reg", "path_reg ^/v[0-9]+/", &[("GET /v12/x", true), ("GET /v/x", false), ("GET /x/v1/", false)]),
    ("path_reg is a search", "path_reg v[0-9]", &[("GET /x/v1", true), ("GET /x/v", false)]),
    (
        "path_dir",
        "path_dir admin",
        &[
            ("GET /x/admin/y", true),
            ("GET /admin", true),
            ("GET /admin/", true),
            ("GET /xadmin", false),
            ("GET /x?a=/admin/", false),
        ],
    ),
    ("path_dir, two segments", "path_dir a/b", &[("GET /x/a/b/c", true), ("GET /x/a/bc", false)]),
    ("path -m beg", "path -m beg /v2", &[("GET /v2/x", true), ("GET /v1", false)]),
    ("path -m end", "path -m end x", &[("GET /v2/x", true), ("GET /v1", false)]),
    ("path_len gt", "path_len gt 3", &[("GET /abc", true), ("GET /ab", false), ("GET /ab?cdef", false)]),
    ("path_len", "path_len 3", &[("GET /ab", true), ("GET /abc", false)]),
    // Request target and query.
    ("url", "url /x?y=1", &[("GET /x?y=1", true), ("GET /x", false), ("GET /x?y=12", false)]),
    (
        "url_beg (E4)",
        "url_beg /2",
        &[("GET /2", true), ("GET /2?x", true), ("GET /", false), ("GET /x/2", false)],
    ),
    ("url_sub", "url_sub y=1", &[("GET /x?y=1", true), ("GET /y=1", true), ("GET /x?y=2", false)]),
    ("url_end", "url_end y=1", &[("GET /x?y=1", true), ("GET /x?y=12", false)]),
    ("url_reg", "url_reg y=[0-9]+$", &[("GET /x?y=12", true), ("GET /x?y=a", false)]),
    ("url -m sub", "url -m sub y=1", &[("GET /x?y=1", true), ("GET /x", false)]),
    (
        "query",
        "query a=1",
        &[("GET /x?a=1", true), ("GET /x?a=1&b=2", false), ("GET /a=1", false), ("GET /", false)],
    ),
    (
        "query -m sub",
        "query -m sub a=1",
        &[("GET /x?b=2&a=1", true), ("GET /x?b=2", false), ("GET /a=1", false)],
    ),
    ("query -m beg", "query -m beg a=", &[("GET /x?a=1", true), ("GET /x?b=1", false)]),
    ("query -m found", "query -m found", &[("GET /x?a", true), ("GET /x", false)]),
    (
        "url_param",
        "url_param(user) bob",
        &[
            ("GET /?user=bob", true),
            ("GET /x?a=1&user=bob&b=2", true),
            ("GET /?user=bob2", false),
            ("GET /?user=Bob", false),
            ("GET /?User=bob", false),
            ("GET /?xuser=bob", false),
            ("GET /?user=b%6Fb", false),
            ("GET /user=bob", false),
            ("GET /", false),
        ],
    ),
    ("urlp", "urlp(user) bob", &[("GET /?user=bob", true), ("GET /?user=al", false)]),
    ("url_param -i", "url_param(user) -i BOB", &[("GET /?user=bob", true), ("GET /?user=al", false)]),
    ("url_param -m beg", "url_param(user) -m beg bo", &[("GET /?user=bob", true), ("GET /?user=al", false)]),
    (
        "url_param -m found",
        "url_param(user) -m found",
        &[("GET /?user=x", true), ("GET /?x=user", false), ("GET /", false)],
    ),
    ("urlp_sub", "urlp_sub(user) o", &[("GET /?user=bob", true), ("GET /?user=al", false)]),
    ("urlp_reg", "urlp_reg(user) ^b.b$", &[("GET /?user=bob", true), ("GET /?user=bobo", false)]),
    // The rest.
    ("method", "method POST", &[("POST /", true), ("GET /", false)]),
    ("method, any of", "method PUT DELETE", &[("DELETE /", true), ("PUT /", true), ("GET /", false)]),
    ("src, address", "src 127.0.0.1", &[("GET /", true)]),
    ("src, network", "src 127.0.0.0/8", &[("GET /", true)]),
    ("src, other network", "src 10.0.0.0/8", &[("GET /", false)]),
    ("src, any of", "src 10.0.0.0/8 127.0.0.1/32", &[("GET /", true)]),
    ("src, not what a header says", "src 10.0.0.1", &[("GET / | X-Forwarded-For: 10.0.0.1", false)]),
    ("src, other address", "src 127.0.0.2", &[("GET /", false)]),
    ("src, IPv6", "src 2001:db8::/32", &[("GET /", false)]),
    ("dst_port", "dst_port {port}", &[("GET /", true)]),
    ("dst_port eq", "dst_port eq {port}", &[("GET /", true)]),
    ("dst_port lt", "dst_port lt {port}", &[("GET /", false)]),
    ("dst_port, any of", "dst_port 1 {port}", &[("GET /", true)]),
    ("dst_port, not what Host says", "dst_port 1", &[("GET / | Host: a.example:1", false)]),
    ("ssl_fc", "ssl_fc", &[("GET /", false)]),
    ("always_true", "always_true", &[("GET /", true)]),
    ("always_false", "always_false", &[("GET /", false)]),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_holds() {
    let mut rows = Vec::new();
    for (rule, text, requests) in MATCHERS {
        rows.push((format!("R27 {rule}, in brackets"), format!("< {text} >"), *requests));
        rows.push((format!("R27 {rule}, whole"), (*text).to_owned(), *requests));
    }
    run("raw matchers", &rows).await;
}

/// Matchers that are refused, with the part that the message must name.
const REFUSED: &[(&str, &str)] = &[
    ("base_beg a", "base"),
    ("base a", "base"),
    ("nbsrv(b) gt 1", "nbsrv"),
    ("rand(2) eq 1", "rand"),
    ("env(X) a", "env"),
    ("res.hdr(X) a", "res.hdr"),
    ("capture.req.hdr(0) a", "capture"),
    ("url_ip 1.2.3.4", "ip"),
    ("hdr_ip(X) 1.2.3.4", "ip"),
    ("path_regex a", "path_regex"),
    ("unknown a", "unknown"),
    ("path -m foo /a", "foo"),
    ("path -m", "-m"),
    ("path -f /etc/passwd", "-f"),
    ("path", "path"),
    ("path_beg", "path_beg"),
    ("hdr(X)", ""),
    ("hdr beta", "hdr"),
    ("hdr() beta", "hdr"),
    ("cook admin", "cook"),
    ("url_param bob", "url_param"),
    ("hdr(X beta", ""),
    ("path,lower /a", ""),
    ("hdr(X),lower a", ""),
    ("method", "method"),
    ("src", "src"),
    ("src somewhere", "somewhere"),
    ("src 1.2.3.4/99", "1.2.3.4/99"),
    ("hdr_cnt(X) gt", ""),
    ("hdr_cnt(X) gt many", "many"),
    ("hdr_cnt(X) many", "many"),
    ("dst_port http", "http"),
    ("path_reg [", ""),
    ("path_reg (?=a)", ""),
    ("path_reg *", ""),
    ("path_beg 'a", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("refused raw matchers");
    for (text, part) in REFUSED {
        for condition in [format!("< {text} >"), (*text).to_owned(), format!("has header X-A and <{text}>")] {
            let document = json!({"name": "g", "routes": {"[127.0.0.1:9]": {"condition": condition}}});
            let answer = vamp.post("/gateways", &document.to_string()).await;
            // Of a whole condition the message may explain conditions instead.
            let named = !condition.contains('<') || answer.message().contains(part);
            let fine = answer.status == 400 && !answer.message().is_empty() && named;
            report.holds(&format!("R27 {condition:?} names {part:?}"), fine, (answer.status, answer.body));
        }
    }
    report.same("5 a failure changes nothing", vamp.get("/gateways").await.body, json!([]));
    report.finish();
}
