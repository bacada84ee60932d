//! Planning: the same state, observation, change and instant give the same plan. Pure.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use model::gateway::HostFormats;
use model::selector::Selector;

/// What plans depend on besides state and observation. See [`Settings`](crate::Settings) for the fields.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "explained once, in Settings")]
pub struct Rules {
    pub namespace: String,
    pub gateway_filter: Selector,
    pub port_range: RangeInclusive<u16>,
    pub route_retention: Duration,
    pub gateway_address: IpAddr,
    pub reserved_ports: Vec<u16>,
    pub virtual_hosts: HostFormats,
}
