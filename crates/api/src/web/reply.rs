//! What an accepted request answers: a value, not yet text.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::failure::Failure;

/// The result of every handler.
pub(crate) type Answer = Result<Reply, Failure>;

/// A value on its way to [`super::render`], which writes it in the format that the client asked for.
#[derive(Debug, Clone)]
pub(crate) struct Document(pub(crate) Value);

/// A status, headers and perhaps a document.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    document: Option<Value>,
    headers: HeaderMap,
}

impl Reply {
    /// A document with a status.
    pub(crate) fn new(status: StatusCode, document: Value) -> Self {
        Self { status, document: Some(document), headers: HeaderMap::new() }
    }

    /// 200 with a document.
    pub(crate) fn ok(document: Value) -> Self {
        Self::new(StatusCode::OK, document)
    }

    /// 200 with anything that serialises.
    pub(crate) fn of(value: &impl Serialize) -> Answer {
        serde_json::to_value(value).map(Self::ok).map_err(|error| {
            tracing::error!(%error, "an answer cannot be written as JSON");
            Failure::internal()
        })
    }

    /// 204.
    pub(crate) fn empty() -> Self {
        Self { status: StatusCode::NO_CONTENT, document: None, headers: HeaderMap::new() }
    }

    /// The same reply with one more header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The same reply with several more headers.
    pub(crate) fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.headers_mut().extend(self.headers);
        if let Some(document) = self.document {
            response.extensions_mut().insert(Document(document));
        }
        response
    }
}
