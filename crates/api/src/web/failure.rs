//! What a refused or failed request answers.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use model::problem::{Problem, Problems};
use serde_json::{Value, json};

use super::reply::Document;

/// An answer with a 4xx or 5xx status. Always has a non-empty message: clients show it without looking.
///
/// Boxed: it is the rare half of every result.
#[derive(Debug)]
pub(crate) struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    code: String,
    message: String,
    problems: Vec<Problem>,
    headers: HeaderMap,
}

impl Failure {
    /// A failure without a list of problems.
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let message = if message.trim().is_empty() {
            status.canonical_reason().unwrap_or("Error").into()
        } else {
            message
        };
        let code = code.to_owned();
        Self(Box::new(Inner { status, code, message, problems: Vec::new(), headers: HeaderMap::new() }))
    }

    /// 400 with a code that programs can rely on.
    pub(crate) fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 404.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", message)
    }

    /// 500, without detail: what happened is in the log.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal server error.")
    }

    /// A refusal with everything that is wrong. The message joins the problems, as clients of the original expect.
    pub(crate) fn problems(status: StatusCode, code: &str, problems: Problems) -> Self {
        let message = problems.message();
        let mut failure = Self::new(status, code, message);
        failure.0.problems = problems.0;
        failure
    }

    /// The same failure with one more response header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// The same failure with several more response headers.
    pub(crate) fn headers(mut self, headers: HeaderMap) -> Self {
        self.0.headers.extend(headers);
        self
    }

    /// The message for people.
    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The status.
    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    fn document(&self) -> Value {
        json!({ "message": self.0.message, "code": self.0.code, "problems": self.0.problems })
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let code = problems.0.first().map_or("invalid", |problem| problem.code);
        Self::problems(StatusCode::BAD_REQUEST, code, problems)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let document = self.document();
        let mut response = self.0.status.into_response();
        response.headers_mut().extend(self.0.headers);
        response.extensions_mut().insert(Document(document));
        response
    }
}
