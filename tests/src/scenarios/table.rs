//! A table of scenarios, and what can be wrong with it.

use super::found::Files;
use std::path::Path;

/// What must hold, and what shows it.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    number: &'static str,
    what: &'static str,
    /// As `file::function`.
    shown_by: &'static [&'static str],
    controls: &'static [&'static str],
    /// Why there is nothing to show here, or what is to be known beside the tests.
    note: &'static str,
}

/// What holds, and the tests that show it.
#[must_use]
pub const fn shown(number: &'static str, what: &'static str, shown_by: &'static [&'static str]) -> Scenario {
    Scenario { number, what, shown_by, controls: &[], note: "" }
}

/// Nothing is shown here, because of `note`.
#[must_use]
pub const fn not(number: &'static str, what: &'static str, note: &'static str) -> Scenario {
    Scenario { note, ..shown(number, what, &[]) }
}

impl Scenario {
    /// The tests by which those that show it are known to be able to fail: a broken variant that is noticed, or the
    /// same scenario without the protection.
    #[must_use]
    pub const fn control(mut self, controls: &'static [&'static str]) -> Self {
        self.controls = controls;
        self
    }

    /// What is to be known beside the tests.
    #[must_use]
    pub const fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }
}

/// Scenarios, and the folder whose tests show them.
///
/// Each check returns what is wrong, a line for each, so that a table that is whole gives none. Tests are named as
/// `file::function`: a file of the folder, else a test target; `conformance` is the suite and `flaws` its control;
/// `core/…` is a source file of `dlock-core`, `core-tests/…` one of its test targets, and any other path one below
/// `tests/tests`.
#[derive(Debug)]
pub struct Table {
    /// Below `tests/tests`.
    pub folder: &'static str,
    /// The first and the last number of each group, in the order of the table.
    pub groups: &'static [(&'static str, &'static str)],
    /// The letters of the numbers that the doc comments of the folder's tests begin with.
    pub numbered: &'static [char],
    /// Those where a failure makes two holders, or a write of a stale one.
    pub safety: &'static [&'static str],
    /// The scenarios, in any number of parts.
    pub parts: &'static [&'static [Scenario]],
}

impl Table {
    /// Numbers that are missing, doubled, or out of order.
    #[must_use]
    pub fn numbers(&self) -> Vec<String> {
        let given: Vec<String> = self.scenarios().map(|scenario| scenario.number.to_owned()).collect();
        let expected: Vec<String> = self.groups.iter().copied().flat_map(numbers).collect();
        let mut wrong = Vec::new();
        if given != expected {
            wrong.push(format!("the numbers are {given:?}, and not {expected:?}"));
        }
        let unknown = self.safety.iter().filter(|number| !given.iter().any(|given| given == *number));
        wrong.extend(unknown.map(|number| format!("{number} is not in the table")));
        wrong
    }

    /// Lines without a sentence, without a test or a reason, or without a control where safety is at stake.
    #[must_use]
    pub fn gaps(&self) -> Vec<String> {
        self.scenarios().flat_map(|scenario| self.gaps_of(scenario)).collect()
    }

    fn gaps_of(&self, scenario: &Scenario) -> Vec<String> {
        let Scenario { number, what, shown_by, controls, note } = scenario;
        let is_at_stake = self.safety.contains(number) && !shown_by.is_empty();
        [
            (!what.ends_with('.'), "does not say what must hold"),
            (shown_by.is_empty() && note.is_empty(), "names neither a test nor a reason"),
            (is_at_stake && controls.is_empty(), "has no control"),
        ]
        .into_iter()
        .filter(|(is_wrong, _)| *is_wrong)
        .map(|(_, wrong)| format!("{number} {wrong}"))
        .collect()
    }

    /// Named tests that are not there, are not run, or, in the folder, do not begin with the number.
    #[must_use]
    pub fn missing_tests(&self) -> Vec<String> {
        self.missing_tests_in(workspace())
    }

    fn missing_tests_in(&self, workspace: &Path) -> Vec<String> {
        let mut files = Files::new(workspace, self.folder);
        let mut wrong = Vec::new();
        for scenario in self.scenarios() {
            let Scenario { number, shown_by, controls, .. } = scenario;
            for test in [shown_by, controls].into_iter().copied().flatten() {
                let is_numbered = self.is_numbered(&files, scenario, test);
                match files.find(test) {
                    None => wrong.push(format!("{number}: there is no test {test}")),
                    Some(found) if found.ignored => wrong.push(format!("{number}: {test} is ignored")),
                    Some(found) if is_numbered && !found.numbers.contains(*number) => {
                        wrong.push(format!("{number}: the doc comment of {test} does not begin with it"));
                    }
                    Some(_) => {}
                }
            }
        }
        wrong
    }

    /// Whether the doc comment of `test` begins with the number: in the folder, unless it is a control only.
    fn is_numbered(&self, files: &Files, scenario: &Scenario, test: &str) -> bool {
        let is_in_folder = test.split("::").next().is_some_and(|part| files.is_in_folder(part));
        let is_shown = scenario.shown_by.contains(&test);
        is_in_folder && is_shown && scenario.number.starts_with(self.numbered)
    }

    /// The other way round: numbers that the folder's tests give themselves, and whose lines do not name them.
    #[must_use]
    pub fn unlisted_tests(&self) -> Vec<String> {
        self.unlisted_tests_in(workspace())
    }

