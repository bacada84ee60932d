use serde_json::json;

use super::*;

#[test]
fn times_are_read() {
    assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    assert_eq!(http_date("Sat, 28 Nov 2026 10:42:21 GMT"), Some(1_795_862_541));
    assert_eq!(rfc3339("2026-11-28T10:42:21.123456Z"), Some(1_795_862_541));
    assert_eq!(rfc3339("2000-02-29T00:00:00Z"), Some(951_782_400));
    for text in
        ["", "yesterday", "Sat, 28 Foo 2026 10:42:21 GMT", "Sat, 28 Nov", "Sat, 99 Nov 2026 1:1:1 GMT"]
    {
        assert_eq!((http_date(text), rfc3339(text)), (None, None), "{text}");
    }
}

#[test]
fn a_definition_differs_where_something_is_missing_or_other() {
    let expected =
        json!({"a": [{"b": 1, "priority": 0, "x-kubernetes-validations": [{"rule": "x"}]}], "c": "d"});
    let same = |actual: Value| difference(&expected, &actual, "spec");
    assert_eq!(same(json!({"a": [{"b": 1, "added": 2}], "c": "d", "conversion": {}})), None);
    assert_eq!(same(json!({"a": [{"b": 2}], "c": "d"})), Some("spec.a[0].b".into()));
    assert_eq!(same(json!({"a": [{"b": 1}, {}], "c": "d"})), Some("spec.a".into()));
    assert_eq!(same(json!({"a": [{"b": 1}]})), Some("spec.c".into()));
}

#[test]
fn pods_say_what_holds_them_up() {
    let pod = |name: &str, status: Value| json!({"metadata": {"name": name, "labels": {"vamp.io/leader": "true"}}, "status": status});
    let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    let pulling = json!({
        "phase": "Pending", "conditions": [{"type": "Ready", "status": "False", "message": "containers with unready status"}],
        "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}],
    });
    let unschedulable = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes fit"}]});
    let pods = pods(&[
        pod("a", ready),
        pod("b", pulling),
        pod("c", unschedulable),
        pod("d", json!({"phase": "Pending"})),
    ]);
    assert_eq!(pods.ready, ["a"]);
    assert_eq!(pods.leaders.len(), 4);
    let why: Vec<&str> = pods.waiting.values().map(String::as_str).collect();
    assert_eq!(why, ["ImagePullBackOff no such image", "0/3 nodes fit", "Pending"]);
}
