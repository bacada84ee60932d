//! How the targets of a gateway are looked after: by the settings of the proxy, except for what the gateway says itself.

use model::gateway::{Period, TargetCare};
use model::percent::Percent;

use crate::outlier::OutlierRules;
use crate::settings::Settings;

/// How much longer than the first an ejection can become.
const LONGEST_EJECTION: u32 = 10;

/// How the targets of a gateway are looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CareRules {
    pub(crate) outliers: OutlierRules,
    /// Requests, or tcp connections, that a target may have at a time; 0 for no limit.
    pub(crate) requests: u32,
    /// How many more may wait for one of them to end.
    pub(crate) pending: u32,
}

impl CareRules {
    /// What the settings of the proxy say.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            outliers: settings.outliers.clone(),
            requests: settings.limits.target_requests,
            pending: settings.limits.target_pending,
        }
    }

    /// The same with what a gateway says for itself.
    pub(crate) fn with(&self, care: &TargetCare) -> Self {
        let usual = &self.outliers;
        let ejection_time = care.ejection_time.map(Period::duration);
        Self {
            outliers: OutlierRules {
                failures: care.eject_after.unwrap_or(usual.failures),
                ejection_time: ejection_time.unwrap_or(usual.ejection_time),
                longest_ejection: ejection_time
                    .map_or(usual.longest_ejection, |time| time.saturating_mul(LONGEST_EJECTION)),
                most_ejected: care.most_ejected.map_or(usual.most_ejected, Percent::hundredths),
                slow_start: care.slow_start.map_or(usual.slow_start, Period::duration),
                window: usual.window,
            },
            requests: care.requests.unwrap_or(self.requests),
            pending: care.pending.unwrap_or(self.pending),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_gateway_has_the_last_word_about_what_it_names() {
        let usual = CareRules::of(&Settings::default());
        assert_eq!(usual.with(&TargetCare::default()), usual);
        let period = |text| Period::parse(text);
        let all = TargetCare {
            eject_after: Some(0),
            ejection_time: period("2s"),
            most_ejected: Percent::parse("10%").ok(),
            slow_start: period("1m"),
            requests: Some(7),
            pending: Some(0),
        };
        let rules = usual.with(&all);
        assert_eq!(
            rules.outliers,
            OutlierRules {
                failures: 0,
                ejection_time: Duration::from_secs(2),
                longest_ejection: Duration::from_secs(20),
                most_ejected: 1_000,
                slow_start: Duration::from_secs(60),
                window: usual.outliers.window,
            }
        );
        assert_eq!((rules.requests, rules.pending), (7, 0));
        let one = TargetCare { requests: Some(7), ..TargetCare::default() };
        assert_eq!(usual.with(&one), CareRules { requests: 7, ..usual });
    }
}