    fn unlisted_tests_in(&self, workspace: &Path) -> Vec<String> {
        let mut files = Files::new(workspace, self.folder);
        let (parts, mut wrong) = (files.parts(), Vec::new());
        if parts.is_empty() {
            wrong.push(format!("there are no tests in {}", self.folder));
        }
        for part in parts {
            for (function, found) in files.of(&part) {
                let test = format!("{part}::{function}");
                // I1 to I10 are the invariants.
                let numbers = found.numbers.iter().filter(|number| !number.starts_with('I'));
                let unlisted = numbers.filter(|number| !self.names(number, &test));
                wrong.extend(unlisted.map(|number| format!("{number} does not name {test}")));
            }
        }
        wrong
    }

    fn names(&self, number: &str, test: &str) -> bool {
        self.scenarios().any(|scenario| scenario.number == number && scenario.shown_by.contains(&test))
    }

    fn scenarios(&self) -> impl Iterator<Item = &'static Scenario> {
        self.parts.iter().copied().flatten()
    }
}

/// The workspace that this crate is a part of.
fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// All from the first number to the last, as wide as the first.
fn numbers((first, last): (&str, &str)) -> Vec<String> {
    let (letter, digits) = first.split_at(1);
    let number = |digits: &str| digits.parse::<u32>().unwrap_or_default();
    let range = number(digits)..=number(last.trim_start_matches(letter));
    range.map(|number| format!("{letter}{number:0width$}", width = digits.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const SAID: &str =
        "/// S1, I4: what.\n#[test]\nfn one() {}\n#[test]\nfn other() {}\n#[test]\n#[ignore]\nfn idle() {}";

    const TABLE: Table = Table {
        folder: "here",
        groups: &[("S1", "S2")],
        numbered: &['S'],
        safety: &["S1"],
        parts: &[&[shown("S1", "It holds.", &["a::one"]).control(&["a::other"])], &[NOT_THERE]],
    };

    const NOT_THERE: Scenario = not("S2", "It is.", "it is not");

    /// What is wrong with the parts, in a workspace with one file of tests.
    fn wrong(parts: &'static [&'static [Scenario]], check: fn(&Table, &Path) -> Vec<String>) -> Vec<String> {
        let workspace = tempfile::tempdir().unwrap();
        let folder = workspace.path().join("tests/tests/here");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.rs"), SAID).unwrap();
        check(&Table { parts, ..TABLE }, workspace.path())
    }

    #[test]
    fn a_table_that_is_whole_has_nothing_wrong() {
        for check in [
            |table: &Table, _: &Path| table.numbers(),
            |table: &Table, _: &Path| table.gaps(),
            Table::missing_tests_in,
            Table::unlisted_tests_in,
        ] {
            assert_eq!(wrong(TABLE.parts, check), Vec::<String>::new());
        }
    }

    #[test]
    fn a_number_that_is_missing_or_doubled_is_found() {
        let check = |table: &Table, _: &Path| table.numbers();
        assert_eq!(
            wrong(const { &[&[NOT_THERE]] }, check).len(),
            2,
            "one is missing, and was said to be at stake"
        );
        assert_eq!(wrong(const { &[TABLE.parts[0], &[NOT_THERE, NOT_THERE]] }, check).len(), 1);
    }

    #[test]
    fn a_line_without_sentence_test_or_control_is_found() {
        let check = |table: &Table, _: &Path| table.gaps();
        assert_eq!(
            wrong(const { &[&[shown("S1", "It holds.", &["a::one"])]] }, check),
            ["S1 has no control"]
        );
        let unsaid = wrong(const { &[&[not("S2", "It", "")]] }, check);
        assert_eq!(unsaid.len(), 2, "neither a sentence nor a reason");
    }

    #[test]
    fn a_named_test_that_is_not_there_or_not_run_or_not_numbered_is_found() {
        let named = |parts| wrong(parts, Table::missing_tests_in);
        assert_eq!(named(const { &[&[shown("S1", "", &["a::none"])]] }), ["S1: there is no test a::none"]);
        assert_eq!(
            named(const { &[&[shown("S1", "", &["none::one"])]] }),
            ["S1: there is no test none::one"]
        );
        let controlled = named(const { &[&[shown("S1", "", &["a::one"]).control(&["a::none"])]] });
        assert_eq!(controlled, ["S1: there is no test a::none"]);
        assert_eq!(named(const { &[&[shown("S1", "", &["a::idle"])]] }), ["S1: a::idle is ignored"]);
        let unnumbered = "S2: the doc comment of a::other does not begin with it";
        assert_eq!(named(const { &[&[shown("S2", "", &["a::other"])]] }), [unnumbered]);
    }

    #[test]
    fn a_number_in_a_doc_comment_that_is_not_in_the_table_is_found() {
        let unlisted = |parts| wrong(parts, Table::unlisted_tests_in);
        assert_eq!(unlisted(const { &[&[NOT_THERE]] }), ["S1 does not name a::one"]);
        assert_eq!(unlisted(const { &[&[shown("S1", "", &["a::other"])]] }), ["S1 does not name a::one"]);
    }

    #[test]
    fn a_folder_without_tests_is_found() {
        let table = Table { folder: "elsewhere", ..TABLE };
        assert_eq!(table.unlisted_tests().len(), 1);
    }

    #[test]
    fn numbers_are_as_wide_as_the_first() {
        assert_eq!(numbers(("B08", "B10")), ["B08", "B09", "B10"]);
        assert_eq!(numbers(("S9", "S10")), ["S9", "S10"]);
    }
}
