//! Stable opaque ids of gateways and routes (spec: api 7, `lookup_name`).

use sha1::{Digest, Sha1};

use crate::name::{GatewayName, RoutePath};

/// Id of a gateway: lower-case hex SHA-1 with leading zeros dropped, as the original computed it.
pub fn gateway(name: &GatewayName) -> String {
    digest(name.as_str())
}

/// Id of a route inside a gateway.
pub fn route(gateway: &GatewayName, route: &RoutePath) -> String {
    let mut padded = format!("{gateway}/*/*/*/{route}");
    for _ in route.segment_count()..4 {
        padded.push_str("/*");
    }
    digest(&padded)
}

/// Id of a stored route, which stands in no gateway.
pub fn stored_route(name: &str) -> String {
    digest(&format!("*/*/*/*/{name}/*/*/*"))
}

fn digest(name: &str) -> String {
    let hash = Sha1::digest(format!("class io.vamp.model.artifact.Gateway@{name}v1"));
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.trim_start_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published and recomputed values of spec/api.md section 7.
    #[test]
    fn published_values() {
        let gateway_name = |text: &str| GatewayName::parse(text).unwrap();
        let route_id = |g: &str, r: &str| route(&gateway_name(g), &RoutePath::parse(r).unwrap());
        assert_eq!(gateway(&gateway_name("sava_gateway")), "ebcec0d294fc399c5ee972c43a854e3b643d5ece");
        assert_eq!(gateway(&gateway_name("shop")), "f2c5aee3e47aad6735933f42d41a2d4e6720eced");
        assert_eq!(
            route_id("sava/sava/webport", "sava/sava/sava:1.0.0/webport"),
            "fef540f1c9e4eb21e045d935eac990d0d5d25825"
        );
        assert_eq!(route_id("shop", "1.1.0"), "33b1c81dbeeb49a47889e0196603d3a136f2d735");
        assert_eq!(route_id("front", "[10.1.0.7:8080]"), "903fb3178ea541d66d5c4c78901b6132e0446452");
    }
}
