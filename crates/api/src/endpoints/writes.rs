//! What every change shares: options, preconditions, handing it to control, waiting for the data plane.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use control::{Accepted, Change, Refusal, RefusalKind, Request};
use http::header::{ETAG, IF_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::context::App;
use crate::web::failure::Failure;
use crate::web::origin::Origin;
use crate::web::parameters::{Parameters, unreadable};
use crate::web::reply::{Answer, Reply};

/// Revision that a change made.
pub(crate) const REVISION: HeaderName = HeaderName::from_static("vamp-revision");
const APPLIED: HeaderName = HeaderName::from_static("vamp-applied");
const APPLIED_MS: HeaderName = HeaderName::from_static("vamp-applied-ms");
const REASON: HeaderName = HeaderName::from_static("vamp-reason");

const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How a change is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Check and compute only.
    pub(crate) validate_only: bool,
    /// Who asks.
    pub(crate) origin: Origin,
    wait: Option<Duration>,
    reason: Option<String>,
    if_match: Option<Vec<String>>,
}

impl Options {
    fn read(parts: &Parts) -> Result<Self, Failure> {
        let parameters = Parameters::parse(parts.uri.query().unwrap_or_default());
        let wait = match parameters.text("wait") {
            None => None,
            Some("applied") => {
                let timeout = parameters.duration("timeout")?.unwrap_or(Duration::from_secs(5));
                if timeout > LONGEST_WAIT {
                    return Err(unreadable(
                        "timeout",
                        parameters.text("timeout").unwrap_or_default(),
                        "at most '60s'",
                    ));
                }
                Some(timeout)
            }
            Some(other) => return Err(unreadable("wait", other, "'applied'")),
        };
        let origin = parts.extensions.get::<Origin>().cloned().unwrap_or_else(|| Origin::of(parts, None));
        let reason = text(&parts.headers, &REASON).filter(|reason| !reason.trim().is_empty());
        let if_match = parts.headers.contains_key(IF_MATCH).then(|| {
            let values = parts.headers.get_all(IF_MATCH).iter();
            let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            values
                .flat_map(|value| value.split(',').map(|tag| tag.trim().to_owned()).collect::<Vec<_>>())
                .collect()
        });
        Ok(Self { validate_only: parameters.flag("validate_only")?, origin, wait, reason, if_match })
    }

    /// True when the request carries `If-Match`.
    pub(crate) fn has_precondition(&self) -> bool {
        self.if_match.is_some()
    }

    /// The version that must still be the current one when the change is made; 412 when it is not even now.
    pub(crate) fn precondition(&self, what: &str, current: Option<u64>) -> Result<Option<u64>, Failure> {
        let Some(tags) = &self.if_match else { return Ok(None) };
        match current {
            Some(version) if tags.iter().any(|tag| tag == "*" || *tag == format!("\"{version}\"")) => {
                Ok(Some(version))
            }
            _ => Err(Failure::new(
                StatusCode::PRECONDITION_FAILED,
                "changed-meanwhile",
                match current {
                    Some(version) => format!(
                        "'{what}' was changed meanwhile: its ETag is \"{version}\" now. Read it again and repeat the change."
                    ),
                    None => format!("'{what}' does not exist, so it does not match the given ETag."),
                },
            )),
        }
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).chars().filter(|c| !c.is_control()).take(1000).collect())
}

impl FromRequestParts<Arc<App>> for Options {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Failure> {
        Self::read(parts)
    }
}

/// Makes a change. It is carried out even when the client goes away meanwhile.
pub(crate) async fn submit(
    app: &App,
    options: &Options,
    change: Change,
    body: Option<String>,
    if_match: Option<u64>,
) -> Result<Accepted, Failure> {
    let request = Request {
        change,
        actor: options.origin.actor().to_owned(),
        reason: options.reason.clone(),
        body,
        dry_run: options.validate_only,
        if_match,
    };
    let control = app.control().clone();
    let task = tokio::spawn(async move { control.submit(request).await });
    match tokio::time::timeout(app.limits().response_timeout, task).await {
        Ok(Ok(result)) => result.map_err(refused),
        Ok(Err(error)) => {
            tracing::error!(%error, "a change ended without an answer");
            Err(Failure::internal())
        }
        Err(_) => Err(slow()),
    }
}

/// 503: the control plane did not answer in time.
pub(crate) fn slow() -> Failure {
    Failure::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "timeout",
        "The control plane did not answer in time. The change may still be made.",
    )
}

/// The one place where a refusal gets a status.
fn refused(refusal: Refusal) -> Failure {
    let status = match refusal.kind {
        RefusalKind::Invalid => StatusCode::BAD_REQUEST,
        RefusalKind::NotFound => StatusCode::NOT_FOUND,
        RefusalKind::Exists | RefusalKind::Exhausted => StatusCode::CONFLICT,
        RefusalKind::Conflict => StatusCode::PRECONDITION_FAILED,
        RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        RefusalKind::Internal => {
            tracing::error!(code = refusal.code, problems = %refusal.problems, "a change failed");
            return Failure::internal();
        }
    };
    Failure::problems(status, &refusal.code, refusal.problems)
}

/// Completes the answer to a change: revision, ETag, and with `wait=applied` how the data plane took it.
pub(crate) async fn finish(
    app: &App,
    options: &Options,
    revision: u64,
    version: Option<u64>,
    reply: Reply,
) -> Answer {
    if options.validate_only {
        return Ok(reply);
    }
    let mut headers = HeaderMap::new();
    headers.insert(REVISION, HeaderValue::from(revision));
    if let Some(version) = version {
        headers.insert(ETAG, etag(version));
    }
    let Some(timeout) = options.wait else { return Ok(reply.headers(headers)) };
    match app.control().applied(revision, timeout).await {
        Ok(receipt) => {
            applied(&mut headers, receipt.applied, receipt.total, receipt.ms);
            Ok(reply.headers(headers))
        }
        Err(late) => {
            let total = late.receipt.total;
            applied(&mut headers, late.receipt.applied, total, None);
            let message = format!(
                "Revision {revision} is stored, but was not confirmed within {timeout:?} by {}; {} of {total} proxies serve it. It stays; see /api/v1/revisions/{revision}.",
                late.names(),
                late.receipt.applied,
            );
            Err(Failure::new(StatusCode::GATEWAY_TIMEOUT, "not-applied", message).headers(headers))
        }
    }
}

fn applied(headers: &mut HeaderMap, applied: usize, total: usize, ms: Option<f64>) {
    if let Ok(value) = HeaderValue::try_from(format!("{applied}/{total}")) {
        headers.insert(APPLIED, value);
    }
    if let Some(Ok(value)) = ms.map(|ms| HeaderValue::try_from(format!("{ms:.1}"))) {
        headers.insert(APPLIED_MS, value);
    }
}

/// A strong ETag.
pub(crate) fn etag(version: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}
