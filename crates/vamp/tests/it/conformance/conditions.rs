//! Conditions (gateways 10.1 to 10.3, R15, R24 to R26): what holds for which request, and what is refused.
//!
//! Each row is a gateway with route `yes` (the condition, weight 0%) before route `no` (weight 100%).

use serde_json::json;

use super::{Echo, Report, send};
use crate::harness::Vamp;

/// Requests and whether the condition holds for them.
pub(super) type Requests = &'static [(&'static str, bool)];

/// Creates a gateway for each condition and sends its requests. `{port}` in a text is the gateway's port.
pub(super) async fn run(table: &'static str, rows: &[(String, String, Requests)]) {
    let size = u16::try_from(rows.len()).unwrap() + 20;
    let vamp = Vamp::start_sized(&[], size).await;
    let (yes, no) = (Echo::start("yes").await, Echo::start("no").await);
    let mut report = Report::new(table);
    let port = |index: usize| vamp.first_port + u16::try_from(index).unwrap();
    let mut accepted = Vec::new();
    for (index, (rule, text, _)) in rows.iter().enumerate() {
        let text = text.replace("{port}", &port(index).to_string());
        let document = json!({
            "name": format!("c{index}"), "port": port(index),
            "routes": {yes.path(): {"weight": "0%", "condition": text}, no.path(): {"weight": "100%"}},
        });
        let answer = vamp.post("/gateways", &document.to_string()).await;
        report.holds(&format!("{rule}: {text}: accepted"), answer.status == 202, &answer.body);
        if answer.status == 202 {
            let shown = &answer.body["routes"][yes.path()]["condition"];
            let shown = shown["condition"].as_str().map(str::trim);
            report.same(&format!("api 8, {rule}: shown as written"), shown, Some(text.trim()));
        }
        accepted.push(answer.status == 202);
    }
    vamp.gateway(&format!("name: last\nroutes: {{\"{}\": {{}}}}", no.path())).await;
    for (index, (rule, text, requests)) in rows.iter().enumerate() {
        for (request, holds) in requests.iter().filter(|_| accepted[index]) {
            let seen = send(("127.0.0.1", port(index)), request).await.from();
            report.same(
                &format!("{rule}: {text}: {request}"),
                seen,
                if *holds { "yes" } else { "no" }.to_owned(),
            );
        }
    }
    report.finish();
}

const FIREFOX: &str =
    "GET / | User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
const CHROME: &str = "GET / | User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const SAFARI: &str = "GET / | User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15";
const EDGE: &str = "GET / | User-Agent: Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0";
const OLD_EDGE: &str = "GET / | User-Agent: Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/64.0 Safari/537.36 Edge/17.17134";
const IE10: &str = "GET / | User-Agent: Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2)";
const IE11: &str = "GET / | User-Agent: Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko";

const HOST: Requests = &[("GET / | Host: a.example", true), ("GET / | Host: b.example", false)];
const NOT_HOST: Requests = &[("GET / | Host: a.example", false), ("GET / | Host: b.example", true)];
const AGENT: Requests = &[(FIREFOX, true), (CHROME, false), ("GET /", false)];
const NOT_AGENT: Requests = &[(FIREFOX, false), (CHROME, true), ("GET /", true)];
const HEADER: Requests = &[("GET / | X-A: 1", true), ("GET /", false), ("GET / | X-B: 1", false)];
const NOT_HEADER: Requests = &[("GET / | X-A: 1", false), ("GET /", true), ("GET / | X-B: 1", true)];
const COOKIE: Requests =
    &[("GET / | Cookie: user=1", true), ("GET /", false), ("GET / | Cookie: other=1", false)];
const VALUE: Requests =
    &[("GET / | X-Env: my-beta-1", true), ("GET / | X-Env: alpha", false), ("GET /", false)];
const NOT_VALUE: Requests =
    &[("GET / | X-Env: my-beta-1", false), ("GET / | X-Env: alpha", true), ("GET /", true)];
const GROUP: Requests =
    &[("GET / | Cookie: group=superadmin", true), ("GET / | Cookie: group=user", false), ("GET /", false)];
