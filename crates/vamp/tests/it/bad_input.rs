//! Whatever comes in: a clear answer, no panic, traffic goes on.

use crate::harness::Vamp;
use crate::release::count;
use crate::target::Target;

#[tokio::test(flavor = "multi_thread")]
async fn bad_documents_are_refused_with_a_message_and_change_nothing() {
    let vamp = Vamp::start().await;
    let target = Target::start("a").await;
    vamp.gateway(&format!("name: good\nroutes: {{\"[{}]\": {{}}}}", target.address)).await;
    let url = format!("http://127.0.0.1:{}/", vamp.port("good").await);
    let deep = format!("name: x\nmetadata: {}1{}", "[".repeat(5000), "]".repeat(5000));
    let terms = format!(
        "name: x\nroutes: {{a: {{condition: \"{}has header a\"}}}}",
        "has header a and ".repeat(10_000)
    );
    let nested = format!("name: x\nselector: '{}true{}'", "(".repeat(3000), ")".repeat(3000));
    let big = format!("name: x\nmetadata: {{a: \"{}\"}}", "x".repeat(3 << 20));
    let bomb = format!(
        "name: x\nmetadata:\n  a: &a [1,1,1,1,1,1,1,1,1,1]\n{}",
        (b'b'..=b'm')
            .map(|c| {
                let (this, last) = (c as char, (c - 1) as char);
                format!("  {this}: &{this} [{}]\n", vec![format!("*{last}"); 10].join(","))
            })
            .collect::<String>()
    );
    let bodies: Vec<String> = [
        "",
        "[",
        "name",
        "{}",
        "- a",
        "name: ''",
        "name: a b",
        "name: a/b/c/d/e",
        "name: x\nkind: breeds",
        "name: x\nweigth: 1",
        "name: x\nport: abc",
        "name: x\nport: 70000",
        "name: x\nport: 1/udp",
        "name: x\nport: [1]",
        "name: x\nsticky: maybe",
        "name: x\nport: 1/tcp\nsticky: route",
        "name: x\nvirtual_hosts: {a: b}",
        "name: x\nvirtual_hosts: ['a b']",
        "name: x\nselector: ''",
        "name: x\nselector: label(a)",
        "name: x\nselector: label(a)((b)",
        "name: x\nselector: 'label(a)((?=b))'",
        "name: x\nselector: 'label(a)((a{1000}){1000})'",
        "name: x\nroutes: {a: ~}",
        "name: x\nroutes: {a: {weight: 10}}",
        "name: x\nroutes: {a: {weight: 10%}}",
        "name: x\nroutes: {a: {weight: 101%}}",
        "name: x\nroutes: {a: {balance: best}}",
        "name: x\nroutes: {a: {condition: 'host === a b c'}}",
        "name: x\nroutes: {a: {rewrites: {path: /x}}}",
        "name: x\nroutes: {'[nowhere]': {}}",
        "name: x\nroutes: {a: {}, a: {}}",
        "name: x\nroutes: {a: unknown-route}",
        "name: x\nmetadata: 1",
        "name: x\n---\nname: y",
        "!!python/object:os.system x",
        "name: \"\\ud800\"",
        "\u{0}",
    ]
    .iter()
    .map(|body| (*body).to_owned())
    .chain([deep, terms, nested, bomb])
    .collect();
    for body in &bodies {
        let short: String = body.chars().take(80).collect();
        let answer = vamp.put("/gateways/x", body).await;
        assert!((400..500).contains(&answer.status), "{short:?}: {} {}", answer.status, answer.body);
        assert!(!answer.message().is_empty(), "{short:?}: {}", answer.body);
    }
    let answer = vamp.put("/gateways/x", &big).await;
    assert_eq!(answer.status, 413, "{}", answer.body);
    assert!(!answer.message().is_empty());
    assert_eq!(vamp.get("/gateways/x").await.status, 404);
    assert_eq!(vamp.get("/gateways").await.body.as_array().unwrap().len(), 1);
    assert_eq!(count(&url, 5, &[]).await.get("a"), Some(&5));
}
