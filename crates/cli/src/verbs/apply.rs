//! `apply`, `diff`, `delete`, `edit`: whole documents.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
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

/// Most bytes of documents in one request: the API takes 1 MiB.
const MOST_BYTES: usize = 900 << 10;

/// Writes documents in one change: all of them or none. One alone goes by itself, as written, so that positions in messages are
/// right. Only more than fit into one request go in several changes, each whole.
async fn put(
    client: &Client,
    documents: &[Document],
    change: &Change,
    mut done: impl FnMut(&Document, Answer) -> Result<(), Error>,
) -> Result<(), Error> {
    if let [document] = documents {
        let path = path_of(document.kind, &document.name);
        let answer = write(client, &path, document.text.clone(), change)
            .await
            .inspect_err(|_| say(&whereabouts(document)))?;
        return done(document, answer);
    }
    let mut rest = documents;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fit = rest.iter().take_while(|document| {
            bytes += document.text.len();
            bytes <= MOST_BYTES
        });
        let (part, later) = rest.split_at(fit.count().max(1));
        rest = later;
        let items = part.iter().map(|document| document.item.clone()).collect();
        let answer = write(client, "", Value::Array(items).to_string(), change)
            .await
            .map_err(|error| located(error, part))?;
        let bodies = answer.body.as_array().cloned().unwrap_or_default();
        for (document, body) in part.iter().zip(bodies) {
            done(document, Answer { body, ..answer.clone() })?;
        }
    }
    Ok(())
}

async fn write(client: &Client, path: &str, body: String, change: &Change) -> Result<Answer, Error> {
    client
        .call(Call { method: Method::PUT, path, body: Some(body), if_match: None, change: Some(change) })
        .await
}

fn whereabouts(document: &Document) -> String {
    format!("{} ({}/{}):", document.origin, singular(document.kind), document.name)
}

/// Says which file is meant. Positions go: they are those in the request, which nobody wrote.
fn located(mut error: Error, documents: &[Document]) -> Error {
    if let Error::Refused { message, problems, .. } = &mut error {
        let meant =
            |document: &&Document| message.starts_with(&format!("{}/{}: ", document.kind, document.name));
        match documents.iter().find(meant) {
            Some(document) => say(&whereabouts(document)),
            None => say("nothing was changed:"),
        }
        for problem in problems.iter_mut().filter_map(Value::as_object_mut) {
            problem.remove("position");
        }
    }
    error
}

/// Passive artifacts first: gateways may refer to them.
fn in_order(documents: Vec<Document>) -> Vec<Document> {
    let (gateways, passive): (Vec<_>, Vec<_>) = documents.into_iter().partition(|d| d.kind == "gateways");
    passive.into_iter().chain(gateways).collect()
}

/// What is there now, in the order of the documents.
async fn present(client: &Client, documents: &[Document]) -> Result<Vec<Option<Value>>, Error> {
    let mut bodies = Vec::with_capacity(documents.len());
    for document in documents {
        let answer = client.find(&path_of(document.kind, &document.name)).await?;
        bodies.push(answer.map(|answer| answer.body));
    }
    Ok(bodies)
}

pub(super) async fn apply(
    client: &Client,
    files: &[PathBuf],
    change: &Change,
    output: Output,
) -> Result<(), Error> {
    let documents = in_order(documents::read(files)?);
    let mut before = present(client, &documents).await?.into_iter();
    let mut results = Vec::new();
    put(client, &documents, change, |document, answer| {
        let verb = match before.next().flatten() {
            None => "created",
            Some(before) if before == answer.body => "unchanged",
            Some(_) => "configured",
        };
        let dry = if change.dry_run { " (dry run)" } else { "" };
        let line = format!("{}/{} {verb}{dry}{}", singular(document.kind), document.name, receipt(&answer));
        match output.output {
            Format::Table | Format::Wide => print(&line)?,
            _ => results.push((document.kind, answer.body)),
        }
        Ok(())
    })
    .await?;
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
    let documents = in_order(documents::read(files)?);
    let mut before = present(client, &documents).await?.into_iter();
    put(client, &documents, &dry, |document, after| {
        let old = before.next().flatten().map(|body| model::yaml::to_string(&body)).unwrap_or_default();
        let new = model::yaml::to_string(&after.body);
        let title = format!("{}/{}", singular(document.kind), document.name);
        let text = unified(&old, &new, &title);
        if !text.is_empty() {
            differs = true;
            print(&text)?;
        }
        Ok(())
    })
    .await?;
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
        let edited = std::fs::read_to_string(file.path()).map_err(|error| {
            Error::Failed(format!("cannot read what the editor left, nothing was changed: {error}"))
        })?;
        let edited: String = edited.split_inclusive('\n').skip_while(|line| line.starts_with("# ")).collect();
        if edited.trim().is_empty() || edited == original {
            return print(&format!("{}/{name} unchanged", singular(kind)));
        }
        if !complaint.is_empty() && edited == text {
            let kept = keep(file)?;
            return Err(Error::Failed(format!(
                "{}/{name} unchanged: the text was refused; it is kept in {}",
                singular(kind),
                kept.display()
            )));
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
                let kept = keep(file)?;
                return Err(Error::Failed(format!(
                    "{}/{name} was changed by somebody else meanwhile; your text is kept in {}",
                    singular(kind),
                    kept.display()
                )));
            }
            // Nobody is there to mend it: the same script would only make the same mistake again.
            Err(error @ Error::Refused { .. }) if !std::io::stdin().is_terminal() => return Err(error),
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

/// Leaves the file where it is.
fn keep(file: tempfile::NamedTempFile) -> Result<PathBuf, Error> {
    file.into_temp_path().keep().map_err(|error| Error::Failed(error.to_string()))
}

fn run_editor(file: &Path) -> Result<(), Error> {
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
