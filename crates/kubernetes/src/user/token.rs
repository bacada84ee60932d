//! The token that Vamp's API knows a person by.

use std::sync::{Arc, Mutex, PoisonError};

use http::header::AUTHORIZATION;
use http::{Request, Response};
use kube::client::{Body, ConfigExt as _};
use serde::Deserialize;
use serde_json::json;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

use super::User;
use crate::access::manifests::{AUDIENCE, CLI};
use crate::explain::{chain, status};

/// The shortest life that every API server grants.
const SECONDS: u32 = 600;

/// There is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The kubeconfig names a plugin or a file, which gave none.
    #[error("the kubeconfig gives no token: {0}")]
    Kubeconfig(String),
    /// The kubeconfig has none, as with client certificates, and the API server makes none.
    #[error(
        "the kubeconfig holds no token (a client certificate proves nothing to Vamp), and there is none for the service \
         account {CLI} of namespace '{namespace}': {reason}. Give one with --token or VAMP_TOKEN, for example that of \
         `kubectl create token NAME -n {namespace} --audience {AUDIENCE}`"
    )]
    ServiceAccount {
        /// Of the controller.
        namespace: String,
        /// Why.
        reason: String,
    },
}

#[derive(Deserialize)]
struct TokenRequest {
    status: TokenRequestStatus,
}

#[derive(Deserialize)]
struct TokenRequestStatus {
    token: String,
}

impl User {
    /// The person's own token: of the kubeconfig, from a file that it names, or of a plugin. `None` when they prove
    /// themselves in another way.
    ///
    /// # Errors
    /// There should be one, but it cannot be had.
    pub async fn own_token(&self) -> Result<Option<String>, TokenError> {
        let no_token = |error: String| TokenError::Kubeconfig(error);
        let Some(layer) = self.config.auth_layer().map_err(|error| no_token(chain(&error)))? else {
            return Ok(None);
        };
        // The layer adds the header to a request that goes nowhere.
        let seen = Arc::new(Mutex::new(None));
        let sink = Arc::clone(&seen);
        let service = layer.layer(service_fn(move |request: Request<Body>| {
            let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            *sink.lock().unwrap_or_else(PoisonError::into_inner) = header.map(str::to_owned);
            async { Ok::<_, BoxError>(Response::new(Body::empty())) }
        }));
        let request = Request::new(Body::empty());
        service.oneshot(request).await.map_err(|error| no_token(error.to_string()))?;
        let header = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A user with a password has another scheme; that is nothing to hand on.
        Ok(header.and_then(|header| header.strip_prefix("Bearer ").map(str::to_owned)))
    }

    /// A token that Vamp's API accepts: the person's own, else one for the service account `vamp-cli` of the
    /// installation in `namespace`, which whoever may make tokens for it may act as.
    ///
    /// # Errors
    /// There is none; says how to give one.
    pub async fn token(&self, namespace: &str) -> Result<String, TokenError> {
        if let Some(token) = self.own_token().await? {
            return Ok(token);
        }
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": [AUDIENCE], "expirationSeconds": SECONDS},
        });
        let request = Request::post(format!("/api/v1/namespaces/{namespace}/serviceaccounts/{CLI}/token"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes())
            .map_err(kube::Error::HttpError);
        let answer = match request {
            Ok(request) => self.client.request::<TokenRequest>(request).await,
            Err(error) => Err(error),
        };
        answer.map(|answer| answer.status.token).map_err(|error| TokenError::ServiceAccount {
            namespace: namespace.to_owned(),
            reason: match status(&error) {
                Some(403) => "you may not `create` `serviceaccounts/token` there".into(),
                Some(404) => "it does not exist".into(),
                _ => chain(&error),
            },
        })
    }
}
