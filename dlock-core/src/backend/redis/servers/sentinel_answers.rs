//! Which server is the primary, by the answers of the sentinels. Pure.

use super::address::Address;
use crate::error::{ErrorKind, LockError};

/// What the sentinels said so far, in the order of the list. `None` where one has not answered yet.
pub(super) struct SentinelAnswers(Vec<Option<Result<Address, LockError>>>);

/// A server that sentinels call the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) address: Address,
    /// The sentinels that do, by their places in the list.
    pub(super) named_by: Vec<usize>,
}

impl SentinelAnswers {
    pub(super) fn of(sentinels: usize) -> Self {
        Self((0..sentinels).map(|_| None).collect())
    }

    /// Notes what the sentinel at this place said.
    pub(super) fn note(&mut self, place: usize, answer: Result<Address, LockError>) {
        if let Some(said) = self.0.get_mut(place) {
            *said = Some(answer);
        }
    }

    /// Whether more than half of all sentinels name the same server, so that no further answer matters.
    pub(super) fn are_decisive(&self) -> bool {
        self.candidates().first().is_some_and(|most| most.named_by.len() * 2 > self.0.len())
    }

    /// The named servers, in the order of how many sentinels name them; on a tie, in the order of the list.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let mut candidates = Vec::<Candidate>::new();
        for (place, address) in self.named() {
            match candidates.iter_mut().find(|candidate| candidate.address == *address) {
                Some(candidate) => candidate.named_by.push(place),
                None => candidates.push(Candidate { address: address.clone(), named_by: vec![place] }),
            }
        }
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.named_by.len()));
        candidates
    }

    fn named(&self) -> impl Iterator<Item = (usize, &Address)> {
        let said = self.0.iter().enumerate();
        said.filter_map(|(place, answer)| Some((place, answer.as_ref()?.as_ref().ok()?)))
    }

    /// The places of those that named another server than `primary`.
    pub(super) fn wrong(&self, primary: &Address) -> Vec<usize> {
        self.named().filter(|(_, address)| *address != primary).map(|(place, _)| place).collect()
    }

    /// Why no sentinel names a server. An answer says more than a sentinel that cannot be reached.
    pub(super) fn failure(self) -> LockError {
        let mut failures: Vec<_> = self.0.into_iter().flatten().filter_map(Result::err).collect();
        failures.sort_by_key(|error| error.kind() == ErrorKind::Unavailable);
        let none = || LockError::new(ErrorKind::Unavailable, "no sentinel is named");
        failures.into_iter().next().unwrap_or_else(none)
    }
}

/// How many of the first candidates are named by equally many sentinels. If more than one, something else must decide.
pub(super) fn tied(candidates: &[Candidate]) -> usize {
    let most = candidates.first().map_or(0, |candidate| candidate.named_by.len());
    candidates.iter().take_while(|candidate| candidate.named_by.len() == most).count()
}

/// The list with those at its end that were wrong.
pub(super) fn with_last(sentinels: &[Address], wrong: &[Address]) -> Vec<Address> {
    let (last, first): (Vec<_>, Vec<_>) = sentinels.iter().cloned().partition(|it| wrong.contains(it));
    [first, last].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str) -> Address {
        Address::of(host, 6379).unwrap()
    }

    /// `-` for one that has not answered, `!` for one that cannot be reached, `?` for one that knows no such primary,
    /// else the primary's name.
    fn answers(said: &[&str]) -> SentinelAnswers {
        let mut answers = SentinelAnswers::of(said.len());
        for (place, said) in said.iter().enumerate() {
            let answer = match *said {
                "-" => continue,
                "!" => Err(LockError::new(ErrorKind::Unavailable, "away")),
                "?" => Err(LockError::new(ErrorKind::InvalidOption, "unknown")),
                host => Ok(address(host)),
            };
            answers.note(place, answer);
        }
        answers
    }

    fn hosts(said: &[&str]) -> Vec<String> {
        answers(said).candidates().into_iter().map(|candidate| candidate.address.host).collect()
    }

    #[test]
    fn the_server_that_most_sentinels_name_comes_first() {
        assert_eq!(hosts(&["old", "new", "new"]), ["new", "old"]);
        assert_eq!(hosts(&["old", "new"]), ["old", "new"], "in the order of the list");
        assert_eq!(hosts(&["!", "-", "new"]), ["new"]);
        assert!(hosts(&["!", "-", "?"]).is_empty());
    }

    #[test]
    fn no_further_answer_is_waited_for_once_more_than_half_of_all_agree() {
        for (said, decisive) in [
            (&["new"][..], true),
            (&["new", "-"], false),
            (&["new", "new", "-"], true),
            (&["old", "new", "-"], false),
            (&["new", "new", "-", "-"], false),
            (&["!", "!", "new"], false),
        ] {
            assert_eq!(answers(said).are_decisive(), decisive, "{said:?}");
        }
    }

    #[test]
    fn servers_that_as_many_name_are_tied() {
        let number = |said: &[&str]| tied(&answers(said).candidates());
        assert_eq!(number(&["old", "new"]), 2);
        assert_eq!(number(&["old", "new", "new"]), 1);
        assert_eq!((number(&["new"]), number(&["!"])), (1, 0));
    }

    #[test]
    fn sentinels_that_were_wrong_go_to_the_end_and_silent_ones_keep_their_places() {
        let list = ["a", "b", "c", "d"].map(address);
        let answers = answers(&["old", "-", "new", "older"]);
        let wrong = answers.wrong(&address("new"));
        assert_eq!(wrong, [0, 3]);
        let wrong: Vec<_> = wrong.into_iter().map(|place| list[place].clone()).collect();
        assert_eq!(with_last(&list, &wrong), ["b", "c", "a", "d"].map(address));
    }

    #[test]
    fn what_an_answering_sentinel_complains_of_is_told_rather_than_that_another_is_away() {
        assert_eq!(answers(&["!", "?", "!"]).failure().kind(), ErrorKind::InvalidOption);
        assert_eq!(answers(&["!", "!"]).failure().kind(), ErrorKind::Unavailable);
        assert_eq!(answers(&[]).failure().kind(), ErrorKind::Unavailable);
    }
}
