//! What happened under contention, and whether it may have.

use dlock_core::{Moment, Share};
use std::collections::{BTreeMap, HashSet};

/// One critical section: what its guard said while it lasted.
#[derive(Debug, Clone)]
pub struct Section {
    /// What was locked.
    pub key: String,
    /// How much of it.
    pub share: Share,
    /// The fencing token.
    pub token: u64,
    /// From when until when the guard was seen valid; none if it never was.
    pub valid: Option<(Moment, Moment)>,
}

impl Section {
    /// Of a guard of all of `key`.
    #[must_use]
    pub fn of(key: impl Into<String>, token: u64) -> Self {
        Self { key: key.into(), share: Share::All, token, valid: None }
    }

    /// The same, seen valid from then until then.
    #[must_use]
    pub fn seen(self, from: Moment, until: Moment) -> Self {
        Self { valid: Some((from, until)), ..self }
    }
}

/// All critical sections of a run, of all keys and in no order.
#[derive(Debug, Clone, Default)]
pub struct History(pub Vec<Section>);

/// What must not happen, and between whom it did.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// A guard of a key was valid beside these, which it does not fit beside (I1).
    #[error("these guards were valid at once: {0:?} and {1:?}")]
    Overlap(Vec<Section>, Box<Section>),
    /// The later of two grants that do not fit together has not the greater token (I2).
    #[error("the later grant has not the greater token: {0:?} and then {1:?}")]
    Order(Box<Section>, Box<Section>),
}

impl History {
    /// All guards of one key that were valid at once fit together, and tokens rose in grant order (I1, I2).
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

/// Each of them with those that were valid when it began. Sections that were never valid are no rivals of others.
fn check_exclusion(sections: &[&Section]) -> Result<(), Violation> {
    let mut valid: Vec<(&Section, Moment)> = Vec::new();
    for section in sections {
        let Some((from, until)) = section.valid else { continue };
        valid.retain(|(_, end)| from < *end);
        if !section.share.fits(valid.iter().map(|(before, _)| before.share)) {
            let before = valid.into_iter().map(|(before, _)| before.clone()).collect();
            return Err(Violation::Overlap(before, Box::new((*section).clone())));
        }
        valid.push((section, until));
    }
    Ok(())
}

fn check_order(sections: &[&Section]) -> Result<(), Violation> {
    let mut given = HashSet::new();
    for section in sections {
        if !given.insert(section.token) {
            return Err(order(section, section));
        }
    }
    let mut ended: Vec<(Moment, &Section)> =
        sections.iter().filter_map(|section| section.valid.map(|(_, until)| (until, *section))).collect();
    ended.sort_by_key(|(until, _)| *until);
    let (mut ended, mut greatest) = (ended.into_iter().peekable(), GreatestTokens::default());
    for section in sections {
        let Some((from, _)) = section.valid else { continue };
        while let Some((_, before)) = ended.next_if(|(until, _)| *until <= from) {
            greatest.note(before);
        }
        if let Some(before) = greatest.of_rivals(section).find(|before| before.token > section.token) {
            return Err(order(before, section));
        }
    }
    Ok(())
}

/// Of each share the section with the greatest token.
#[derive(Default)]
struct GreatestTokens<'a>(Vec<&'a Section>);

impl<'a> GreatestTokens<'a> {
    fn note(&mut self, section: &'a Section) {
        match self.0.iter_mut().find(|of| of.share == section.share) {
            Some(of) if of.token < section.token => *of = section,
            Some(_) => {}
            None => self.0.push(section),
        }
    }

    /// Those that do not fit beside `section`. Of two that fit together, the one that was granted first may be seen last.
    fn of_rivals(&self, section: &Section) -> impl Iterator<Item = &'a Section> {
        self.0.iter().copied().filter(|before| !section.share.fits([before.share]))
    }
}

fn order(before: &Section, section: &Section) -> Violation {
    Violation::Order(Box::new(before.clone()), Box::new(section.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;
    use std::time::Duration;

    fn section(token: u64, valid: Option<(u64, u64)>) -> Section {
        let at = |millis| Moment::START.after(Duration::from_millis(millis));
        let valid = valid.map(|(from, until)| (at(from), at(until)));
        Section { key: "k".into(), share: Share::All, token, valid }
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
    fn parts_may_be_held_at_once_if_they_fit() {
        let long = [(1, Some((0, 100))), (2, Some((10, 90))), (3, Some((20, 80)))];
        let with = |shares: [Share; 3]| {
            let mut history = history(&long);
            history.0.iter_mut().zip(shares).for_each(|(section, share)| section.share = share);
            history.check()
        };
        let part = |weight| Share::Part {
            weight: NonZeroU32::new(weight).unwrap(),
            of: NonZeroU32::new(3).unwrap(),
        };
        with([Share::READER; 3]).unwrap();
        let mut seen_late = history(&[(2, Some((0, 10))), (1, Some((20, 30)))]);
        assert!(matches!(seen_late.check(), Err(Violation::Order(..))));
        seen_late.0.iter_mut().for_each(|section| section.share = Share::READER);
        seen_late.check().unwrap();
        with([part(1); 3]).unwrap();
        assert!(
            matches!(with([part(1), part(1), part(2)]), Err(Violation::Overlap(before, _)) if before.len() == 2)
        );
        assert!(with([Share::READER, Share::READER, Share::All]).is_err());
        assert!(with([part(1), Share::READER, part(1)]).is_err());
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
