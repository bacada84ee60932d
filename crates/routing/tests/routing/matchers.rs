//! Section 10.4, R27: raw matchers.

use crate::common::{Request, get};
use crate::conditions::check;

fn all(request: &Request, rows: &[(&str, bool)]) {
    for (matcher, expected) in rows {
        check(request, matcher, *expected);
        check(request, &format!("< {matcher} >"), *expected);
        check(request, &format!("not (< {matcher} >)"), !expected);
    }
}

#[test]
fn headers() {
    let request = get("/")
        .with("Accept", "text/html , application/json;q=0.5")
        .with("accept", "\"a,b\", image/png")
        .with("X-Empty", "")
        .with("X-List", "a,, b,")
        .with("Content-Length", "120")
        .with("X-Number", "-3, 12;q=1, x");
    all(
        &request,
        &[
            ("hdr(accept) text/html", true),
            ("hdr(Accept) application/json", false),
            ("hdr(accept) application/json;q=0.5", true),
            ("req.hdr(accept) image/png text/css", true),
            ("hdr(accept) IMAGE/PNG", false),
            ("hdr(accept) -i IMAGE/PNG", true),
            ("hdr(accept) b", false),
            ("hdr(accept) a", false),
            ("req.fhdr(accept) text/html", false),
            ("req.fhdr(accept) -m beg text/html", true),
            ("req.fhdr(accept) -m sub 'html , app'", true),
            ("hdr(accept) -m sub 'html , app'", false),
            ("hdr_beg(accept) image/", true),
            ("hdr_beg(accept) -i IMAGE/", true),
            ("hdr_beg(accept) mage/", false),
            ("hdr_end(accept) png", true),
            ("hdr_end(accept) -m end pn", false),
            ("hdr_sub(accept) json", true),
            ("hdr_sub(accept) JSON", false),
            ("hdr_sub(accept) -i JSON", true),
            ("hdr_reg(accept) ^image/p[a-z]+$", true),
            ("hdr_reg(accept) age", true),
            ("hdr_reg(accept) ^age", false),
            ("hdr_reg(accept) -i AGE", true),
            ("hdr(accept) -m reg ^text", true),
            ("hdr_len(accept) 9", true),
            ("hdr(accept) -m len 10", false),
            ("hdr_cnt(accept) 4", true),
            ("hdr_cnt(accept) gt 3", true),
            ("hdr_cnt(accept) lt 4", false),
            ("req.fhdr_cnt(accept) 2", true),
            ("hdr_cnt(x-none) 0", true),
            ("hdr_cnt(x-none) ge 1", false),
            ("hdr_cnt(x-empty) 1", true),
            ("hdr_cnt(x-list) 2", true),
            ("hdr(x-list) b", true),
            ("hdr(accept) -m found", true),
            ("hdr(x-empty) -m found", true),
            ("hdr(x-none) -m found", false),
            ("hdr_val(content-length) 120", true),
            ("hdr_val(content-length) gt 119", true),
            ("hdr_val(content-length) ge 121", false),
            ("hdr_val(content-length) le 120", true),
            ("hdr_val(x-number) -3", true),
            ("hdr_val(x-number) 12", true),
            ("hdr_val(x-number) 0", false),
            ("hdr_val(x-none) 0", false),
            ("hdr(host) shop.example:9050", true),
            ("hdr_dom(host) example", true),
            ("hdr_dom(host) shop.example", true),
            ("hdr_dom(host) hop", false),
            ("hdr_dom(host) -i SHOP", true),
        ],
    );
}

/// HTTP/2 has no Host field; the authority stands in, and only then.
#[test]
fn the_authority_stands_in_for_host() {
    all(&get("/"), &[("hdr_cnt(host) 1", true), ("hdr(Host) shop.example:9050", true)]);
    let request = get("/").with("host", "other.example");
    all(&request, &[("hdr_cnt(host) 1", true), ("hdr(host) shop.example:9050", false)]);
}

