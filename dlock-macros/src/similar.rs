//! "did you mean": the known name that is nearest to a mistyped one.

/// The candidate that `name` was probably meant to be.
pub(crate) fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let allowed = (name.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (distance(name, &candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters must be put in, left out or replaced to get from `one` to `other` (Levenshtein, one
/// row of the table at a time).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (1..=other.chars().count()).collect();
    for (index, wanted) in one.chars().enumerate() {
        let (mut corner, mut left) = (index, index + 1);
        for (cell, found) in row.iter_mut().zip(other.chars()) {
            let replaced = corner + usize::from(wanted != found);
            corner = *cell;
            left = replaced.min(corner + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_else(|| one.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (one, other, expected) in
            [("", "", 0), ("", "ab", 2), ("ab", "", 2), ("kitten", "sitting", 3), ("id", "di", 2)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        let names = || ["order_id", "self"].into_iter().map(str::to_owned);
        assert_eq!(nearest("ordr_id", names()).as_deref(), Some("order_id"));
        assert_eq!(nearest("customer", names()), None);
        assert_eq!(nearest("x", names()), None);
    }
}
