//! Logarithmic axes, and the numbers at them. Pure.

use crate::report::number;

/// An axis for the values from `low` to `high`, drawn from `from` to `to`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LogScale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

/// Whether a value has a place on a logarithmic axis.
pub(super) fn has_place(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

impl LogScale {
    /// From the least to the greatest of `values`; those that have no place do not count.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Self {
        let placed = values.into_iter().filter(|value| has_place(*value));
        let (low, high) =
            placed.fold((f64::MAX, 0.0), |(low, high): (f64, f64), value| (low.min(value), high.max(value)));
        let (low, high) = if high > 0.0 { (low, high) } else { (1.0, 1.0) };
        Self { low, high, from, to }
    }

    /// The same, to the next powers of ten, of which there are two at least.
    pub(super) fn of_decades(self) -> Self {
        let low = self.low.log10().floor();
        let high = self.high.log10().ceil().max(low + 1.0);
        Self { low: 10f64.powf(low), high: 10f64.powf(high), ..self }
    }

    /// Where a value is drawn. An axis of one value has it in the middle.
    pub(super) fn place(&self, value: f64) -> f64 {
        match self.decades() {
            0.0 => f64::midpoint(self.from, self.to),
            decades => self.from + (value / self.low).log10() / decades * (self.to - self.from),
        }
    }

    /// Where to draw ticks: at powers of ten, and at twice and five times those where there is room for them.
    pub(super) fn ticks(&self, room: f64) -> Vec<f64> {
        // The least distance is from 1 to 2.
        let is_roomy = self.decades() * room <= 2f64.log10() * (self.to - self.from).abs();
        let steps: &[f64] = if is_roomy { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let exponents = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let ticks = exponents.flat_map(|exponent| steps.iter().map(move |step| step * 10f64.powi(exponent)));
        // Powers of ten are not exact below one.
        let slack = 1e-9;
        ticks.filter(|tick| *tick >= self.low * (1.0 - slack) && *tick <= self.high * (1.0 + slack)).collect()
    }

    fn decades(&self) -> f64 {
        (self.high / self.low).log10()
    }
}

/// With commas between the thousands, and no more digits than are worth reading.
pub(super) fn label(value: f64) -> String {
    if value < 1_000.0 {
        return number(value).trim_end_matches(".0").to_owned();
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_at(place: f64, expected: f64) -> bool {
        (place - expected).abs() < 1e-6
    }

    #[test]
    fn a_factor_is_a_distance() {
        let scale = LogScale::over([1.0, 10_000.0], 100.0, 500.0);
        for (value, place) in [(1.0, 100.0), (10.0, 200.0), (1_000.0, 400.0), (10_000.0, 500.0)] {
            assert!(is_at(scale.place(value), place), "{value} at {}", scale.place(value));
        }
        let upwards = LogScale::over([1.0, 16.0], 300.0, 100.0);
        assert!(is_at(upwards.place(4.0), 200.0));
    }

    #[test]
    fn decades_lie_around_all_values() {
        let scale = |values: &[f64]| LogScale::over(values.iter().copied(), 0.0, 300.0).of_decades();
        assert_eq!(scale(&[150.0, 43_000.0]).ticks(90.0), [100.0, 1_000.0, 10_000.0, 100_000.0]);
        assert_eq!(scale(&[100.0]).ticks(200.0), [100.0, 1_000.0]);
        assert!(is_at(scale(&[0.4]).place(0.1), 0.0) && is_at(scale(&[0.4]).place(1.0), 300.0));
    }

    #[test]
    fn there_are_more_ticks_where_there_is_room() {
        let scale = LogScale::over([0.2, 5.0], 0.0, 300.0);
        assert_eq!(scale.ticks(30.0), [0.2, 0.5, 1.0, 2.0, 5.0]);
        assert_eq!(scale.ticks(100.0), [1.0]);
    }

    #[test]
    fn values_without_a_logarithm_are_left_out() {
        let odd = [0.0, -3.0, f64::NAN, f64::INFINITY];
        assert_eq!(
            LogScale::over(odd.into_iter().chain([2.0, 20.0]), 0.0, 1.0),
            LogScale::over([2.0, 20.0], 0.0, 1.0)
        );
        assert!(odd.iter().all(|value| !has_place(*value)));
    }

    #[test]
    fn one_value_is_in_the_middle_and_none_is_no_panic() {
        assert_eq!(LogScale::over([7.0], 0.0, 10.0).place(7.0), 5.0);
        let empty = LogScale::over([], 0.0, 10.0);
        assert_eq!((empty.place(1.0), empty.ticks(30.0)), (5.0, vec![1.0]));
    }

    #[test]
    fn thousands_are_grouped() {
        let texts = [0.5, 1.0, 16.0, 35.9, 999.0, 1_000.0, 10_000.0, 1_234_567.0].map(label);
        assert_eq!(texts, ["0.5", "1", "16", "35.9", "999", "1,000", "10,000", "1,234,567"]);
    }
}
