//! `apply`, `diff`, `delete`, `edit`: whole documents.

use std::path::PathBuf;
use std::process::Command;

use reqwest::Method;
use serde_json::Value;
use similar::TextDiff;

use super::documents::{self, Document};
use super::kind;
use crate::args::{Change, Format, Output};
use crate::client::{Answer, Call, Client, segment};
use crate::error::Error;
use crate::output::{print, say, singular, structured};

fn path_of(kind: &str, name: &str) -> String {
    format!("/{kind}/{}", segment(name))
}

/// `: revision 12, applied by 1/1 proxies in 2.7 ms`, or as much of it as is known.
pub(crate) fn receipt(answer: &Answer) -> String {
    match (&answer.revision, &answer.applied, &answer.applied_ms) {
        (Some(revision), Some(applied), Some(ms)) => {
            format!(" (revision {revision}, applied by {applied} proxies in {ms} ms)")
        }
        (Some(revision), Some(applied), None) => {
            format!(" (revision {revision}, applied by {applied} proxies)")
        }
        (Some(revision), ..) => format!(" (revision {revision})"),
        _ => String::new(),
    }
}

async fn put(client: &Client, document: &Document, change: &Change) -> Result<Answer, Error> {
    let path = path_of(document.kind, &document.name);
    let call = Call {
        method: Method::PUT,
        path: &path,
        body: Some(document.text.clone()),
        if_match: None,
        change: Some(change),
    };
    client.call(call).await
}

pub(super) async fn apply(
    client: &Client,
    files: &[PathBuf],
    change: &Change,
    output: Output,
) -> Result<(), Error> {
    let documents = documents::read(files)?;
    // All documents are checked before the first one is written, so that a bad one late in a file changes nothing.
    if documents.len() > 1 {
        let dry = Change { dry_run: true, ..change.clone() };
        for document in documents.iter().filter(|d| d.kind != "gateways") {
            put(client, document, &dry).await.inspect_err(|_| say(&format!("in {}:", document.origin)))?;
        }
    }
    let mut results = Vec::new();
    // Passive artifacts first: gateways may refer to them.
    let (gateways, passive): (Vec<_>, Vec<_>) = documents.iter().partition(|d| d.kind == "gateways");
    for document in passive.into_iter().chain(gateways) {
        let before = client.find(&path_of(document.kind, &document.name)).await?;
        let answer = put(client, document, change).await.inspect_err(|_| {
            say(&format!("{} ({}/{}):", document.origin, singular(document.kind), document.name))
        })?;
        let verb = match &before {
            None => "created",
            Some(before) if before.body == answer.body => "unchanged",
            Some(_) => "configured",
        };
        let dry = if change.dry_run { " (dry run)" } else { "" };
        let line = format!("{}/{} {verb}{dry}{}", singular(document.kind), document.name, receipt(&answer));
        match output.output {
            Format::Table | Format::Wide => print(&line)?,
            _ => results.push((document.kind, answer.body)),
        }
    }
    let texts: Vec<String> =
        results.iter().filter_map(|(kind, body)| structured(output.output, kind, body)).collect();
    if texts.is_empty() {
        return Ok(());
    }
    print(&texts.join(if output.output == Format::Yaml { "---\n" } else { "\n" }))
}

pub(super) async fn diff(client: &Client, files: &[PathBuf]) -> Result<(), Error> {
    let mut differs = false;
    let dry = Change { dry_run: true, no_wait: true, timeout: std::time::Duration::ZERO, reason: None };
    for document in documents::read(files)? {
        let before = client.find(&path_of(document.kind, &document.name)).await?;
        let after = put(client, &document, &dry).await?;
        let old = before.map(|answer| model::yaml::to_string(&answer.body)).unwrap_or_default();
        let new = model::yaml::to_string(&after.body);
        let title = format!("{}/{}", singular(document.kind), document.name);
        let text = unified(&old, &new, &title);
        if !text.is_empty() {
            differs = true;
            print(&text)?;
        }
    }
    if differs { Err(Error::Failed("there are differences".into())) } else { Ok(()) }
}

