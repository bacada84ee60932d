//! The commands of the getting-started guide do what it says, and what the page about gateways shows is accepted.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::harness::Vamp;

/// The fenced blocks of a language, in order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    text.split("```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n').map(str::to_owned))
        .collect()
}

/// Words of a command line with single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/user").join(name);
    fs::read_to_string(path).unwrap()
}

/// What stands between back-quotes in the text.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A section of a page, without its title.
fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let start = text.find(&format!("## {title}\n")).unwrap_or_else(|| panic!("no section {title}"));
    let body = &text[start + title.len() + 4..];
    body.split("\n## ").next().unwrap_or(body)
}

/// Only validated: some of the addresses in the page are examples and belong to others.
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_gateways_are_accepted() {
    let text = page("gateways.md");
    let vamp = Vamp::start().await;
    let check = async |kind: &str, document: String| {
        let answer = vamp.post(&format!("/{kind}?validate_only=true"), &document).await;
        assert!(answer.status < 300, "{document}: {} {}", answer.status, answer.body);
    };
    let route = |field: &str, value: serde_json::Value| {
        json!({"name": "x", "routes": {"a": {field: value}}}).to_string()
    };

    let example = |title: &str, index: usize| blocks(section(&text, title), "yaml")[index].clone();
    let shared = example("Shared parts", 0);
    assert_eq!(vamp.post("/conditions", &shared).await.status, 201, "{shared}");
    check("gateways", blocks(&text, "yaml")[0].replace("port: 9050 ", "port: 0")).await;
    check(
        "gateways",
        format!(
            "name: x\nroutes:\n  a:\n{}",
            example("Rewrites", 0).replace("rewrites", "    rewrites").replace("- ", "    - ")
        ),
    )
    .await;
    check("gateways", example("Shared parts", 1)).await;
    check("gateways", example("TLS", 0)).await;
    check("gateways", format!("name: x\n{}", example("Targets that fail", 0))).await;
    // Of the two ways to trust a target a document has one.
    let lines = example("TLS", 1);
    for left_out in ["ca_file", "insecure_skip_verification"] {
        let kept: Vec<&str> = lines.lines().filter(|line| !line.contains(&format!("{left_out}:"))).collect();
        check("gateways", format!("name: x\n{}", kept.join("\n"))).await;
    }

    let mut conditions = 0;
    for line in blocks(section(&text, "Conditions"), "text").iter().flat_map(|block| block.lines()) {
        for condition in line.split("   ").map(str::trim).filter(|part| !part.is_empty()) {
            check("gateways", route("condition", json!(condition))).await;
            conditions += 1;
        }
    }
    assert!(conditions >= 11, "only {conditions} conditions");

    let mut selectors = 0;
    let rows = section(&text, "Selectors").lines().filter(|line| line.starts_with("| `"));
    for operand in rows.flat_map(|row| quoted(row.split('|').nth(1).unwrap_or_default()).collect::<Vec<_>>())
    {
        let operand =
            operand.replace("(n)", "(1)").replace("ip(p)", "ip(10.*)").replace("kind(p)", "kind(pod)");
        check("gateways", json!({"name": "x", "selector": operand}).to_string()).await;
        selectors += 1;
    }
    assert!(selectors >= 10, "only {selectors} selectors");

    let balances: Vec<&str> = quoted(section(&text, "Balance")).collect();
    assert!(balances.len() >= 8);
    for balance in balances {
        check("gateways", route("balance", json!(balance))).await;
    }
    for variable in quoted(section(&text, "Rewrites")).filter(|word| word.starts_with("%[")) {
        let rewrite = json!([{"path": format!("/{variable} if path_beg /")}]);
        check("gateways", route("rewrites", rewrite)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_started() {
    let text = page("getting-started.md");
    let yaml = blocks(&text, "yaml");
    let vamp = Vamp::start().await;
    let gateway = vamp.folder().join("sava-product.yaml");
    // The guide's port may be taken on this machine.
    fs::write(&gateway, yaml[1].replace("port: 9070\n", "")).unwrap();
    vamp.inventory("sava-product-1.0.3.yml", &yaml[0]);

    let mut ran = 0;
    for line in blocks(&text, "bash").iter().flat_map(|block| block.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(command) = line.strip_prefix("vamp ") else { continue };
        if command.starts_with("serve") {
            continue;
        }
        let mut arguments = words(command);
        if command.starts_with("top") {
            arguments.push("--once".into());
        }
        for argument in &mut arguments {
            if argument == "sava-product.yaml" {
                *argument = gateway.display().to_string();
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = vamp.cli(&arguments);
        assert!(output.status.success(), "{line}: {output:?}");
        ran += 1;
        if command.starts_with("apply") {
            vamp.routes("sava-product", &[("(1.0.3)", "100%")]).await;
            vamp.inventory("sava-product-2.0.1.yml", &yaml[0].replace("1.0.3", "2.0.1"));
            vamp.routes("sava-product", &[("(1.0.3)", "100%"), ("(2.0.1)", "0%")]).await;
        }
    }
    assert!(ran >= 8, "only {ran} commands in the guide");
}
