//! The output form of a gateway (spec: gateways 4, api 8).

use serde_json::Value;

use crate::gateway::GatewayView;

impl GatewayView {
    /// The expanded form that every read shows, fields in the order of the specification. It may be sent back unchanged.
    pub fn to_json(&self) -> Value {
        Value::Null
    }
}
