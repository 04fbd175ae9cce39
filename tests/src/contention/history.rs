//! What happened under contention, and whether it may have.

use dlock_core::Moment;
use std::collections::{BTreeMap, HashSet};

/// One critical section: what its guard said while it lasted.
#[derive(Debug, Clone)]
pub struct Section {
    /// What was locked.
    pub key: String,
    /// The fencing token.
    pub token: u64,
    /// From when until when the guard was seen valid; none if it never was.
    pub valid: Option<(Moment, Moment)>,
}

/// All critical sections of a run, of all keys and in no order.
#[derive(Debug, Clone, Default)]
pub struct History(pub Vec<Section>);

/// What must not happen, and between whom it did.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// Two guards of one key were valid at once (I1).
    #[error("two guards were valid at once: {0:?} and {1:?}")]
    Overlap(Section, Section),
    /// The later of two grants has not the greater token (I2).
    #[error("the later grant has not the greater token: {0:?} and then {1:?}")]
    Order(Section, Section),
}

impl History {
    /// No two guards of one key were valid at once, and tokens rose in grant order (I1, I2).
    ///
    /// # Errors
    /// The first violation.
    pub fn check(&self) -> Result<(), Violation> {
        self.check_order()?;
        self.by_key().values().try_for_each(|sections| check_exclusion(sections))
    }

    /// Only that no token was given twice, and that a later grant had a greater one (I2). This is for locks that may be
    /// forgotten, so that two guards may be valid at once.
    ///
    /// # Errors
    /// The first violation.
    pub fn check_order(&self) -> Result<(), Violation> {
        self.by_key().values().try_for_each(|sections| check_order(sections))
    }

    /// The sections of each key, in the order of their beginning.
    fn by_key(&self) -> BTreeMap<&str, Vec<&Section>> {
        let mut keys = BTreeMap::<_, Vec<_>>::new();
        for section in &self.0 {
            keys.entry(section.key.as_str()).or_default().push(section);
        }
        keys.values_mut().for_each(|sections| sections.sort_by_key(|section| section.valid));
        keys
    }
}

/// Each of them with all that began later. Sections that were never valid are nobody's rivals.
fn check_exclusion(sections: &[&Section]) -> Result<(), Violation> {
    let mut last: Option<(&Section, Moment)> = None;
    for section in sections {
        let Some((from, until)) = section.valid else { continue };
        if let Some((before, end)) = last
            && from < end
        {
            return Err(Violation::Overlap(before.clone(), (*section).clone()));
        }
        if last.is_none_or(|(_, end)| until > end) {
            last = Some((section, until));
        }
    }
    Ok(())
}

fn check_order(sections: &[&Section]) -> Result<(), Violation> {
    let mut given = HashSet::new();
    for section in sections {
        if !given.insert(section.token) {
            return Err(Violation::Order((*section).clone(), (*section).clone()));
        }
    }
    let mut ended: Vec<(Moment, &Section)> =
        sections.iter().filter_map(|section| section.valid.map(|(_, until)| (until, *section))).collect();
    ended.sort_by_key(|(until, _)| *until);
    let (mut ended, mut greatest) = (ended.into_iter().peekable(), None::<&Section>);
    for section in sections {
        let Some((from, _)) = section.valid else { continue };
        while let Some((_, before)) = ended.next_if(|(until, _)| *until <= from) {
            greatest = Some(greatest.filter(|greatest| greatest.token > before.token).unwrap_or(before));
        }
        if let Some(before) = greatest.filter(|before| before.token > section.token) {
            return Err(Violation::Order(before.clone(), (*section).clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn section(token: u64, valid: Option<(u64, u64)>) -> Section {
        let at = |millis| Moment::START.after(Duration::from_millis(millis));
        Section { key: "k".into(), token, valid: valid.map(|(from, until)| (at(from), at(until))) }
    }

    fn history(sections: &[(u64, Option<(u64, u64)>)]) -> History {
        History(sections.iter().map(|(token, valid)| section(*token, *valid)).collect())
    }

    #[test]
    fn one_after_the_other_is_right() {
        history(&[(3, Some((20, 30))), (1, Some((0, 10))), (2, Some((10, 20)))]).check().unwrap();
    }

    #[test]
    fn a_guard_that_was_never_valid_contradicts_none() {
        history(&[(1, None), (2, Some((0, 10))), (3, None)]).check().unwrap();
    }

    #[test]
    fn two_at_once_are_seen_also_when_one_lasts_longer_than_the_next() {
        let overlapping = history(&[(1, Some((0, 100))), (2, Some((100, 200))), (3, Some((120, 130)))]);
        assert!(matches!(overlapping.check(), Err(Violation::Overlap(..))));
        let long = history(&[(1, Some((0, 100))), (2, Some((10, 20))), (3, Some((30, 40)))]);
        assert!(matches!(long.check(), Err(Violation::Overlap(..))));
        long.check_order().expect("their tokens are in order");
    }

    #[test]
    fn two_keys_are_no_rivals() {
        let mut both = history(&[(1, Some((0, 100))), (2, Some((50, 60)))]);
        both.0[1].key = "other".into();
        both.check().unwrap();
    }

    #[test]
    fn a_token_that_falls_or_is_given_twice_is_seen() {
        for tokens in [[2, 1], [1, 1]] {
            let [one, next] = tokens;
            let wrong = history(&[(one, Some((0, 10))), (next, Some((10, 20)))]);
            assert!(matches!(wrong.check(), Err(Violation::Order(..))));
            assert!(matches!(wrong.check_order(), Err(Violation::Order(..))));
        }
        assert!(history(&[(1, None), (1, Some((0, 10)))]).check().is_err());
    }
}
