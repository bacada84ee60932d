//! Settings of the control plane.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use model::gateway::HostFormats;
use model::selector::Selector;

use crate::plan::{PortCheck, Rules};

/// Settings of one environment.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the environment.
    pub environment: String,
    /// Platform namespace of the environment, for `$namespace` in selectors.
    pub namespace: String,
    /// And-ed in front of every selector (R19).
    pub gateway_filter: Selector,
    /// Where assigned ports come from (R13).
    pub port_range: RangeInclusive<u16>,
    /// Which of those can really be listened on: other programs on the machine take ports too, if only for the near end of a
    /// connection. Asked when a port is assigned.
    pub port_check: PortCheck,
    /// How long a route whose group is gone is kept (R22).
    pub route_retention: Duration,
    /// Address on which proxies listen: shown as `service`, and where chained gateways are reached.
    pub gateway_address: IpAddr,
    /// Ports that the process itself listens on at that address (R6).
    pub reserved_ports: Vec<u16>,
    /// Automatic virtual hosts.
    pub virtual_hosts: HostFormats,
    /// How many events are kept, and how long.
    pub event_retention: store::Retention,
}

impl Settings {
    /// The defaults for an environment called `environment`, in the namespace of the same name.
    pub fn new(environment: impl Into<String>) -> Self {
        let environment = environment.into();
        Self {
            namespace: environment.clone(),
            environment,
            gateway_filter: Selector::parse("true").expect("a constant selector"),
            port_range: 40_000..=45_000,
            port_check: PortCheck::default(),
            route_retention: Duration::from_secs(30),
            gateway_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            reserved_ports: Vec::new(),
            virtual_hosts: HostFormats::default(),
            event_retention: store::Retention {
                max_age: Duration::from_secs(90 * 24 * 3600),
                max_events: 1_000_000,
            },
        }
    }

    /// The part that plans depend on.
    pub fn rules(&self) -> Rules {
        Rules {
            namespace: self.namespace.clone(),
            gateway_filter: self.gateway_filter.clone(),
            port_range: self.port_range.clone(),
            port_check: self.port_check.clone(),
            route_retention: self.route_retention,
            gateway_address: self.gateway_address,
            reserved_ports: self.reserved_ports.clone(),
            virtual_hosts: self.virtual_hosts.clone(),
        }
    }
}
