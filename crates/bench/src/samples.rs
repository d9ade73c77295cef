//! Samples of one figure, with their median, spread and confidence interval.
//!
//! The interval is the distribution-free one for a median, from order statistics: for n sorted
//! samples the k-th smallest and k-th largest enclose the median with probability 1 −
//! 2·P(Binomial(n, ½) < k). With fewer than six samples no pair reaches 95 %, and the interval is
//! the whole range.

/// Samples of one figure, one for each round, in the order of the rounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Takes the samples of the rounds in order.
    pub fn new(samples: Vec<f64>) -> Self {
        Self(samples)
    }

    /// The middle sample, or the mean of the two middle ones. NaN if there are none.
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
        }
    }

    /// Half the range between the quartiles, as a fraction of the median.
    pub fn spread(&self) -> f64 {
        let sorted = self.sorted();
        if sorted.len() < 2 {
            return 0.0;
        }
        let at = |quarter: usize| sorted[(sorted.len() - 1) * quarter / 4];
        (at(3) - at(1)).abs() / 2.0 / self.median().abs().max(f64::MIN_POSITIVE)
    }

    /// Both ends of the 95 % interval of the median.
    pub fn interval(&self) -> (f64, f64) {
        let sorted = self.sorted();
        if sorted.is_empty() {
            return (f64::NAN, f64::NAN);
        }
        let rank = interval_rank(sorted.len());
        (sorted[rank], sorted[sorted.len() - 1 - rank])
    }

    /// Combines two figures round by round, which cancels what disturbed a whole round.
    pub fn pairwise(&self, other: &Self, combine: impl Fn(f64, f64) -> f64) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| combine(*a, *b)).collect())
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// How many samples can be left out at each end while the rest still encloses the median with 95 %.
fn interval_rank(n: usize) -> usize {
    let mut term = 0.5_f64.powi(n as i32);
    let mut tail = term;
    let mut rank = 0;
    while rank < n / 2 {
        term *= (n - rank) as f64 / (rank + 1) as f64;
        tail += term;
        if 2.0 * tail > 0.05 {
            break;
        }
        rank += 1;
    }
    rank
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_two_middle_samples() {
        assert_eq!(Samples::new(vec![4.0, 1.0, 3.0, 2.0]).median(), 2.5);
        assert_eq!(Samples::new(vec![9.0, 1.0, 5.0]).median(), 5.0);
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn interval_ranks_are_those_of_the_published_tables() {
        // Conover, Practical Nonparametric Statistics, table of the sign test. It counts the k-th
        // smallest and largest from 1, and this function from 0.
        let ranks: Vec<usize> = [5, 6, 8, 9, 11, 12, 15, 20].map(interval_rank).to_vec();
        assert_eq!(ranks, [0, 0, 0, 1, 1, 2, 3, 5]);
    }

    #[test]
    fn the_interval_drops_the_outliers_that_the_count_allows() {
        let samples = Samples::new((1..=9).map(f64::from).collect());
        assert_eq!(samples.interval(), (2.0, 8.0));
    }

    #[test]
    fn pairing_cancels_a_disturbance_of_a_whole_round() {
        let ours = Samples::new(vec![1.0, 10.0, 2.0]);
        let peer = Samples::new(vec![2.0, 20.0, 4.0]);
        let ratio = peer.pairwise(&ours, |peer, ours| peer / ours);
        assert_eq!((ratio.median(), ratio.spread()), (2.0, 0.0));
    }
}
