//! The `target_care` section of a gateway: when its targets are left out, how they come back, and how much they get at a time. What it does
//! not say is said by the settings of the proxy.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::fields::{Fields, wrong_type};
use crate::percent::Percent;
use crate::port::Protocol;
use crate::problem::{Problem, Problems};
use crate::yaml::Node;

/// Largest of the numbers.
const MOST: u32 = 1_000_000;
/// Longest of the times.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const EXAMPLE: &str = "target_care: {eject_after: 3, requests: 100}";

/// How a gateway's targets are looked after, where that is not left to the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct TargetCare {
    /// Failed requests in a row after which a target is left out for a while; 0 for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eject_after: Option<u32>,
    /// How long it is left out the first time; each time until it is forgotten twice as long, 10 times at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejection_time: Option<Period>,
    /// Share of a route's targets that may be left out at a time, rounded down; never the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_ejected: Option<Percent>,
    /// Time in which a target that is new, or back, comes to its full part; zero for at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Period>,
    /// Requests, or tcp connections, that a proxy sends to a target at a time; 0 for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// How many more wait for one of them to end; those beyond are refused at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
}

/// A time as documents write it, `500ms`, `30s`, `5m` or `1h`; exact to a millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Period(u64);

/// Units, longest first, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Period {
    /// Reads a whole number with a unit; zero needs none. `None` when it is no such thing.
    pub fn parse(text: &str) -> Option<Self> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().ok()?;
        match UNITS.iter().find(|(known, _)| *known == unit) {
            Some((_, millis)) => number.checked_mul(*millis).map(Self),
            None => (unit.is_empty() && number == 0).then_some(Self(0)),
        }
    }

    /// The same for calculations.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// In the longest unit in which it is a whole number.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().find(|(_, millis)| self.0 != 0 && self.0.is_multiple_of(*millis));
        let (unit, millis) = whole.unwrap_or(&("s", 1_000));
        write!(f, "{}{unit}", self.0 / millis)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("'{text}' is no time")))
    }
}

impl TargetCare {
    /// As a person would write it, and as reads show it.
    pub(crate) fn to_json(&self) -> Value {
        let number = |number: u32| Value::from(number);
        let fields = [
            ("eject_after", self.eject_after.map(number)),
            ("ejection_time", self.ejection_time.map(|time| time.to_string().into())),
            ("most_ejected", self.most_ejected.map(|share| share.to_string().into())),
            ("slow_start", self.slow_start.map(|time| time.to_string().into())),
            ("requests", self.requests.map(number)),
            ("pending", self.pending.map(number)),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(given.collect::<Map<_, _>>())
    }
}

/// Reads the `target_care` section.
pub(super) fn read_target_care(
    fields: &mut Fields<'_>,
    protocol: Protocol,
    problems: &mut Problems,
) -> Option<TargetCare> {
    let node = fields.take("target_care")?;
    let before = problems.0.len();
    let path = fields.path_of("target_care");
    let mut inner = Fields::new(node, &path, problems)?;
    let care = TargetCare {
        eject_after: read_number(&mut inner, "eject_after", problems),
        ejection_time: read_time(&mut inner, "ejection_time", Duration::from_millis(1), problems),
        most_ejected: read_share(&mut inner, "most_ejected", problems),
        slow_start: read_time(&mut inner, "slow_start", Duration::ZERO, problems),
        requests: read_number(&mut inner, "requests", problems),
        pending: read_number(&mut inner, "pending", problems),
    };
    let of_answers = [
        ("eject_after", care.eject_after.is_some()),
        ("ejection_time", care.ejection_time.is_some()),
        ("most_ejected", care.most_ejected.is_some()),
    ];
    if protocol == Protocol::Tcp
        && let Some((name, _)) = of_answers.into_iter().find(|(_, given)| *given)
    {
        let message = format!(
            "Illegal target_care: '{name}' is about answers, which a TCP port does not see, remove it or use an http port."
        );
        problems.push(Problem::new("target-care", inner.path_of(name), message).at(inner.position_of(name)));
    }
    inner.finish(problems);
    if care == TargetCare::default() && problems.0.len() == before {
        let message = "Illegal target_care: it says nothing, give one of its fields or remove it";
        problems.push(Problem::new("target-care", path, message).at(node.position).example(EXAMPLE));
    }
    Some(care)
}

fn read_number(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Option<u32> {
    let node = fields.take(name)?;
    let number = node.text().and_then(|text| text.parse().ok()).filter(|number| *number <= MOST);
    if number.is_none() {
        problems.push(refused(node, fields, name, &format!("a number from 0 to {MOST}"), "100"));
    }
    number
}

fn read_time(
    fields: &mut Fields<'_>,
    name: &'static str,
    least: Duration,
    problems: &mut Problems,
) -> Option<Period> {
    let node = fields.take(name)?;
    let period = node.text().and_then(Period::parse);
    let period = period.filter(|period| (least..=LONGEST).contains(&period.duration()));
    if period.is_none() {
        let expected = if least.is_zero() {
            "a time up to 24h, for example 30s"
        } else {
            "a time from 1ms to 24h, for example 30s"
        };
        problems.push(refused(node, fields, name, expected, "30s"));
    }
    period
}

fn read_share(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Option<Percent> {
    let node = fields.take(name)?;
    let share = node.text().and_then(|text| Percent::parse(text).ok());
    if share.is_none() {
        problems.push(refused(node, fields, name, "a percentage from '0%' to '100%'", "50%"));
    }
    share
}

fn refused(node: &Node, fields: &Fields<'_>, name: &str, expected: &str, example: &str) -> Problem {
    wrong_type(node, &fields.path_of(name), expected).example(format!("{name}: {example}"))
}