/// `A and B`.
const AND: Requests = &[
    ("GET / | X-A: 1 | X-B: 1", true),
    ("GET / | X-A: 1", false),
    ("GET / | X-B: 1", false),
    ("GET /", false),
];
/// `A or B`.
const OR: Requests = &[
    ("GET / | X-A: 1 | X-B: 1", true),
    ("GET / | X-A: 1", true),
    ("GET / | X-B: 1", true),
    ("GET /", false),
];
/// Neither `A` nor `B`.
const NEITHER: Requests = &[
    ("GET / | X-A: 1 | X-B: 1", false),
    ("GET / | X-A: 1", false),
    ("GET / | X-B: 1", false),
    ("GET /", true),
];

/// Rule, condition, requests.
const HOLDS: &[(&str, &str, Requests)] = &[
    // Host (10.1, R24).
    (
        "10.2 host",
        "host == a.example",
        &[
            ("GET / | Host: a.example", true),
            ("GET / | Host: b.example", false),
            ("GET / | Host: a.example.org", false),
            ("GET / | Host: xa.example", false),
            ("GET / | Host: A.Example", true),
            ("GET / | Host: a.example:9050", true),
            ("GET / | Host: A.EXAMPLE:80", true),
            ("GET /a.example", false),
        ],
    ),
    ("R24 upper case in the condition", "host == A.EXAMPLE", HOST),
    (
        "R24 a value with a port",
        "host == a.example:9050",
        &[
            ("GET / | Host: a.example:9050", true),
            ("GET / | Host: A.example:9050", true),
            ("GET / | Host: a.example", false),
            ("GET / | Host: a.example:80", false),
            ("GET / | Host: b.example:9050", false),
        ],
    ),
    (
        "R24 an IPv6 address",
        "host == [::1]",
        &[("GET / | Host: [::1]", true), ("GET / | Host: [::1]:8080", true), ("GET / | Host: [::2]", false)],
    ),
    (
        "R24 one value, not a list of words",
        "host == 'a.example b.example'",
        &[("GET / | Host: a.example", false), ("GET / | Host: b.example", false)],
    ),
    ("10.1 =", "host = a.example", HOST),
    ("10.1 is", "host is a.example", HOST),
    ("10.1 has", "host has a.example", HOST),
    ("10.1 contains", "host contains a.example", HOST),
    ("10.1 !=", "host != a.example", NOT_HOST),
    ("10.1 !", "host ! a.example", NOT_HOST),
    ("10.1 not between", "host not a.example", NOT_HOST),
    ("10.1 misses", "host misses a.example", NOT_HOST),
    ("10.1 no white space", "host==a.example", HOST),
    ("10.1 no white space, =", "host=a.example", HOST),
    ("10.1 no white space, !=", "host!=a.example", NOT_HOST),
    ("10.1 no white space, !", "host!a.example", NOT_HOST),
    ("10.1 white space on one side", "host ==a.example", HOST),
    ("10.1 white space on the other side", "host== a.example", HOST),
    ("10.1 much white space", " \thost \t ==\n a.example ", HOST),
    ("10.1 keywords ignore case", "HOST Is a.example", HOST),
    ("10.1 keywords ignore case, negated", "Host MISSES a.example", NOT_HOST),
    ("10.1 single quotes", "host == 'a.example'", HOST),
    ("10.1 double quotes", "host == \"a.example\"", HOST),
    ("10.1 not in front", "not host == a.example", NOT_HOST),
    ("10.1 ! in front", "! host == a.example", NOT_HOST),
    ("10.1 ! attached", "!host == a.example", NOT_HOST),
    ("R15 NOT in front", "NOT host == a.example", NOT_HOST),
    ("10.1 twice negated", "!host != a.example", HOST),
    ("10.1 in parentheses", "(host == a.example)", HOST),
    ("10.1 in two parentheses", "( (host == a.example) )", HOST),
    // User agent (10.2, 10.3, R25).
    ("10.1 user-agent", "user-agent == Firefox", AGENT),
    ("10.1 useragent", "useragent == Firefox", AGENT),
    ("10.1 user.agent", "user.agent == Firefox", AGENT),
    ("10.1 User-Agent", "User-Agent == Firefox", AGENT),
    ("10.1 USER.AGENT", "USER.AGENT = Firefox", AGENT),
    ("10.1 user-agent is", "user-agent is Firefox", AGENT),
    ("10.1 user-agent has", "user-agent has Firefox", AGENT),
    ("10.1 user-agent contains", "user-agent contains Firefox", AGENT),
    ("10.1 user-agent, no white space", "user-agent==Firefox", AGENT),
    ("10.2 missing header makes the negated form true", "user-agent != Firefox", NOT_AGENT),
    ("10.1 user-agent not", "user-agent not Firefox", NOT_AGENT),
    ("10.1 user-agent misses", "user-agent misses Firefox", NOT_AGENT),
    ("10.1 user-agent !", "user-agent!Firefox", NOT_AGENT),
    ("10.3 name in lower case", "user-agent == firefox", AGENT),
    ("10.3 name in upper case", "user-agent == FIREFOX", AGENT),
    (
        "10.3 Chrome",
        "user-agent == Chrome",
        &[(CHROME, true), (FIREFOX, false), (SAFARI, false), (IE10, false)],
    ),
    (
        "10.3 Safari needs Version",
        "user-agent == Safari",
        &[(SAFARI, true), (CHROME, false), (FIREFOX, false)],
    ),
    ("10.3 safari", "user-agent == safari", &[(SAFARI, true), (CHROME, false)]),
    ("10.3 Safari negated", "user-agent != Safari", &[(SAFARI, false), (CHROME, true)]),
    ("R25 Edge", "user-agent == Edge", &[(EDGE, true), (OLD_EDGE, true), (CHROME, false)]),
    (
        "R25 IE",
        "user-agent == IE",
        &[(IE10, true), (IE11, true), (FIREFOX, false), ("GET / | User-Agent: IE", false)],
    ),
    ("R25 ie", "user-agent == ie", &[(IE10, true), (IE11, true), (CHROME, false)]),
    (
        "10.2 substring",
        "user-agent == Android",
        &[
            ("GET / | User-Agent: Mozilla/5.0 (Linux; Android 14)", true),
            ("GET / | User-Agent: curl/8", false),
            ("GET /", false),
        ],
    ),
    (
        "R25 substring ignores case",
        "user-agent == CURL",
        &[
            ("GET / | User-Agent: curl/8", true),
            ("GET / | User-Agent: Curl", true),
            ("GET / | User-Agent: wget", false),
        ],
    ),
    ("10.2 quoted substring", "user-agent == 'Intel Mac'", &[(SAFARI, true), (FIREFOX, false)]),
    // Presence (10.2).
    (
        "10.2 has header",
        "has header X-A",
        &[
            ("GET / | X-A: 1", true),
            ("GET / | x-a: 1", true),
            ("GET / | X-A:", true),
            ("GET / | X-A: | X-A: 1", true),
            ("GET /", false),
            ("GET / | X-AA: 1", false),
            ("GET /?X-A=1", false),
            ("GET / | Cookie: X-A=1", false),
        ],
    ),
    ("10.2 has header, other case", "has header x-a", HEADER),
    ("10.1 contains header", "contains header X-A", HEADER),
    ("10.1 Has Header", "Has Header X-A", HEADER),
    ("10.1 CONTAINS HEADER", "CONTAINS HEADER X-A", HEADER),
    ("10.1 misses header", "misses header X-A", NOT_HEADER),
    ("10.1 not has header", "not has header X-A", NOT_HEADER),
    ("10.1 not misses header", "not misses header X-A", HEADER),
    ("10.1 quoted name", "has header 'X-A'", HEADER),
    ("10.1 a header called as a keyword", "has header and", &[("GET / | and: 1", true), ("GET /", false)]),
    (
        "10.1 a header called has",
        "header has has has",
        &[("GET / | has: it has", true), ("GET / | has: not", false)],
    ),
    (
        "10.2 has cookie",
        "has cookie user",
        &[
            ("GET / | Cookie: user=1", true),
            ("GET / | Cookie: a=1; user=2; b=3", true),
            ("GET / | Cookie: a=1;user=2", true),
            ("GET / | Cookie: a=1 | Cookie: user=2", true),
            ("GET / | Cookie: user=", false),
            ("GET / | Cookie: User=1", false),
            ("GET / | Cookie: xuser=1", false),
            ("GET / | Cookie: users=1", false),
            ("GET / | Cookie: a=user=1", false),
            ("GET / | user: 1", false),
            ("GET /", false),
        ],
    ),
    ("10.1 contains cookie", "contains cookie user", COOKIE),
    ("10.1 Has Cookie", "Has Cookie user", COOKIE),
    (
        "10.1 misses cookie",
        "misses cookie user",
        &[("GET / | Cookie: user=1", false), ("GET / | Cookie: user=", true), ("GET /", true)],
    ),
    // Values (10.2).
    (
        "10.2 header has",
        "header X-Env has beta",
        &[
            ("GET / | X-Env: beta", true),
            ("GET / | X-Env: my-beta-1", true),
            ("GET / | x-env: beta", true),
            ("GET / | X-Env: alpha, beta", true),
            ("GET / | X-Env: alpha | X-Env: beta", true),
            ("GET / | X-Env: beta | X-Env: alpha", true),
            ("GET / | X-Env: Beta", false),
            ("GET / | X-Env: bet", false),
            ("GET / | X-Env:", false),
            ("GET / | X-Other: beta", false),
            ("GET /", false),
        ],
    ),
    ("10.1 header contains", "header X-Env contains beta", VALUE),
    ("10.1 Header Contains", "Header X-Env Contains beta", VALUE),
    ("10.1 header misses", "header X-Env misses beta", NOT_VALUE),
    ("10.1 not header has", "not header X-Env has beta", NOT_VALUE),
    ("10.1 quoted header and value", "header 'X-Env' has \"beta\"", VALUE),
    (
        "10.2 whole line, commas included",
        "header X-Env has 'a, b'",
        &[
            ("GET / | X-Env: a, b", true),
            ("GET / | X-Env: aa, bb", true),
            ("GET / | X-Env: a | X-Env: b", false),
            ("GET / | X-Env: a,b", false),
        ],
    ),
    (
        "E3 Accept",
        "Header Accept Contains v1",
        &[
            ("GET / | Accept: application/vnd.sava.v1+json", true),
            ("GET / | Accept: application/vnd.sava.v2+json", false),
            ("GET /", false),
        ],
    ),
    (
        "10.2 cookie has",
        "cookie group has admin",
        &[
            ("GET / | Cookie: group=admin", true),
            ("GET / | Cookie: group=superadmin2", true),
            ("GET / | Cookie: a=1; group=admin; b=2", true),
            ("GET / | Cookie: group=Admin", false),
            ("GET / | Cookie: Group=admin", false),
            ("GET / | Cookie: other=admin", false),
            ("GET / | Cookie: group=a; other=admin", false),
            ("GET / | Cookie: group=", false),
            ("GET / | group: admin", false),
            ("GET /", false),
        ],
    ),
    ("10.1 cookie contains", "cookie group contains admin", GROUP),
    ("10.1 COOKIE HAS", "COOKIE group HAS admin", GROUP),
    (
        "10.1 cookie misses",
        "cookie group misses admin",
        &[("GET / | Cookie: group=superadmin", false), ("GET / | Cookie: group=user", true), ("GET /", true)],
    ),
    // Texts (10.1, R15).
    (
        "10.1 blank in quotes",
        "header X-V has 'a b'",
        &[("GET / | X-V: xa by", true), ("GET / | X-V: ab", false)],
    ),
    (
        "10.1 parentheses in quotes",
        "header X-V has '(a)'",
        &[("GET / | X-V: f(a)", true), ("GET / | X-V: a", false)],
    ),
    (
        "10.1 doubled single quote",
        "header X-V has 'it''s'",
        &[("GET / | X-V: it's", true), ("GET / | X-V: its", false)],
    ),
    (
        "10.1 doubled double quote",
        "header X-V has \"a\"\"b\"",
        &[("GET / | X-V: a\"b", true), ("GET / | X-V: ab", false)],
    ),
    (
        "R15 double in single quotes",
        "header X-V has '\"a\"'",
        &[("GET / | X-V: \"a\"", true), ("GET / | X-V: a", false)],
    ),
    (
        "R15 single in double quotes",
        "header X-V has \"it's\"",
        &[("GET / | X-V: it's", true), ("GET / | X-V: its", false)],
    ),
    ("10.1 unquoted &", "header X-V has a&b", &[("GET / | X-V: a&b", true), ("GET / | X-V: a", false)]),
    ("10.1 unquoted &&", "header X-V has a&&b", &[("GET / | X-V: a&&b", true), ("GET / | X-V: a&b", false)]),
    ("10.1 unquoted |", "header X-V has a|b", &[("GET / | X-V: a|b", true), ("GET / | X-V: a", false)]),
    (
        "10.1 unquoted quote inside",
        "header X-V has it's",
        &[("GET / | X-V: it's", true), ("GET / | X-V: its", false)],
    ),
    (
        "10.1 unquoted colon and slash",
        "header X-V has http://a/b?c=d",
        &[("GET / | X-V: http://a/b?c=d&e=f", true), ("GET / | X-V: http://a/b", false)],
    ),
    (
        "10.1 unquoted operators",
        "header X-V has a==!b",
        &[("GET / | X-V: a==!b", true), ("GET / | X-V: a", false)],
    ),
    (
        "10.1 a value that is a keyword",
        "header X-V has and and has header X-A",
        &[("GET / | X-V: and | X-A: 1", true), ("GET / | X-V: and", false)],
    ),
    (
        "10.1 operators inside quotes",
        "header X-V has ' and '",
        &[("GET / | X-V: a and b", true), ("GET / | X-V: and", false)],
    ),
    (
        "10.1 a parenthesis ends an unquoted text",
        "(header X-V has ab)",
        &[("GET / | X-V: ab", true), ("GET / | X-V: ab)", true), ("GET / | X-V: a", false)],
    ),
    // Operators (8.1, R15, R26).
    ("10.1 and", "has header X-A and has header X-B", AND),
    ("10.1 AND", "has header X-A AND has header X-B", AND),
    ("10.1 And", "has header X-A And has header X-B", AND),
    ("10.1 &&", "has header X-A && has header X-B", AND),
    ("10.1 &", "has header X-A & has header X-B", AND),
    ("R15 && without white space after", "has header X-A &&has header X-B", AND),
    ("R15 & without white space after", "has header X-A &has header X-B", AND),
    ("R15 parentheses and &&", "(has header X-A)&&(has header X-B)", AND),
    ("R15 parentheses and and", "(has header X-A)and(has header X-B)", AND),
    ("10.1 or", "has header X-A or has header X-B", OR),
    ("10.1 OR", "has header X-A OR has header X-B", OR),
    ("10.1 ||", "has header X-A || has header X-B", OR),
    ("10.1 |", "has header X-A | has header X-B", OR),
    ("R15 || without white space after", "has header X-A ||has header X-B", OR),
    ("R15 parentheses and |", "(has header X-A)|(has header X-B)", OR),
    ("R15 parentheses and OR", "(has header X-A)OR(has header X-B)", OR),
    ("R15 not(", "not(has header X-A or has header X-B)", NEITHER),
    ("R15 NOT (", "NOT (has header X-A or has header X-B)", NEITHER),
    ("10.1 !(", "!(has header X-A or has header X-B)", NEITHER),
    ("8.1 not binds tightest", "!has header X-A and !has header X-B", NEITHER),
    ("8.1 word not binds tightest", "not has header X-A and not has header X-B", NEITHER),
    ("10.1 misses and misses", "misses header X-A and misses header X-B", NEITHER),
    ("R15 !!", "!!has header X-A", HEADER),
    ("R15 ! ! !", "! ! ! has header X-A", NOT_HEADER),
    ("R15 not not", "not not has header X-A", HEADER),
    ("R15 ! not", "! not has header X-A", HEADER),
    (
        "8.1 and before or",
        "has header X-A or has header X-B and has header X-C",
        &[
            ("GET / | X-A: 1", true),
            ("GET / | X-B: 1", false),
            ("GET / | X-C: 1", false),
            ("GET / | X-B: 1 | X-C: 1", true),
            ("GET /", false),
        ],
    ),
    (
        "8.1 and before or, other order",
        "has header X-A and has header X-B or has header X-C",
        &[
            ("GET / | X-A: 1", false),
            ("GET / | X-C: 1", true),
            ("GET / | X-A: 1 | X-B: 1", true),
            ("GET /", false),
        ],
    ),
    (
        "8.1 & before ||",
        "has header X-A || has header X-B & has header X-C",
        &[("GET / | X-A: 1", true), ("GET / | X-C: 1", false)],
    ),
    (
        "8.1 parentheses",
        "(has header X-A or has header X-B) and has header X-C",
        &[
            ("GET / | X-A: 1", false),
            ("GET / | X-A: 1 | X-C: 1", true),
            ("GET / | X-B: 1 | X-C: 1", true),
            ("GET / | X-C: 1", false),
        ],
    ),
    (
        "8.1 parentheses on the right",
        "has header X-A and (has header X-B or has header X-C)",
        &[("GET / | X-A: 1", false), ("GET / | X-A: 1 | X-C: 1", true), ("GET / | X-B: 1 | X-C: 1", false)],
    ),
    (
        "R26 a and b or !a and !b",
        "has header X-A and has header X-B or !has header X-A and !has header X-B",
        &[
            ("GET /", true),
            ("GET / | X-A: 1 | X-B: 1", true),
            ("GET / | X-A: 1", false),
            ("GET / | X-B: 1", false),
        ],
    ),
    (
        "R26 exclusive or",
        "(has header X-A or has header X-B) and !(has header X-A and has header X-B)",
        &[
            ("GET /", false),
            ("GET / | X-A: 1 | X-B: 1", false),
            ("GET / | X-A: 1", true),
            ("GET / | X-B: 1", true),
        ],
    ),
    (
        "R26 six operands",
        "has header X-A and has header X-B or has header X-C and has header X-D or has header X-E and !has header X-F",
        &[
            ("GET / | X-A: 1 | X-B: 1", true),
            ("GET / | X-C: 1 | X-D: 1", true),
            ("GET / | X-E: 1", true),
            ("GET / | X-E: 1 | X-F: 1", false),
            ("GET / | X-A: 1 | X-C: 1", false),
            ("GET / | X-B: 1 | X-D: 1 | X-F: 1", false),
            ("GET / | X-A: 1 | X-C: 1 | X-E: 1", true),
            ("GET /", false),
        ],
    ),
    (
        "R26 the cookie counts",
        "(user-agent == Firefox or user-agent == Chrome) and cookie group contains admin and has header X-A",
        &[
            ("GET / | User-Agent: Firefox | Cookie: group=admin | X-A: 1", true),
            ("GET / | User-Agent: Chrome | Cookie: group=admin | X-A: 1", true),
            ("GET / | User-Agent: Firefox | X-A: 1", false),
            ("GET / | User-Agent: Chrome | Cookie: group=user | X-A: 1", false),
            ("GET / | User-Agent: curl | Cookie: group=admin | X-A: 1", false),
            ("GET / | User-Agent: Firefox | Cookie: group=admin", false),
        ],
    ),
    ("R26 never", "has header X-A and !has header X-A", &[("GET / | X-A: 1", false), ("GET /", false)]),
    ("R26 always", "has header X-A or !has header X-A", &[("GET / | X-A: 1", true), ("GET /", true)]),
    (
        "R26 negated group",
        "!(has header X-A and (has header X-B or !has header X-C))",
        &[
            ("GET /", true),
            ("GET / | X-A: 1", false),
            ("GET / | X-A: 1 | X-C: 1", true),
            ("GET / | X-A: 1 | X-B: 1 | X-C: 1", false),
        ],
    ),
    ("10.1 five levels", "(((((has header X-A))))) and not (not (not (not (has header X-B))))", AND),
    // Raw matchers inside expressions (10.1).
    (
        "10.1 raw and operand",
        "< path_beg /v2 > and has header X-A",
        &[("GET /v2/x | X-A: 1", true), ("GET /v2/x", false), ("GET /v1 | X-A: 1", false)],
    ),
    (
        "10.1 raw without blanks inside",
        "<path_beg /v2> or has header X-A",
        &[("GET /v2", true), ("GET /v1 | X-A: 1", true), ("GET /v1", false)],
    ),
    ("10.1 raw trimmed", "<   path   /v2   >", &[("GET /v2", true), ("GET /v2/", false)]),
    ("10.1 raw negated", "!<path /v2>", &[("GET /v2", false), ("GET /v1", true)]),
    (
        "10.1 raw negated by word",
        "not <path /v2> and not <path /v3>",
        &[("GET /v2", false), ("GET /v3", false), ("GET /v1", true)],
    ),
    (
        "10.1 two raws",
        "<path_beg /v2> && <method POST>",
        &[("POST /v2", true), ("GET /v2", false), ("POST /v1", false)],
    ),
    (
        "10.1 raw in parentheses",
        "(<path /a> or <path /b>) and host == a.example",
        &[
            ("GET /a | Host: a.example", true),
            ("GET /b | Host: a.example", true),
            ("GET /b | Host: b.example", false),
            ("GET /c | Host: a.example", false),
        ],
    ),
    // An unquoted `and` as a value is not tested: it is a word by the grammar, but more likely a mistake, and may be refused.
    (
        "10.1 raw with a keyword inside",
        "<hdr(X-V) 'and'> or has header X-A",
        &[("GET / | X-V: and", true), ("GET / | X-A: 1", true), ("GET /", false)],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_holds() {
    let rows: Vec<_> = HOLDS
        .iter()
        .map(|(rule, text, requests)| ((*rule).to_owned(), (*text).to_owned(), *requests))
        .collect();
    run("conditions", &rows).await;
}

/// Texts that are neither conditions nor supported raw matchers (R8).
const REFUSED: &[(&str, &str)] = &[
    ("R8 nothing known", "hello world"),
    ("R8 a word", "hello"),
    ("10.1 no constants", "true"),
    ("10.1 host alone", "host"),
    ("10.1 host without a value", "host =="),
    ("10.1 host without an operator", "host a.example"),
    ("10.1 two values", "host == a b"),
    ("10.1 is needs white space", "host isa.example"),
    ("10.1 an unquoted text swallows &&", "host == a&& host == b"),
    ("10.1 an unquoted text swallows && and more", "has header X-A&&has header X-B"),
    ("10.1 user agent", "user agent == Firefox"),
    ("10.1 user_agent", "user_agent == Firefox"),
    ("10.1 user--agent", "user--agent == Firefox"),
    ("10.1 user-agent alone", "user-agent"),
    ("10.1 has alone", "has"),
    ("10.1 has header alone", "has header"),
    ("10.1 has cookie alone", "has cookie"),
    ("10.1 has what", "has X-A"),
    ("10.1 is header", "is header X-A"),
    ("10.1 not a contains", "lacks header X-A"),
    ("10.1 header alone", "header X-A"),
    ("10.1 header without a value", "header X-A has"),
    ("10.1 cookie alone", "cookie a"),
    ("10.1 cookie ==", "cookie a == b"),
    ("10.1 cookie is", "cookie a is b"),
    ("10.1 header ==", "header a == b"),
    ("10.1 header !=", "header a != b"),
    ("10.1 header not", "header a not b"),
    ("10.1 dangling and", "host == a and"),
    ("10.1 dangling &&", "host == a &&"),
    ("10.1 leading and", "and host == a"),
    ("10.1 leading ||", "|| host == a"),
    ("10.1 two operators", "host == a or or host == b"),
    ("10.1 and or", "host == a and or host == b"),
    ("10.1 unknown operator", "host == a xor host == b"),
    ("10.1 no operator", "(host == a) (host == b)"),
    ("10.1 word and undelimited", "(host == a) andhost == b"),
    ("10.1 open parenthesis", "(host == a"),
    ("10.1 closing parenthesis", "host == a)"),
    ("10.1 empty parentheses", "()"),
    ("10.1 empty parentheses, operator", "host == a and ()"),
    ("10.1 lone !", "!"),
    ("10.1 lone not", "not"),
    ("10.1 empty raw", "<>"),
    ("10.1 blank raw", "<  >"),
    ("10.1 open raw", "< path /a"),
    ("10.1 nested raw", "< path <a> >"),
    ("10.1 typo", "has heder X-A"),
    ("10.1 typo in an operator", "host == a annd host == b"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("refused conditions");
    for (rule, text) in REFUSED {
        let document = json!({"name": "g", "routes": {"[127.0.0.1:9]": {"condition": text}}});
        let answer = vamp.post("/gateways", &document.to_string()).await;
        let fine = answer.status == 400 && !answer.message().is_empty();
        report.holds(&format!("{rule}: {text:?}"), fine, (answer.status, answer.body));
    }
    report.same("5 a failure changes nothing", vamp.get("/gateways").await.body, json!([]));
    report.finish();
}

/// What is no condition at all (3), and what leaves a condition out.
#[tokio::test(flavor = "multi_thread")]
async fn no_condition() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("no condition");
    let rows = [
        ("3 empty text", json!("")),
        ("3 empty text in a map", json!({"condition": ""})),
        ("1.2 null", json!(null)),
    ];
    for (index, (rule, condition)) in rows.iter().enumerate() {
        let document =
            json!({"name": format!("n{index}"), "routes": {"[127.0.0.1:9]": {"condition": condition}}});
        let answer = vamp.post("/gateways", &document.to_string()).await;
        let route = &answer.body["routes"]["[127.0.0.1:9]"];
        report.same(rule, (answer.status, route["condition"].clone()), (202, json!(null)));
        report.same(&format!("{rule}: strength"), route["condition_strength"].clone(), json!("0%"));
    }
    report.finish();
}
