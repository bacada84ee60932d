//! What a pod or a Service is to Vamp (spec: gateways 18.3, R18, R41). Pure.

use model::instance::{Container, ContainerPort, Instance, InstanceKind};

use crate::object::{Pod, Service};
use crate::services::plan::is_managed;

/// A pod as an instance: ready only while its Ready condition says so and it is not being deleted (R41).
pub(crate) fn pod(pod: Pod) -> Instance {
    let Pod { metadata, spec, status } = pod;
    let finished = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let exists = metadata.deletion_timestamp.is_none() && !finished;
    let says_ready =
        status.conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True");
    let first = status.pod_ip.into_iter().chain(status.pod_ips.into_iter().map(|ip| ip.ip));
    let containers = spec.containers.into_iter().map(|container| Container {
        name: container.name,
        image: container.image.filter(|image| !image.is_empty()),
        ports: (container.ports.into_iter())
            .filter_map(|port| port_of(port.container_port, port.name, port.protocol, None))
            .collect(),
    });
    Instance {
        kind: InstanceKind::Pod,
        namespace: metadata.namespace,
        name: metadata.name,
        labels: metadata.labels,
        ip: first.filter_map(|ip| ip.parse().ok()).next(),
        ready: exists && says_ready,
        exists,
        containers: containers.collect(),
    }
}

/// A Service as an instance. `None` for those that are never candidates (R18): headless ones, external names, and the Services
/// of gateways, which would lead requests round in a circle.
pub(crate) fn service(service: &Service) -> Option<Instance> {
    let Service { metadata, spec, status: _ } = service;
    if is_managed(service) || matches!(spec.cluster_ip.as_deref(), None | Some("" | "None")) {
        return None;
    }
    let ports = spec.ports.iter().filter_map(|port| {
        port_of(port.port, port.name.clone(), port.protocol.clone(), port.app_protocol.clone())
    });
    let exists = metadata.deletion_timestamp.is_none();
    Some(Instance {
        kind: InstanceKind::Service,
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        labels: metadata.labels.clone(),
        ip: spec.cluster_ip.as_deref().and_then(|ip| ip.parse().ok()),
        ready: exists,
        exists,
        containers: vec![Container { name: metadata.name.clone(), image: None, ports: ports.collect() }],
    })
}

fn port_of(
    number: i64,
    name: Option<String>,
    protocol: Option<String>,
    app_protocol: Option<String>,
) -> Option<ContainerPort> {
    Some(ContainerPort {
        number: u16::try_from(number).ok().filter(|number| *number != 0)?,
        name: name.filter(|name| !name.is_empty()),
        tcp: matches!(protocol.as_deref(), None | Some("" | "TCP")),
        app_protocol,
    })
}

#[cfg(test)]
mod tests;
