//! Amounts of money, in hundredths. Nothing here is kept as floating point.

use serde_json::Value;

/// Larger amounts are no prices of this shop.
const MAX: i64 = 100_000_000;

/// An amount in hundredths of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Cents(pub(crate) i64);

impl Cents {
    /// `12.50`, `12,50` or `12`. Negative and absurd amounts are refused.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (whole, rest) = text.split_once(['.', ',']).unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || rest.len() > 2 || !digits(whole) || !digits(rest) {
            return None;
        }
        let whole: i64 = whole.parse().ok()?;
        let rest: i64 = format!("{rest:0<2}").parse().ok()?;
        Some(Self(whole.checked_mul(100)?.checked_add(rest)?)).filter(|cents| cents.0 <= MAX)
    }

    /// A JSON number or text.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => {
                let cents = (number.as_f64()? * 100.0).round();
                // In range: checked here.
                (0.0..=MAX as f64).contains(&cents).then_some(Self(cents as i64))
            }
            _ => None,
        }
    }

    /// `12.50`.
    pub(crate) fn plain(self) -> String {
        format!("{}.{:02}", self.0 / 100, self.0 % 100)
    }
}
