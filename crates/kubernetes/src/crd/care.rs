//! `spec.target_care` of `gateways.vamp.io`, with the rules of the API.

use serde_json::Value;

use super::schema::{from_to, integer, object, rule, rule_with, short_text};

/// Largest of the numbers, as in Vamp's API.
const MOST: u32 = 1_000_000;
/// A time up to a bit more than a day, which `duration()` then reads without fail.
const TIME: &str = "^(0+|[0-9]{1,8}ms|[0-9]{1,5}s|[0-9]{1,4}m|[0-9]{1,2}h)$";
/// What is about answers.
const OF_ANSWERS: [&str; 3] = ["eject_after", "ejection_time", "most_ejected"];
const OF_ALL: [&str; 3] = ["slow_start", "requests", "pending"];

pub(super) fn target_care() -> Value {
    let number = |description: &str| from_to(integer(description), 0, MOST);
    let care = object(
        "How targets are looked after. What is left out is said by the settings of the proxy.",
        [
            (
                "eject_after",
                number(
                    "Failed requests in a row after which a target is left out for a while, 0 to 1000000; 0 for never. Not for tcp.",
                ),
            ),
            (
                "ejection_time",
                rule(
                    short_text(
                        "How long it is left out the first time, 1ms to 24h, with a unit (ms, s, m, h), for example 30s; each time until \
                         it is forgotten twice as long, 10 times at most. Not for tcp.",
                        16,
                    ),
                    &format!(
                        "{} && duration(self) >= duration('1ms') && duration(self) <= duration('24h')",
                        is_time()
                    ),
                    "expected a time from 1ms to 24h, for example 30s",
                ),
            ),
            (
                "most_ejected",
                rule(
                    short_text(
                        "Share of a route's targets that may be left out at a time, 0% to 100%, for example 50%, rounded down; never the \
                         last one. Not for tcp.",
                        16,
                    ),
                    "self.matches('^[ \\t]*(0*100([.]0{1,2})?|0*[0-9]{1,2}([.][0-9]{1,2})?)[ \\t]*%[ \\t]*$')",
                    "expected a percentage from '0%' to '100%'",
                ),
            ),
            (
                "slow_start",
                rule(
                    short_text(
                        "Time in which a target that is new, or back, comes to its full part, up to 24h, with a unit (ms, s, m, h), for \
                         example 30s; 0s for at once.",
                        16,
                    ),
                    &format!("{} && (self.matches('^0+$') || duration(self) <= duration('24h'))", is_time()),
                    "expected a time up to 24h, for example 30s",
                ),
            ),
            (
                "requests",
                number(
                    "Requests, or tcp connections, that a proxy sends to a target at a time, 0 to 1000000; 0 for no limit.",
                ),
            ),
            (
                "pending",
                number(
                    "How many more wait for one of them to end, 0 to 1000000; those beyond are refused at once.",
                ),
            ),
        ],
    );
    let any: Vec<String> =
        OF_ANSWERS.iter().chain(&OF_ALL).map(|field| format!("has(self.{field})")).collect();
    rule(care, &any.join(" || "), "Illegal target_care: it says nothing, give one of its fields or remove it")
}

fn is_time() -> String {
    format!("self.matches('{TIME}')")
}

/// A tcp port does not see answers.
pub(super) fn not_for_tcp(spec: Value) -> Value {
    let given = OF_ANSWERS.map(|field| format!("has(self.target_care.{field})")).join(" || ");
    let [first, second, third] = OF_ANSWERS;
    let named = format!(
        "(has(self.target_care.{first}) ? '{first}' : has(self.target_care.{second}) ? '{second}' : '{third}')"
    );
    rule_with(
        spec,
        &format!(
            "!has(self.port) || type(self.port) != string || !self.port.lowerAscii().endsWith('/tcp') || !has(self.target_care) || \
             !({given})"
        ),
        "Illegal target_care: a TCP port does not see answers, remove what is about them or use an http port.",
        &format!(
            "\"Illegal target_care: '\" + {named} + \"' is about answers, which a TCP port does not see, remove it or use an http port.\""
        ),
    )
}
