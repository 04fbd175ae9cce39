//! Finding tests in source files.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// A test as it stands in its file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Found {
    /// The numbers at the beginning of its doc comment.
    pub(super) numbers: BTreeSet<String>,
    pub(super) ignored: bool,
}

/// The tests of a workspace, by file, read once.
pub(super) struct Files {
    workspace: PathBuf,
    folder: &'static str,
    read: HashMap<String, HashMap<String, Found>>,
}

impl Files {
    /// Names without a slash are those of files in `folder`, below `tests/tests`.
    pub(super) fn new(workspace: &Path, folder: &'static str) -> Self {
        Self { workspace: workspace.to_owned(), folder, read: HashMap::new() }
    }

    pub(super) fn find(&mut self, test: &str) -> Option<&Found> {
        let (part, function) = test.rsplit_once("::")?;
        self.of(part).get(function)
    }

    pub(super) fn of(&mut self, part: &str) -> &HashMap<String, Found> {
        let (path, cases) = (self.path(part), CASES.contains(&part));
        self.read.entry(part.to_owned()).or_insert_with(|| {
            let text = fs::read_to_string(path).unwrap_or_default();
            tests(&text, cases)
        })
    }

    /// Whether the file of this name's first part is one of the folder's.
    pub(super) fn is_in_folder(&self, part: &str) -> bool {
        self.path(part).starts_with(self.own())
    }

    /// The parts of names that the folder's files are.
    pub(super) fn parts(&self) -> Vec<String> {
        let entries = fs::read_dir(self.own()).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into_owned())).collect()
    }

    /// The folder's file of that name; otherwise the target of that name.
    fn path(&self, part: &str) -> PathBuf {
        let in_folder = self.own().join(format!("{part}.rs"));
        let path = match part.split_once('/') {
            None if part == "conformance" => "dlock-core/src/testing/conformance.rs".to_owned(),
            None if part == "flaws" => "dlock-core/tests/conformance.rs".to_owned(),
            None if in_folder.exists() => return in_folder,
            Some(("core", path)) => format!("dlock-core/src/{path}.rs"),
            Some(("core-tests", path)) => format!("dlock-core/tests/{path}.rs"),
            _ => format!("tests/tests/{part}.rs"),
        };
        self.workspace.join(path)
    }

    fn own(&self) -> PathBuf {
        self.workspace.join("tests/tests").join(self.folder)
    }
}

/// The files whose tests are lists of cases that a macro makes tests of.
const CASES: &[&str] = &["conformance", "flaws", "zookeeper_interop/pairs"];

/// The tests of a text: functions with an attribute that makes them one, and the names in lists of `cases`.
fn tests(text: &str, cases: bool) -> HashMap<String, Found> {
    let (mut all, mut found, mut is_test) = (HashMap::new(), Found::default(), false);
    for line in text.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            let numbers = doc.split([' ', ',', ':', '.']).filter(|word| !word.is_empty());
            found.numbers.extend(numbers.take_while(|word| is_number(word)).map(str::to_owned));
        } else if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            found.ignored |= line.starts_with("#[ignore");
        } else {
            let name = function(line).filter(|_| is_test).or_else(|| case(line).filter(|_| cases));
            all.extend(name.map(|name| (name.to_owned(), std::mem::take(&mut found))));
            (found, is_test) = (Found::default(), false);
        }
    }
    all
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix(|letter: char| letter.is_ascii_uppercase());
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    Some(rest.split_once('(')?.0)
}

/// A line of a list of cases: the bare name, or the name before what it is made of.
fn case(line: &str) -> Option<&str> {
    let name = line.split_once(": ").map_or(line, |(name, _)| name);
    let is_name = |name: &str| name.contains('_') || line.contains(" by ");
    let is_word = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
    (is_word && is_name(name)).then_some(name)
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn tests_are_found_by_their_attributes() {
        let text = "/// B01, S2: words, B03.\n#[tokio::test(flavor = \"x\")]\n#[ignore = \"y\"]\nasync fn one() {\n\
            fn no_test() {\n/// I4: B05.\n#[test]\n    fn other(case: u8) {\n    a_case_of_a_suite\n    name: Flaw by a_case;\n}";
        let found = tests(text, true);
        let names: BTreeSet<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(names, BTreeSet::from(["a_case_of_a_suite", "name", "one", "other"]));
        assert_eq!(found["one"], Found { numbers: ["B01", "S2"].map(str::to_owned).into(), ignored: true });
        assert!(found["other"].numbers.contains("I4") && !found["other"].ignored);
        assert_eq!(tests(text, false).len(), 2, "cases are in lists of cases");
    }
}
