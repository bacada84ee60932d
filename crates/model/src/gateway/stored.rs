//! The form in which the declared half of a gateway is stored.
//!
//! It keeps exactly what was declared: what was not given is not there, routes are a list in their order. It is read without
//! the checks of a document, because what was accepted once must stay readable when the checks become stricter.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::gateway::{Balance, GatewaySpec};
use crate::selector::Selector;

/// Number of the format, raised when an older version could misread what a newer one wrote.
const FORMAT: u64 = 1;

impl GatewaySpec {
    /// The value to store. Reading it back gives exactly the same specification.
    pub fn to_stored(&self) -> Value {
        // Serialising fails only for maps with keys other than texts, and there are none.
        let spec = serde_json::to_value(self).unwrap_or_default();
        json!({"format": FORMAT, "gateway": spec})
    }

    /// Reads what [`GatewaySpec::to_stored`] wrote, now or in an earlier version.
    ///
    /// # Errors
    /// Why it cannot be read: a newer format, or a foreign value.
    pub fn from_stored(value: &Value) -> Result<Self, String> {
        match value.get("format").and_then(Value::as_u64) {
            Some(FORMAT) => {}
            Some(format) => {
                return Err(format!("a gateway stored in format {format}, this version reads {FORMAT}"));
            }
            None => return Err("a stored gateway without format".into()),
        }
        let spec = value.get("gateway").ok_or("a stored gateway without content")?;
        Self::deserialize(spec).map_err(|error| format!("a stored gateway that cannot be read: {error}"))
    }
}

/// A selector is stored as its text.
pub(super) mod selector_text {
    use super::{Deserialize, Deserializer, Selector, Serialize, Serializer};

    pub(in crate::gateway) fn serialize<S: Serializer>(
        value: &Option<Selector>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(Selector::text).serialize(serializer)
    }

    pub(in crate::gateway) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Selector>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| Selector::parse(&text).map_err(|error| serde::de::Error::custom(error.message)))
            .transpose()
    }
}

/// A balance is stored as its text.
pub(super) mod balance_text {
    use super::{Balance, Deserialize, Deserializer, Serializer};

    pub(in crate::gateway) fn serialize<S: Serializer>(
        value: &Balance,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::gateway) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Balance, D::Error> {
        let text = String::deserialize(deserializer)?;
        Balance::parse(&text).map_err(serde::de::Error::custom)
    }

    pub(in crate::gateway) fn is_default(value: &Balance) -> bool {
        *value == Balance::Default
    }
}
