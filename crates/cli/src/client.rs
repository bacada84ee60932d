//! The HTTP side: one request, one answer, errors in the terms of [`Error`].

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::args::{Change, Connection};
use crate::error::Error;

/// Unreserved characters of RFC 3986 stay as they are.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A client of one environment.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    server: String,
    token: Option<String>,
}

/// An answer with the headers that say what became of a change.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) body: Value,
    pub(crate) revision: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) applied: Option<String>,
    pub(crate) applied_ms: Option<String>,
}

/// A request to be sent.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) body: Option<String>,
    pub(crate) if_match: Option<String>,
    pub(crate) change: Option<&'a Change>,
}

impl Client {
    pub(crate) fn new(connection: &Connection) -> Result<Self, Error> {
        let server = connection.url.trim_end_matches('/').to_owned();
        let encrypted = server.starts_with("https://");
        if !encrypted && !server.starts_with("http://") {
            return Err(Error::Usage(format!("--url '{server}' must begin with http:// or https://")));
        }
        let token = connection.token.as_deref().map(str::trim).filter(|token| !token.is_empty());
        if token.is_some_and(|token| token.contains(|c: char| !c.is_ascii_graphic())) {
            return Err(Error::Usage(
                "the token holds blanks, line breaks or other characters that no token has; see --token and VAMP_TOKEN"
                    .into(),
            ));
        }
        let base = match &connection.environment {
            Some(environment) => {
                let names: Vec<String> = environment.split('/').map(segment).collect();
                format!("{server}/{}/api/v1", names.join("/"))
            }
            None => format!("{server}/api/v1"),
        };
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).no_proxy();
        let http = if encrypted {
            let config = pki::client(connection.ca.as_deref(), &pki::provider())
                .map_err(|error| Error::Usage(format!("{error}; see --ca and VAMP_CA")))?;
            http.tls_backend_preconfigured(config).https_only(true)
        } else {
            // Nobody is asked to prove anything, so nothing is read for it.
            http.tls_certs_only([])
        };
        let http = http.build().map_err(|e| Error::Failed(chain(&e)))?;
        Ok(Self { http, base, server, token: token.map(str::to_owned) })
    }

    /// Address of the server, without path.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Error> {
        self.call(Call { method: Method::GET, path, body: None, if_match: None, change: None }).await
    }

    /// `None` when it does not exist.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Answer>, Error> {
        match self.get(path).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All pages of a list.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>, Error> {
        let mut all = Vec::new();
        for page in 1.. {
            let joiner = if path.contains('?') { '&' } else { '?' };
            let answer = self.get(&format!("{path}{joiner}page={page}&per_page=30")).await?;
            match answer.body {
                Value::Array(items) if items.is_empty() => break,
                Value::Array(items) => all.extend(items),
                other => return Ok(vec![other]),
            }
        }
        Ok(all)
    }

    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Answer, Error> {
        let mut url = format!("{}{}", self.base, call.path);
        if let Some(change) = call.change {
            let joiner = if url.contains('?') { '&' } else { '?' };
            url.push(joiner);
            if change.dry_run {
                url.push_str("validate_only=true");
            } else if !change.no_wait {
                url.push_str(&format!("wait=applied&timeout={}ms", change.timeout.as_millis()));
            }
        }
        let mut request = self.http.request(call.method, &url).header("accept", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(reason) = call.change.and_then(|change| change.reason.as_ref()) {
            // A header carries bytes: the text as it is, on one line.
            request = request.header("vamp-reason", reason.replace(char::is_control, " ").into_bytes());
        }
        if let Some(user) = std::env::var("USER").ok().filter(|user| user.is_ascii() && !user.is_empty()) {
            request = request.header("vamp-actor", user);
        }
        if let Some(etag) = call.if_match {
            request = request.header("if-match", etag);
        }
        if let Some(body) = call.body {
            request = request.header("content-type", "application/x-yaml").body(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let header =
            |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let (revision, etag) = (header("vamp-revision"), header("etag"));
        let (applied, applied_ms) = (header("vamp-applied"), header("vamp-applied-ms"));
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        let body = if text.trim().is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text))
        };
        if status.is_success() {
            return Ok(Answer { body, revision, etag, applied, applied_ms });
        }
        Err(refusal(status, &body))
    }

    /// A stream of server-sent events: (event name, data).
    pub(crate) async fn events(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<(String, Value), Error>> + Unpin + use<>, Error> {
        let mut request = self.http.get(format!("{}{path}", self.base)).header("accept", "text/event-stream");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            let status = response.status();
            let text = response.text().await.unwrap_or_default();
            return Err(refusal(status, &serde_json::from_str(&text).unwrap_or(Value::String(text))));
        }
        let url = self.server.clone();
        let state = (response.bytes_stream(), Vec::<u8>::new(), url);
        Ok(Box::pin(futures_util::stream::try_unfold(state, |(mut bytes, mut buffer, url)| async move {
            loop {
                if let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
                    let block = String::from_utf8_lossy(&buffer[..end]).into_owned();
                    buffer.drain(..end + 2);
                    if let Some(event) = server_sent_event(&block) {
                        return Ok(Some((event, (bytes, buffer, url))));
                    }
                    continue;
                }
                match bytes.next().await {
                    Some(Ok(chunk)) => buffer.extend_from_slice(&chunk),
                    Some(Err(error)) => return Err(Error::Unreachable { url, reason: chain(&error) }),
                    None => return Ok(None),
                }
                if buffer.len() > 16 << 20 {
                    return Err(Error::Failed("the server sent an event of more than 16 MiB".into()));
                }
            }
        })))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let mut reason = chain(error);
        // Of an authority that is not known, or of another one with the same name.
        if ["UnknownIssuer", "BadSignature"].iter().any(|what| reason.contains(what)) {
            reason.push_str(" (the certificate of its authority: --ca or VAMP_CA)");
        }
        Error::Unreachable { url: self.server.clone(), reason }
    }
}

/// One segment of a path, percent-encoded; names with slashes become `%2F`.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

fn server_sent_event(block: &str) -> Option<(String, Value)> {
    let mut name = "message".to_owned();
    let mut data = String::new();
    for line in block.lines() {
        if let Some(value) = line.strip_prefix("event:") {
            name = value.trim().to_owned();
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push_str(value.trim_start());
        }
    }
    (!data.is_empty()).then(|| (name, serde_json::from_str(&data).unwrap_or(Value::String(data))))
}

fn refusal(status: StatusCode, body: &Value) -> Error {
    let message = body.get("message").and_then(Value::as_str).map(str::to_owned);
    let mut message = message.unwrap_or_else(|| format!("the server answered {status}"));
    if status == StatusCode::UNAUTHORIZED {
        message.push_str(" (here: --token or VAMP_TOKEN)");
    }
    let problems = body.get("problems").and_then(Value::as_array).cloned().unwrap_or_default();
    Error::Refused { status: status.as_u16(), message, problems }
}

/// The innermost cause says most: "connection refused" rather than "error sending request".
fn chain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
