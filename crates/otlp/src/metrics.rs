//! Metrics as OTLP has them: sums since the start, gauges, histograms with counts for each bucket.

use std::time::SystemTime;

use crate::Settings;
use crate::page::{Family, Sample};
use crate::wire::{
    Data, Gauge, Histogram, HistogramPoint, KeyValue, Metric, Metrics, Number, NumberPoint, Resource,
    ResourceMetrics, Scope, ScopeMetrics, Sum, Summary, SummaryPoint, Temporality, unix_nanos,
};

/// The body of a request with these metrics.
pub(crate) fn request(
    families: &[Family],
    settings: &Settings,
    started: SystemTime,
    now: SystemTime,
) -> Metrics {
    let span = (unix_nanos(started), unix_nanos(now));
    let metrics = families.iter().filter_map(|family| metric(family, span)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(Scope::of(settings)), metrics }];
    Metrics {
        resource_metrics: vec![ResourceMetrics { resource: Some(Resource::of(settings)), scope_metrics }],
    }
}

fn metric(family: &Family, span: (u64, u64)) -> Option<Metric> {
    let numbers = || family.samples.iter().map(|sample| number(sample, span)).collect::<Vec<_>>();
    let cumulative = Temporality::Cumulative.into();
    let data = match family.kind.as_str() {
        "counter" => {
            Data::Sum(Sum { data_points: numbers(), aggregation_temporality: cumulative, is_monotonic: true })
        }
        "gauge" => Data::Gauge(Gauge { data_points: numbers() }),
        "histogram" => {
            let data_points = groups(family).iter().map(|group| histogram(group, span)).collect();
            Data::Histogram(Histogram { data_points, aggregation_temporality: cumulative })
        }
        "summary" => {
            let data_points = groups(family).iter().map(|group| summary(group, span)).collect();
            Data::Summary(Summary { data_points })
        }
        _ => return None,
    };
    let unit = [("_seconds", "s"), ("_seconds_total", "s"), ("_bytes", "By"), ("_bytes_total", "By")];
    let unit = unit.into_iter().find(|(end, _)| family.name.ends_with(end)).map_or("1", |(_, unit)| unit);
    Some(Metric {
        name: family.name.clone(),
        description: family.help.clone(),
        unit: unit.to_owned(),
        data: Some(data),
    })
}

fn number(sample: &Sample, (start, now): (u64, u64)) -> NumberPoint {
    let value = sample.value.parse().map_or_else(|_| Number::Double(sample.number()), Number::Int);
    NumberPoint {
        attributes: attributes(&sample.labels),
        start_time_unix_nano: start,
        time_unix_nano: now,
        value: Some(value),
    }
}

/// The lines of one histogram or summary of a family.
#[derive(Default)]
struct Group {
    labels: Vec<(String, String)>,
    /// Upper limit and how many are at or below it.
    buckets: Vec<(f64, u64)>,
    sum: f64,
    count: u64,
}

/// Lines that belong together follow each other on the page.
fn groups(family: &Family) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for sample in &family.samples {
        let limit = sample.labels.iter().find(|(name, _)| name == "le").map(|(_, limit)| limit);
        let labels: Vec<_> = sample.labels.iter().filter(|(name, _)| name != "le").cloned().collect();
        if groups.last().is_none_or(|group| group.labels != labels) {
            groups.push(Group { labels, ..Group::default() });
        }
        let Some(group) = groups.last_mut() else { continue };
        let count = sample.value.parse().unwrap_or(0);
        match (sample.suffix.as_str(), limit) {
            ("_bucket", Some(limit)) if limit != "+Inf" => {
                group.buckets.push((limit.parse().unwrap_or(f64::MAX), count));
            }
            ("_sum", _) => group.sum = sample.number(),
            ("_count", _) => group.count = count,
            _ => {}
        }
    }
    groups
}

fn histogram(group: &Group, (start, now): (u64, u64)) -> HistogramPoint {
    // Of each bucket its own count, and of the last what is above all limits.
    let below = std::iter::once(0).chain(group.buckets.iter().map(|(_, count)| *count));
    let up_to = group.buckets.iter().map(|(_, count)| *count).chain([group.count]);
    HistogramPoint {
        attributes: attributes(&group.labels),
        start_time_unix_nano: start,
        time_unix_nano: now,
        count: group.count,
        sum: Some(group.sum),
        bucket_counts: up_to.zip(below).map(|(up_to, below)| up_to.saturating_sub(below)).collect(),
        explicit_bounds: group.buckets.iter().map(|(limit, _)| *limit).collect(),
    }
}

fn summary(group: &Group, (start, now): (u64, u64)) -> SummaryPoint {
    SummaryPoint {
        attributes: attributes(&group.labels),
        start_time_unix_nano: start,
        time_unix_nano: now,
        count: group.count,
        sum: group.sum,
    }
}

fn attributes(labels: &[(String, String)]) -> Vec<KeyValue> {
    labels.iter().map(|(name, value)| KeyValue::text(name, value)).collect()
}
