//! The form in which the declared half of a gateway is stored.

use serde_json::Value;

use crate::gateway::GatewaySpec;

impl GatewaySpec {
    /// The value to store. Reading it back gives exactly the same specification.
    pub fn to_stored(&self) -> Value {
        Value::Null
    }

    /// Reads what [`GatewaySpec::to_stored`] wrote, now or in an earlier version.
    ///
    /// # Errors
    /// Why it cannot be read: a newer format, or a foreign value.
    pub fn from_stored(value: &Value) -> Result<Self, String> {
        let _ = value;
        Err("not yet".into())
    }
}
