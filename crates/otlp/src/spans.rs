//! Spans of the proxy in the words of OpenTelemetry (semantic conventions: HTTP server spans); what is Vamp's own is `vamp.*`.

use std::time::Duration;

use proxy::Span;

use crate::Settings;
use crate::wire::{
    Event, KeyValue, Resource, ResourceSpans, Scope, ScopeSpans, SpanKind, Status, StatusCode, Traces,
    unix_nanos,
};

/// The body of a request with these spans.
pub(crate) fn request(spans: &[Span], settings: &Settings) -> Traces {
    let spans = spans.iter().map(one).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(Scope::of(settings)), spans }];
    Traces { resource_spans: vec![ResourceSpans { resource: Some(Resource::of(settings)), scope_spans }] }
}

fn one(span: &Span) -> crate::wire::Span {
    let start = unix_nanos(span.start);
    let after = |time: Duration| start.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let mut attributes = vec![
        KeyValue::text("http.request.method", &span.method),
        KeyValue::text("url.path", &span.path),
        KeyValue::text("client.address", &span.client.to_string()),
        KeyValue::text("vamp.reason", span.reason),
    ];
    if span.status != 0 {
        attributes.push(KeyValue::int("http.response.status_code", span.status.into()));
    }
    if span.retries > 0 {
        attributes.push(KeyValue::int("vamp.retries", span.retries.into()));
    }
    let texts = [
        ("vamp.gateway", span.gateway.as_deref()),
        ("vamp.route", span.route.as_deref()),
        ("vamp.target", span.target.as_deref()),
        ("error.type", span.error),
    ];
    attributes.extend(texts.iter().filter_map(|(key, value)| Some(KeyValue::text(key, (*value)?))));
    let phases = [("vamp.wait", span.waited), ("vamp.connect", span.connected)];
    attributes
        .extend(phases.iter().filter_map(|(key, time)| Some(KeyValue::double(key, (*time)?.as_secs_f64()))));
    let first_byte =
        span.first_byte.map(|time| Event { time_unix_nano: after(time), name: "first byte".to_owned() });
    // A server's span is in error when the server failed; what a client did wrong is no error of it.
    let failed = span.status >= 500 || span.error.is_some_and(|word| word != "client");
    let status = failed.then(|| Status {
        message: span.error.unwrap_or_default().to_owned(),
        code: StatusCode::Error.into(),
    });
    crate::wire::Span {
        trace_id: span.trace.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: span.parent.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
        name: match &span.gateway {
            Some(gateway) => format!("{} {gateway}", span.method),
            None => span.method.clone(),
        },
        kind: SpanKind::Server.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: after(span.total),
        attributes,
        events: first_byte.into_iter().collect(),
        status,
    }
}
