//! Shares of traffic, exact to a hundredth of a percent.

use std::fmt;

use serde::{Deserialize, Serialize};

const BLANKS: [char; 2] = [' ', '\t'];

/// A share of traffic, 0 to 100 %, kept as an integer number of hundredths of a percent (spec: gateways 1.3, R46).
///
/// Sums of percentages are therefore exact; nothing here is floating point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Percent(u16);

impl Percent {
    /// 0 %.
    pub const ZERO: Self = Self(0);
    /// 100 %.
    pub const FULL: Self = Self(10_000);

    /// Parses `N%` with up to two decimals and optional blanks around number and sign.
    ///
    /// # Errors
    /// Whether it is no percentage at all, or one outside 0 to 100 %.
    pub fn parse(text: &str) -> Result<Self, PercentError> {
        let Some(number) = text.trim_matches(BLANKS).strip_suffix('%') else {
            return Err(PercentError::NotAPercentage);
        };
        let number = number.trim_matches(BLANKS);
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str, most: usize| {
            !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_digit())
        };
        if whole.strip_prefix('-').is_some_and(|w| digits(w, whole.len()) && digits(decimals, decimals.len()))
        {
            return Err(PercentError::OutOfRange);
        }
        if !digits(whole, whole.len()) || !digits(decimals, 2) {
            return Err(PercentError::NotAPercentage);
        }
        let whole: u32 = if whole.len() <= 3 { whole.parse().unwrap_or(u32::MAX) } else { u32::MAX };
        let decimals: u32 = match decimals.len() {
            1 => decimals.parse::<u32>().unwrap_or_default() * 10,
            _ => decimals.parse().unwrap_or_default(),
        };
        let hundredths = whole.checked_mul(100).and_then(|w| w.checked_add(decimals));
        hundredths
            .and_then(|h| u16::try_from(h).ok())
            .and_then(Self::from_hundredths)
            .ok_or(PercentError::OutOfRange)
    }

    /// From hundredths of a percent; `None` above 100 %.
    pub const fn from_hundredths(hundredths: u16) -> Option<Self> {
        if hundredths <= 10_000 { Some(Self(hundredths)) } else { None }
    }

    /// Hundredths of a percent, 0 to 10 000.
    pub const fn hundredths(self) -> u16 {
        self.0
    }

    /// True for 0 %.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match rest {
            0 => write!(f, "{whole}%"),
            _ if rest % 10 == 0 => write!(f, "{whole}.{}%", rest / 10),
            _ => write!(f, "{whole}.{rest:02}%"),
        }
    }
}

/// Why a text is no percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PercentError {
    /// Not a number with a percent sign.
    #[error("expected a percentage such as '50%'")]
    NotAPercentage,
    /// Below 0 % or above 100 %.
    #[error("expected a percentage from 0% to 100%")]
    OutOfRange,
}

impl Serialize for Percent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