#[test]
fn paths_and_queries() {
    let request = get("/api/v1/items.json?id=7&tag=a%20b&tag=c;flag=&name");
    all(
        &request,
        &[
            ("path /api/v1/items.json", true),
            ("path /api", false),
            ("path_beg /api", true),
            ("path_beg /x /api/v1", true),
            ("path_beg /API", false),
            ("path_beg -i /API", true),
            ("path_end .json .xml", true),
            ("path_end 7", false),
            ("path_sub v1/i", true),
            ("path_reg /v[0-9]+/", true),
            ("path_reg ^v1", false),
            ("path_dir v1", true),
            ("path_dir /v1/items.json", true),
            ("path_dir v", false),
            ("path_dom json", true),
            ("path_len 18", true),
            ("path -m len gt 18", false),
            ("url_beg /api", true),
            ("url_sub id=7", true),
            ("path_sub id=7", false),
            ("url_end name", true),
            ("query -m sub tag=c", true),
            ("query id=7", false),
            ("query -m beg id=", true),
            ("query -m found", true),
            ("url_param(id) 7", true),
            ("urlp(id) 8", false),
            ("url_param(tag) c", true),
            ("url_param(tag) a%20b", true),
            ("url_param(tag) 'a b'", false),
            ("url_param(ag) c", false),
            ("url_param(flag) -m found", true),
            ("url_param(flag) -m len 0", true),
            ("url_param(name) -m found", false),
            ("url_param(none) -m found", false),
        ],
    );
    all(&get("/"), &[("query -m found", false), ("url_param(a) -m found", false), ("path /", true)]);
    all(
        &get("/?"),
        &[("query -m found", true), ("query -m len 0", true), ("path /", true), ("url /?", true)],
    );
}

#[test]
fn cookies() {
    let request = get("/").with("Cookie", "a=1; b=\"x y\"; e=").with("Cookie", "a = 22 ;A=3");
    all(
        &request,
        &[
            ("cook(a) 1", true),
            ("cook(a) 22", true),
            ("req.cook(a) 3", false),
            ("cook(A) 3", true),
            ("cook_sub(b) x", true),
            ("req.cook_sub(b) y", true),
            ("req.cook(b) -m sub 'x y'", true),
            ("cook_beg(a) 2", true),
            ("cook_cnt(a) 2", true),
            ("req.cook_cnt(e) 0", true),
            ("cook(e) -m found", false),
            ("cook(none) -m found", false),
        ],
    );
}

#[test]
fn connection_and_constants() {
    let mut request = get("/");
    all(
        &request,
        &[
            ("method GET", true),
            ("method POST HEAD", false),
            ("method POST GET", true),
            ("src 192.168.1.7", true),
            ("src 192.168.0.0/16", true),
            ("src 10.0.0.0/8", false),
            ("src 10.0.0.0/8 192.168.1.0/24", true),
            ("src ::1", false),
            ("dst_port 9050", true),
            ("dst_port gt 9050", false),
            ("dst_port 80 9050", true),
            ("ssl_fc", false),
            ("always_true", true),
            ("always_false", false),
        ],
    );
    request.tls = true;
    all(&request, &[("ssl_fc", true)]);
    all(&request.clone().from("::ffff:10.1.2.3"), &[("src 10.0.0.0/8", true)]);
    all(&request.from("fd00::1"), &[("src fd00::/8", true), ("src 10.0.0.0/8", false)]);
}

#[test]
fn several_in_braces_and_in_conditions() {
    let request = get("/api").with("User-Agent", "Android");
    check(&request, "< path_beg /api > and < hdr_sub(user-agent) Android >", true);
    check(&request, "< path_beg /api > and user-agent == Firefox", false);
    check(&request, "< path_beg /web > or user-agent == android", true);
    check(&request, "hdr_sub(user-agent) Android", true);
}
