//! Between control and the Kubernetes platform: gateways with a port go there, where they are reached comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use control::state::PlatformService;
use control::{Change, Control, Part, Request};
use kubernetes::{Gateway, GatewayService, Platform, Rules, ServiceType};
use model::name::GatewayName;
use routing::config::RoutingConfig;
use tokio::sync::watch;
use tracing::warn;

/// Gateways in one request to control.
const AT_ONCE: usize = 64;
/// Between attempts while the store fails.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until control or the platform ends.
pub(crate) async fn keep(platform: Platform, control: Control, service_type: ServiceType, owner: String) {
    let mut published = control.published();
    let (gateways, wanted) = watch::channel(Arc::new(with_port(&published.borrow_and_update().clone())));
    let mut report = platform.keep_services(wanted, Rules { service_type, owner, ..Rules::default() });
    loop {
        let config = published.borrow_and_update().clone();
        gateways.send_if_modified(|known| {
            let now = with_port(&config);
            let different = **known != now;
            if different {
                *known = Arc::new(now);
            }
            different
        });
        let services = report.borrow_and_update().clone();
        let kept = tell(&control, &services).await;
        let lives = tokio::select! {
            changed = published.changed() => changed.is_ok(),
            changed = report.changed() => changed.is_ok(),
            () = tokio::time::sleep(PAUSE), if !kept => true,
        };
        if !lives {
            return;
        }
    }
}

fn with_port(config: &RoutingConfig) -> Vec<Gateway> {
    let gateway = |gateway: &Arc<routing::config::GatewayConfig>| {
        Some(Gateway { name: gateway.name.clone(), port: gateway.port?, protocol: gateway.protocol })
    };
    config.gateways.values().filter_map(gateway).collect()
}

/// Tells control what it does not know yet. False when that could not be kept.
async fn tell(control: &Control, services: &BTreeMap<GatewayName, GatewayService>) -> bool {
    let view = control.view();
    let news: Vec<Part> = (view.gateways.iter())
        .filter_map(|(name, entry)| {
            let service = services.get(name)?;
            let service = PlatformService { address: service.address.clone(), blocked: service.blocked };
            let change = || Change::Service { gateway: name.clone(), service: service.clone() };
            (entry.service != service).then(change)
        })
        .map(Part::from)
        .collect();
    for some in news.chunks(AT_ONCE) {
        let request = Request::new(Change::Many(some.to_vec()), control::plan::VAMP);
        if let Err(refusal) = control.submit(request).await {
            warn!("addresses of gateways' Services cannot be kept: {refusal}");
            return false;
        }
    }
    true
}
