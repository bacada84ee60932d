//! Between the API and the cluster: who a caller is, as the API server says.

use api::{Authenticator, Identity, Unauthenticated};
use futures_util::future::BoxFuture;
use kubernetes::access::{Callers, Refusal, Role};

/// Callers of the API are users of the cluster.
#[derive(Debug)]
pub(crate) struct ClusterUsers(pub(crate) Callers);

impl Authenticator for ClusterUsers {
    fn authenticate<'a>(
        &'a self,
        token: &'a str,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Identity, Unauthenticated>> {
        Box::pin(async move {
            let (caller, role) = self.0.role(token, namespace).await.map_err(|refusal| match refusal {
                Refusal::Unknown => Unauthenticated::Unknown(sentence(&refusal.to_string())),
                Refusal::Unavailable(why) => Unauthenticated::Unavailable(sentence(&why)),
            })?;
            let role = role.map(|role| match role {
                Role::Viewer => api::Role::Viewer,
                Role::Operator => api::Role::Operator,
                Role::Admin => api::Role::Admin,
            });
            Ok(Identity { name: caller.name.clone(), role, groups: caller.groups.clone() })
        })
    }

    fn rule(&self, role: api::Role, namespace: &str) -> String {
        let role = match role {
            api::Role::Viewer => Role::Viewer,
            api::Role::Operator => Role::Operator,
            api::Role::Admin => Role::Admin,
        };
        role.rule(namespace)
    }
}

/// With a capital, as messages of the API begin.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
