//! Vamp's API, wherever it runs.

use serde_json::Value;
use testkit::kube::eventually;

use crate::load::Connections;
use crate::node::client;

/// An address of the API, and who asks.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) applied: Option<String>,
    pub(crate) body: Value,
}

impl Api {
    pub(crate) fn new(base: &str, token: Option<&str>) -> Self {
        Self { base: base.to_owned(), token: token.map(str::to_owned), http: client(Connections::New) }
    }

    /// One request; why there is no answer, if so.
    pub(crate) async fn try_call(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<Answer, String> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}/api/v1{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/x-yaml").body(body.to_owned());
        }
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        let applied = answer.headers().get("vamp-applied").and_then(|value| value.to_str().ok());
        let applied = applied.map(str::to_owned);
        let text = answer.text().await.map_err(|error| format!("{error:?}"))?;
        Ok(Answer { status, applied, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.try_call("GET", path, None).await.unwrap_or_else(|why| panic!("{path}: {why}")).body
    }

    /// Writes a document and waits until all proxies serve it. A leader that just changed is asked again.
    pub(crate) async fn put(&self, gateway: &str, document: &str) -> Answer {
        eventually(&format!("{gateway} to be written"), || async {
            let path = format!("/gateways/{gateway}?wait=applied&timeout=10s");
            let answer = self.try_call("PUT", &path, Some(document)).await?;
            match answer.status {
                202 => Ok(answer),
                400..=499 => panic!("{document}: {}", answer.body),
                status => Err(format!("{status} {}", answer.body)),
            }
        })
        .await
    }

    pub(crate) async fn delete(&self, gateway: &str) {
        let answer = self.try_call("DELETE", &format!("/gateways/{gateway}"), None).await.unwrap();
        assert_eq!(answer.status, 202, "{}", answer.body);
    }

    /// Waits until a gateway has exactly these routes with these weights and numbers of targets.
    pub(crate) async fn routes(&self, gateway: &str, expected: &[(&str, &str, usize)]) {
        eventually(&format!("{gateway} to have the routes {expected:?}"), || async {
            let answer = self.try_call("GET", &format!("/gateways/{gateway}"), None).await?;
            let routes = answer.body["routes"].as_object().ok_or_else(|| answer.body.to_string())?;
            let as_expected = routes.len() == expected.len()
                && expected.iter().all(|(path, weight, targets)| {
                    routes.get(*path).is_some_and(|route| {
                        route["weight"] == *weight
                            && route["targets"].as_array().is_some_and(|found| found.len() == *targets)
                    })
                });
            if as_expected { Ok(()) } else { Err(answer.body["routes"].to_string()) }
        })
        .await;
    }
}
