//! Section 14, R34.

use routing::decide::rewrite;

use crate::common::{Request, RouteExt, compile, get, route, shop};

fn check_request(request: &Request, rules: &[&str], expected: Option<&str>) {
    let gateway = compile(shop([route("a", 100).rewrites(rules)]));
    assert_eq!(rewrite(&gateway, 0, &request.head()).as_deref(), expected, "{rules:?} on {}", request.target);
}

fn check(target: &str, rules: &[&str], expected: Option<&str>) {
    check_request(&get(target), rules, expected);
}

#[test]
fn new_paths() {
    check("/api/x?q=1", &["/v2%[path] if path_beg /api"], Some("/v2/api/x?q=1"));
    check("/other", &["/v2%[path] if path_beg /api"], None);
    check("/x", &[], None);
    check("/x", &["/x if always_true"], None);
    check("/x?", &["/y if always_true"], Some("/y?"));
    check("/x", &["y if always_true"], Some("/y"));
    check("/x", &["/a%%20b if always_true"], Some("/a%20b"));
    check("/x?a=1&b=2", &["/q/%[query] if always_true"], Some("/q/a=1&b=2?a=1&b=2"));
    check("/x", &["/q/%[query] if always_true"], Some("/q/"));
    check("/x", &["/%[method]%[path] if method GET"], Some("/GET/x"));
    check("/x?id=7&id=8", &["/items/%[url_param(id)] if always_true"], Some("/items/7?id=7&id=8"));
    check("/x", &["/items/%[url_param(id)] if always_true"], Some("/items/"));
    check("*", &["/v2%[path] if always_true"], None);
}

#[test]
fn slashes_at_the_borders_of_the_path() {
    check("/x.jpg", &["/images/%[path] if always_true"], Some("/images/x.jpg"));
    check("/a/", &["%[path]/end if always_true"], Some("/a/end"));
    check("/", &["%[path]/v2 if always_true"], Some("/v2"));
    check("/a/", &["%[path]%[path] if always_true"], Some("/a/a/"));
    check("/a", &["//b/%[path]//c if always_true"], Some("//b/a//c"));
    check("//a", &["/b/%[path] if always_true"], Some("/b//a"));
    check("/a/", &["%[path]%[url_param(none)]/b if always_true"], Some("/a/b"));
}

#[test]
fn conditions_of_rules() {
    let request = get("/api/x").with("Accept", "v2");
    check_request(&request, &["/n%[path] if header accept has v2"], Some("/n/api/x"));
    check_request(&request, &["/n%[path] if header accept has v1"], None);
    check_request(&request, &["/n%[path] if { path_beg /api } { hdr(accept) v2 }"], Some("/n/api/x"));
    check_request(&request, &["/n%[path] if { path_beg /api } !{ hdr(accept) v2 }"], None);
    check_request(&request, &["/n%[path] if < path_beg /api > and host == shop.example"], Some("/n/api/x"));
}

/// Each rule works on what the rule before it left, in its text and in its condition; the rest is the request as received.
#[test]
fn rules_build_on_each_other() {
    check("/a?q=1", &["/b%[path] if path /a", "/c%[path] if path /b/a"], Some("/c/b/a?q=1"));
    check("/a", &["/b%[path] if path /a", "/c%[path] if path /a"], Some("/b/a"));
    check("/a", &["/b if path /a", "/a if path /b"], None);
    check("/a?q=1", &["/b if path /a", "/c if url /b?q=1"], Some("/c?q=1"));
}

#[test]
fn replacing_inside_the_path() {
    check("/v1/x/v1", &["%[path,regsub(^/v1,/v2)] if always_true"], Some("/v2/x/v1"));
    check("/a/b", &["%[path,regsub('^/([a-z])/([a-z])','/\\2/\\1')] if always_true"], Some("/b/a"));
    check("/x", &["%[path,regsub(^/v1,/v2)] if always_true"], None);
    check("/x", &["/p/%[path,regsub(x,y)] if always_true"], Some("/p/y"));
}

/// What a client wrote into a header or parameter must not end the path or the request line.
#[test]
fn values_of_the_client_are_encoded() {
    let with = |value: &str| get("/x").with("X-Id", value);
    let rules = ["/u/%[req.hdr(x-id)] if always_true"];
    check_request(&with("a b?c#d"), &rules, Some("/u/a%20b%3Fc%23d"));
    check_request(&with("x HTTP/1.1\r\nEvil: 1"), &rules, Some("/u/x%20HTTP/1.1%0D%0AEvil:%201"));
    check_request(&with("ä%41"), &rules, Some("/u/%C3%A4%41"));
    check_request(&with("a, b"), &rules, Some("/u/a"));
    check_request(&with(""), &rules, Some("/u/"));
    check_request(&with("/y"), &rules, Some("/u//y"));
}

/// A rule that would make the path too long does not apply; the ones before it do.
#[test]
fn growth_is_bounded() {
    let doubling = ["%[path]%[path] if always_true"; 40];
    let gateway = compile(shop([route("a", 100).rewrites(&doubling)]));
    let path = rewrite(&gateway, 0, &get("/abcdefg").head()).expect("changed");
    assert_eq!(path.len(), 64 * 1024);
    assert_eq!(rewrite(&gateway, 1, &get("/a").head()), None, "no such route");
}