fn unified(old: &str, new: &str, title: &str) -> String {
    TextDiff::from_lines(old, new)
        .unified_diff()
        .header(&format!("live {title}"), &format!("after {title}"))
        .to_string()
}

pub(super) async fn delete(
    client: &Client,
    word: Option<&str>,
    names: &[String],
    files: &[PathBuf],
    change: &Change,
) -> Result<(), Error> {
    let targets: Vec<(&'static str, String)> = match word {
        Some(word) => {
            let kind = kind(word)?;
            names.iter().map(|name| (kind, name.clone())).collect()
        }
        None => documents::read(files)?.into_iter().map(|d| (d.kind, d.name)).collect(),
    };
    let mut missing = 0;
    for (kind, name) in &targets {
        let path = path_of(kind, name);
        if client.find(&path).await?.is_none() {
            say(&format!("{}/{name} not found", singular(kind)));
            missing += 1;
            continue;
        }
        let call =
            Call { method: Method::DELETE, path: &path, body: None, if_match: None, change: Some(change) };
        let answer = client.call(call).await?;
        let dry = if change.dry_run { " (dry run)" } else { "" };
        print(&format!("{}/{name} deleted{dry}{}", singular(kind), receipt(&answer)))?;
    }
    if missing > 0 { Err(Error::Failed(format!("{missing} of {} not found", targets.len()))) } else { Ok(()) }
}

/// Opens the document in an editor, and again with the message when it is refused, until it is accepted or left alone.
pub(super) async fn edit(
    client: &Client,
    kind: &'static str,
    name: &str,
    change: &Change,
) -> Result<(), Error> {
    let path = path_of(kind, name);
    let current = client.get(&path).await?;
    let original = model::yaml::to_string(&current.body);
    let file = tempfile::Builder::new().prefix("vamp-edit-").suffix(".yaml").tempfile()?;
    let mut text = original.clone();
    let mut complaint = String::new();
    loop {
        std::fs::write(file.path(), format!("{complaint}{text}"))?;
        run_editor(file.path())?;
        let edited = std::fs::read_to_string(file.path())?;
        let edited: String = edited.split_inclusive('\n').skip_while(|line| line.starts_with("# ")).collect();
        if edited.trim().is_empty() || edited == original || (!complaint.is_empty() && edited == text) {
            return print(&format!("{}/{name} unchanged", singular(kind)));
        }
        text = edited;
        let call = Call {
            method: Method::PUT,
            path: &path,
            body: Some(text.clone()),
            if_match: current.etag.clone(),
            change: Some(change),
        };
        match client.call(call).await {
            Ok(answer) => return print(&format!("{}/{name} edited{}", singular(kind), receipt(&answer))),
            Err(Error::Refused { status: 412, .. }) => {
                let kept = file.into_temp_path().keep().map_err(|e| Error::Failed(e.to_string()))?;
                return Err(Error::Failed(format!(
                    "{}/{name} was changed by somebody else meanwhile; your text is kept in {}",
                    singular(kind),
                    kept.display()
                )));
            }
            Err(Error::Refused { message, problems, .. }) => {
                complaint = format!("# {}\n", message.replace('\n', " "));
                for problem in problems.iter().filter(|p| p.get("path").is_some_and(Value::is_string)) {
                    complaint.push_str(&format!("# at {}\n", crate::output::text(problem, "path")));
                }
                complaint.push_str("# Save to try again; leave as it is to give up.\n");
            }
            Err(error) => return Err(error),
        }
    }
}

fn run_editor(file: &std::path::Path) -> Result<(), Error> {
    let editor = std::env::var("VISUAL").or_else(|_| std::env::var("EDITOR")).unwrap_or_else(|_| "vi".into());
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program).args(words).arg(file).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            Err(Error::Failed(format!("the editor '{editor}' ended with {status}, nothing was changed")))
        }
        Err(error) => Err(Error::Failed(format!("cannot run the editor '{editor}': {error} (set EDITOR)"))),
    }
}
