use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::counters::Ownership;
use crate::outcome::Outcome;

fn record(shard: &Shard, status: u16, micros: u64) {
    let outcome = Outcome::new(status, Reason::Weight, Duration::from_micros(micros));
    shard.record(&Outcome { received: 10, sent: 1_000, ..outcome }, Ownership::Sole);
}

#[test]
fn windows_end_where_they_say() {
    let shard = Shard::default();
    let mut rings = Rings::default();
    // In each of 2000 seconds, as many requests as the last digit of the second.
    for second in 1..=2_000_i64 {
        for _ in 0..second % 10 {
            record(&shard, 200, 1_500);
        }
        rings.roll([&shard].into_iter(), second);
    }
    let requests = |seconds| rings.sum(2_000, seconds).0.by_class[2];
    let exact = |seconds: i64| (2_001 - seconds..=2_000).map(|second| (second % 10) as u64).sum::<u64>();
    for seconds in [1, 2, 5, 10, 33, 60] {
        assert_eq!(requests(seconds), exact(seconds), "{seconds} s");
    }
    for seconds in [65, 120, 500, 900] {
        assert_eq!(requests(seconds), exact(seconds), "{seconds} s are whole frames");
    }
    for seconds in [61, 62, 63, 64, 299, 503] {
        assert!(requests(seconds).abs_diff(exact(seconds)) <= 2 * 9, "{seconds} s are exact to half a frame");
    }
}

#[test]
fn idle_rings_give_their_memory_back() {
    let shard = Shard::default();
    let mut rings = Rings::default();
    record(&shard, 200, 1_000);
    for second in 1..=905 {
        rings.roll([&shard].into_iter(), second);
        let within = |seconds| rings.sum(second, seconds).0.by_class[2];
        assert_eq!(within(60), u64::from(second <= 60), "{second}");
        assert_eq!(within(900), u64::from(second <= 902), "{second}");
    }
    (906..=920).for_each(|second| rings.roll([&shard].into_iter(), second));
    assert_eq!((rings.fine.bytes.capacity(), rings.coarse.bytes.capacity()), (0, 0));
    record(&shard, 500, 1_000);
    rings.roll([&shard].into_iter(), 921);
    assert_eq!(
        rings.sum(921, 900).0.by_class,
        [0, 0, 0, 0, 0, 1],
        "what was counted before is not counted again"
    );
}

#[test]
fn a_history_is_cut_into_spans_that_add_up() {
    let shard = Shard::default();
    let mut rings = Rings::default();
    for second in 1..=103 {
        // Second n has n requests, but for the silent ones.
        for _ in 0..if second % 10 == 0 { 0 } else { second } {
            record(&shard, 200, 1_000);
        }
        rings.roll([&shard].into_iter(), second);
    }
    let counts = |seconds| -> Vec<u64> {
        rings.history(103, seconds).iter().map(|(frame, _)| frame.by_class[2]).collect()
    };
    assert_eq!(counts(4), [0, 101, 102, 103], "to the second");
    // 81..=85, .., 96..=100; what began after 100 is not over.
    assert_eq!(
        counts(61)[8..],
        [81 + 82 + 83 + 84 + 85, 86 + 87 + 88 + 89, 91 + 92 + 93 + 94 + 95, 96 + 97 + 98 + 99]
    );
    assert_eq!(counts(900).iter().sum::<u64>(), (1..=100).filter(|n| n % 10 != 0).sum::<u64>());
    assert_eq!(counts(900).len(), 180);
    let (_, latencies) = &rings.history(103, 4)[1];
    assert!(latencies.quantile(0.5).is_some());
}

#[test]
fn memory_is_bounded_for_any_traffic() {
    let shard = Shard::default();
    let mut rings = Rings::default();
    for second in 1..=1_000 {
        // Latencies all over the place: every step of many groups.
        for n in 0..700 {
            record(&shard, 200, (1 << (n % 30)) | ((n * 7) << (n % 20)));
        }
        rings.roll([&shard].into_iter(), second);
    }
    assert!(rings.fine.bytes.len() <= FINE_BYTES && rings.coarse.bytes.len() <= COARSE_BYTES);
    assert!(
        rings.fine.bytes.capacity() <= 4 * FINE_BYTES && rings.coarse.bytes.capacity() <= 4 * COARSE_BYTES
    );
    assert_eq!(rings.sum(1_000, 1).0.by_class[2], 700, "the newest are kept");
}

#[test]
fn ordinary_traffic_takes_few_bytes() {
    let shard = Shard::default();
    let mut rings = Rings::default();
    for second in 1..=1_000 {
        for n in 0..200 {
            record(&shard, 200, 5_000 + n * n % 3_000);
        }
        rings.roll([&shard].into_iter(), second);
    }
    assert_eq!(rings.sum(1_000, 900).0.by_class[2], 900 * 200, "the whole window");
    assert!(rings.fine.bytes.len() + rings.coarse.bytes.len() < 32 * 1024, "{rings:?}");
}

proptest! {
    #[test]
    fn a_frame_survives_its_encoding(
        end in 0..100_000_i64,
        by_class in any::<[u64; CLASSES]>(),
        rest in any::<[u64; 5]>(),
        sparse in prop::collection::btree_map(0..1024_u16, any::<u64>(), 0..50),
        zeros in any::<u8>(),
    ) {
        let [failed, rerouted, received, sent, total_nanos] = rest;
        let mut frame = Frame {
            end, by_class, failed, rerouted, received, sent, total_nanos, latencies: sparse.into_iter().collect(),
        };
        for (class, count) in frame.by_class.iter_mut().enumerate() {
            if zeros >> class & 1 == 1 {
                *count = 0;
            }
        }
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        prop_assert_eq!(Frame::decode(bytes.into_iter()), Some(frame));
    }
}
