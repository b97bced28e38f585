//! Samples and what is said of them.

use std::time::Duration;

/// Times of one kind, in seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn add(&mut self, span: Duration) {
        self.0.push(span.as_secs_f64());
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The value that this share of the samples does not exceed (nearest rank).
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.percentile(0.5)
    }

    pub(crate) fn max(&self) -> f64 {
        self.percentile(1.0)
    }

    /// `median (least to most)` in seconds.
    pub(crate) fn seconds(&self) -> String {
        format!("{:.2} s ({:.2} to {:.2})", self.median(), self.percentile(0.0), self.max())
    }
}

/// Prints one row.
pub(crate) fn row(what: &str, runs: usize, result: &str, promise: &str) {
    println!("| {what} | {runs} | {result} | {promise} |");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut samples = Samples::default();
        (1..=100).rev().for_each(|n| samples.add(Duration::from_secs(n)));
        assert_eq!((samples.median(), samples.percentile(0.99), samples.max()), (50.0, 99.0, 100.0));
        assert!(Samples::default().median().is_nan());
    }
}
