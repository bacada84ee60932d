//! Request bodies: text of a bounded size, read within a bounded time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{FromRequest, Request};
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, StatusCode};

use super::failure::Failure;
use super::format;
use crate::context::{App, Limits};

/// Bytes of a refused body that are still read, so that its sender gets to see the refusal.
const DISCARDED: usize = 16 << 20;
/// How long the next part of it is waited for.
const DISCARD_PATIENCE: Duration = Duration::from_millis(250);

/// The body of a request as text, of one of the accepted media types.
#[derive(Debug, Clone)]
pub(crate) struct Text(pub(crate) String);

/// The body of a request as text, whatever its media type.
#[derive(Debug, Clone)]
pub(crate) struct AnyText(pub(crate) String);

impl FromRequest<Arc<App>> for Text {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        format::check_content_type(request.headers())?;
        AnyText::from_request(request, app).await.map(|text| Self(text.0))
    }
}

impl FromRequest<Arc<App>> for AnyText {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        let limits = *app.limits();
        let (parts, body) = request.into_parts();
        let bytes = tokio::time::timeout(limits.body_timeout, read(&parts.headers, body, &limits))
            .await
            .map_err(|_| {
            Failure::new(
                StatusCode::REQUEST_TIMEOUT,
                "body-timeout",
                format!("The request body did not arrive within {:?}.", limits.body_timeout),
            )
        })??;
        String::from_utf8(bytes)
            .map(|text| Self(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)))
            .map_err(|error| {
                Failure::bad_request(
                    "invalid-encoding",
                    format!(
                        "The request body is not UTF-8: unexpected byte at offset {}.",
                        error.utf8_error().valid_up_to()
                    ),
                )
            })
    }
}

async fn read(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Vec<u8>, Failure> {
    let too_large = || {
        Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            format!("The request body is larger than {} bytes.", limits.body_bytes),
        )
    };
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let mut chunks = body.into_data_stream();
    if announced.is_some_and(|length| length > limits.body_bytes as u64) {
        // Who asks before sending needs no more than the answer.
        if !headers.contains_key(EXPECT) {
            discard(&mut chunks).await;
        }
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Failure::bad_request("incomplete-body", format!("The request body ended early: {error}."))
        })?;
        if bytes.len() + chunk.len() > limits.body_bytes {
            discard(&mut chunks).await;
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Reads on for a while without keeping anything: a connection that is closed while its client still sends is reset, and the
/// client never sees the answer.
async fn discard(chunks: &mut BodyDataStream) {
    let mut seen = 0;
    while seen < DISCARDED
        && let Ok(Some(Ok(chunk))) = tokio::time::timeout(DISCARD_PATIENCE, chunks.next()).await
    {
        seen += chunk.len();
    }
}
