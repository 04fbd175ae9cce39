//! Medians, ratios, fairness. Pure.

/// The middle and both ends of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// None of no values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let values = sorted(values);
        Some(Self { median: median(&values)?, least: *values.first()?, most: *values.last()? })
    }
}

/// The value that half of the sorted ones do not exceed; between two, their mean.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    match sorted.len() % 2 {
        1 => Some(upper),
        _ => Some(f64::midpoint(*sorted.get(middle - 1)?, upper)),
    }
}

/// The smallest value that at least `share` of all do not exceed.
pub(crate) fn percentile(values: &mut [u64], share: f64) -> Option<u64> {
    values.sort_unstable();
    let place = (share * values.len() as f64).ceil() as usize;
    values.get(place.max(1) - 1).copied()
}

/// Of neighbours in time: what each of `ours` is to the one of `theirs` of the same round.
pub(crate) fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter()
        .zip(theirs)
        .filter(|(_, theirs)| **theirs != 0.0)
        .map(|(ours, theirs)| ours / theirs)
        .collect()
}

/// Of neighbours in time, how much more each of `ours` is.
pub(crate) fn differences(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs).collect()
}

/// How evenly something was shared: 1 if all have the same, 1/n if one has all.
pub(crate) fn jain(shares: &[u64]) -> Option<f64> {
    let sum: f64 = shares.iter().map(|&share| share as f64).sum();
    let squares: f64 = shares.iter().map(|&share| (share as f64).powi(2)).sum();
    (squares > 0.0).then(|| sum * sum / (shares.len() as f64 * squares))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |values: &[f64]| Spread::of(values).unwrap();
        assert_eq!(of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(of(&[7.0]), Spread { median: 7.0, least: 7.0, most: 7.0 });
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn ratios_are_of_neighbours_not_of_medians() {
        let (ours, theirs) = ([10.0, 40.0, 90.0], [5.0, 10.0, 30.0]);
        assert_eq!(ratios(&ours, &theirs), [2.0, 4.0, 3.0]);
        assert_eq!(Spread::of(&ratios(&ours, &theirs)).unwrap().median, 3.0);
        assert_eq!(ratios(&[1.0, 2.0], &[0.0, 4.0]), [0.5]);
        assert_eq!(differences(&ours, &theirs), [5.0, 30.0, 60.0]);
    }

    #[test]
    fn jain_is_one_if_all_have_the_same_and_one_nth_if_one_has_all() {
        assert_eq!(jain(&[5, 5, 5, 5]), Some(1.0));
        assert_eq!(jain(&[8, 0, 0, 0]), Some(0.25));
        assert_eq!(jain(&[0, 0]), None);
        assert!(jain(&[1, 2]).is_some_and(|jain| (jain - 0.9).abs() < 1e-9));
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let mut values: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(percentile(&mut values, 0.5), Some(50));
        assert_eq!(percentile(&mut values, 0.99), Some(99));
        assert_eq!(percentile(&mut values, 1.0), Some(100));
        assert_eq!(percentile(&mut [7], 0.01), Some(7));
        assert_eq!(percentile(&mut [], 0.5), None);
    }
}
