//! The commands of the getting-started guide do what it says.

use std::fs;
use std::path::Path;

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

#[tokio::test(flavor = "multi_thread")]
async fn getting_started() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/user/getting-started.md");
    let text = fs::read_to_string(path).unwrap();
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
