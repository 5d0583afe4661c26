//! What a server has done so far.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Four to each power of two, from 1 ns to an hour.
const BUCKETS: usize = 4 * 42;

/// Counters that all connections share.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) zero_bytes: AtomicU64,
    pub(crate) corrupt: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) invalid: AtomicU64,
    latency: [AtomicU64; BUCKETS],
}

impl Default for Counters {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Counters {
            connections: zero(),
            open: zero(),
            refused: zero(),
            requests: zero(),
            bytes: zero(),
            zero_bytes: zero(),
            corrupt: zero(),
            failed: zero(),
            invalid: zero(),
            latency: std::array::from_fn(|_| zero()),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn took(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        if let Some(bucket) = self.latency.get(bucket(nanos).min(BUCKETS.saturating_sub(1))) {
            add(bucket, 1);
        }
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts: Vec<u64> = self.latency.iter().map(read).collect();
        Statistics {
            connections: read(&self.connections),
            open_connections: read(&self.open),
            refused_connections: read(&self.refused),
            requests: read(&self.requests),
            bytes: read(&self.bytes),
            zero_bytes: read(&self.zero_bytes),
            corrupt: read(&self.corrupt),
            failed: read(&self.failed),
            invalid: read(&self.invalid),
            p50: quantile(&counts, 50),
            p99: quantile(&counts, 99),
        }
    }
}

/// The exponent, and the two bits behind the first one.
fn bucket(nanos: u64) -> usize {
    let exponent = nanos.checked_ilog2().unwrap_or(0);
    let next = nanos.checked_shl(64_u32.saturating_sub(exponent)).unwrap_or(0) >> 62;
    let index = u64::from(exponent).saturating_mul(4).saturating_add(next);
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The upper end of a bucket.
fn upper(bucket: usize) -> Duration {
    let exponent = u32::try_from(bucket >> 2).unwrap_or(u32::MAX).min(62);
    let next = u64::try_from(bucket & 3).unwrap_or(0).saturating_add(5);
    Duration::from_nanos((next << exponent) >> 2)
}

/// The time that so many percent of the requests stayed below.
fn quantile(counts: &[u64], percent: u64) -> Option<Duration> {
    let total = counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let wanted = total.saturating_mul(percent).div_ceil(100);
    let mut seen = 0_u64;
    for (index, count) in counts.iter().enumerate() {
        seen = seen.saturating_add(*count);
        if total > 0 && seen >= wanted {
            return Some(upper(index));
        }
    }
    None
}

/// What a server has done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that are open now.
    pub open_connections: u64,
    /// Connections that were closed at once, because there were too many.
    pub refused_connections: u64,
    /// Requests that were answered, well or not.
    pub requests: u64,
    /// Bytes of content that were sent, without those below.
    pub bytes: u64,
    /// Bytes of which it was said that they are zeros.
    pub zero_bytes: u64,
    /// Reads that met a block which is not what the root hash says.
    pub corrupt: u64,
    /// Reads that the storage failed.
    pub failed: u64,
    /// Requests that were refused: writes, and what is outside of the disk.
    pub invalid: u64,
    /// Half of the requests took no longer, to within a fifth; `None` if there were none.
    pub p50: Option<Duration>,
    /// 99 of 100 requests took no longer, to within a fifth.
    pub p99: Option<Duration>,
}

#[cfg(feature = "json")]
impl Statistics {
    /// As a document `ddi.serve/1`. Times are in microseconds.
    pub fn to_json(&self) -> serde_json::Value {
        let micros =
            |time: Option<Duration>| time.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        serde_json::json!({
            "schema": "ddi.serve/1",
            "connections": self.connections,
            "openConnections": self.open_connections,
            "refusedConnections": self.refused_connections,
            "requests": self.requests,
            "bytes": self.bytes,
            "zeroBytes": self.zero_bytes,
            "corruptReads": self.corrupt,
            "failedReads": self.failed,
            "invalidRequests": self.invalid,
            "latencyP50": micros(self.p50),
            "latencyP99": micros(self.p99),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_to_within_a_quarter() {
        for nanos in (1..2000).chain([1 << 20, (1 << 30) - 1, 3_000_000_000, 1 << 41]) {
            let upper = upper(bucket(nanos)).as_nanos() as f64;
            assert!(nanos as f64 <= upper && upper <= nanos as f64 * 1.25 + 1.0, "{nanos}: {upper}");
        }
        let counters = Counters::default();
        assert_eq!(counters.statistics().p50, None);
        for millis in 1..=100 {
            counters.took(Duration::from_millis(millis));
        }
        counters.took(Duration::MAX);
        let statistics = counters.statistics();
        let (p50, p99) = (statistics.p50.unwrap().as_millis(), statistics.p99.unwrap().as_millis());
        assert!((50..65).contains(&p50) && (99..125).contains(&p99), "{p50} {p99}");
    }
}
