//! Who agents are: service accounts of the cluster, or owners of tokens that are shared beforehand.

use std::sync::Arc;

use agent::{AgentIdentity, Authenticate, Denied, SharedTokens};
use anyhow::Context as _;
use futures_util::future::BoxFuture;
use kubernetes::Cluster;
use kubernetes::access::{Callers, Refusal};

use crate::settings::ControllerSettings;

/// The way to tell.
pub(super) fn agents(
    settings: &ControllerSettings,
    cluster: &Cluster,
) -> anyhow::Result<Arc<dyn Authenticate>> {
    if let Some(file) = &settings.agent_tokens {
        return Ok(Arc::new(SharedTokens::read(file).context("--agent-tokens")?));
    }
    Ok(Arc::new(Accounts { callers: Callers::new(cluster), account: settings.agent_account.clone() }))
}

/// Agents are pods with this service account, each in the namespace of its environment.
struct Accounts {
    callers: Callers,
    account: String,
}

impl Authenticate for Accounts {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<AgentIdentity, Denied>> {
        Box::pin(async move {
            let caller = self.callers.identify(token).await.map_err(|refusal| match refusal {
                Refusal::Unknown => Denied::Unknown(refusal.to_string()),
                Refusal::Unavailable(why) => Denied::Unavailable(why),
            })?;
            if !caller.for_vamp {
                return Err(Denied::NotAllowed(
                    "the agent's token is meant for the API server; mount one with the audience 'vamp'"
                        .into(),
                ));
            }
            let account = caller.service_account().filter(|(_, name)| *name == self.account);
            let Some((namespace, _)) = account else {
                return Err(Denied::NotAllowed(format!(
                    "'{}' is no agent: agents have the service account '{}' of their namespace (--agent-account)",
                    caller.name, self.account
                )));
            };
            Ok(AgentIdentity { namespace: Some(namespace.to_owned()), name: caller.pod().map(str::to_owned) })
        })
    }
}
