//! The table is whole, and the tests that it names are there.

use super::found::Files;
use super::{GROUPS, SAFETY, Scenario, scenarios};
use std::path::Path;

/// Each number has its line, and only one.
#[test]
fn no_number_is_missing_or_doubled() {
    let digits = |letter| if letter == 'B' { 2 } else { 1 };
    let numbers = |(letter, first, last): (char, u32, u32)| {
        (first..=last).map(move |number| format!("{letter}{number:0width$}", width = digits(letter)))
    };
    let expected: Vec<String> = GROUPS.iter().copied().flat_map(numbers).collect();
    let given: Vec<&str> = scenarios().map(|scenario| scenario.number).collect();
    assert_eq!(given, expected);
    assert!(SAFETY.iter().all(|number| given.contains(number)));
}

/// Each line names tests, or says why it does not; where safety is at stake, a control too.
#[test]
fn every_scenario_is_shown_or_says_why_not() {
    for Scenario { number, what, shown_by, controls, note, .. } in scenarios() {
        assert!(what.ends_with('.'), "{number} says what must hold");
        assert!(!shown_by.is_empty() || !note.is_empty(), "{number} names neither a test nor a reason");
        let is_safe = !SAFETY.contains(number) || shown_by.is_empty() || !controls.is_empty();
        assert!(is_safe, "{number} has no control");
    }
}

/// Each named test is there and is run, and those in this folder begin with the numbers that name them.
#[test]
fn every_named_test_is_there() {
    let mut files = Files::default();
    let mut wrong = Vec::new();
    for scenario in scenarios() {
        let Scenario { number, shown_by, controls, .. } = scenario;
        for test in [shown_by, controls].into_iter().copied().flatten() {
            match files.find(test) {
                None => wrong.push(format!("{number}: there is no test {test}")),
                Some(found) if found.ignored => wrong.push(format!("{number}: {test} is ignored")),
                Some(found) if scenario.is_numbered(test) && !found.numbers.contains(*number) => {
                    wrong.push(format!("{number}: the doc comment of {test} does not begin with it"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The other way round: a test here that begins with a number is named in its line.
#[test]
fn every_number_that_a_test_gives_itself_is_in_the_table() {
    let mut files = Files::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/redis");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let part = path.file_stem().unwrap().to_string_lossy().into_owned();
        for (function, found) in files.of(&part) {
            for number in found.numbers.iter().filter(|number| !number.starts_with('I')) {
                let scenario = scenarios().find(|scenario| scenario.number == number).unwrap();
                let test = format!("{part}::{function}");
                let named = scenario.shown_by.contains(&test.as_str());
                assert!(named, "{number} does not name {test}");
            }
        }
    }
}
