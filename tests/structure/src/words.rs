//! Words of translated English in comments and documents, which make a reader stop.

use anyhow::Context as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What was counted in some files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WordCount {
    /// All words.
    pub words: usize,
    /// The marked ones, each as `file: words`.
    pub marked: Vec<String>,
}

/// A thousand words may have half of one.
const WORDS_FOR_EACH: usize = 2_000;

/// Phrases that a native speaker does not write, or not so often.
const MARKED: [&[&str]; 17] = [
    &["nobody"],
    &["somebody"],
    &["whoever"],
    &["another", "one"],
    &["any", "more"],
    &["so", "many"],
    &["anew"],
    &["save", "for"],
    &["save", "that"],
    &["for", "who"],
    &["of", "who"],
    &["by", "who"],
    &["and", "who"],
    &["or", "who"],
    &["as", "who"],
    &["than", "who"],
    &["to", "who"],
];

/// The parts that are counted by themselves: a file belongs to the first that its path begins with.
const PARTS: [&str; 11] = [
    "dlock-core/src/backend/redis/scripts/",
    "dlock-core/src/backend/redis/",
    "dlock-core/src/backend/zookeeper/",
    "dlock-core/",
    "dlock-tower/",
    "dlock-macros/",
    "examples/",
    "benches/",
    "tests/tests/",
    "tests/",
    "",
];

/// What the comments of the sources and the documents below `root` are blamed for.
///
/// # Errors
/// If a file cannot be read.
pub fn complaints_about_words(root: &Path) -> anyhow::Result<Vec<String>> {
    let counts = count_by_part(root)?;
    Ok(counts.iter().filter_map(|(part, count)| complaint(part, count)).collect())
}

/// The words of each part.
///
/// # Errors
/// If a file cannot be read.
pub fn count_by_part(root: &Path) -> anyhow::Result<BTreeMap<&'static str, WordCount>> {
    let mut counts = BTreeMap::<_, WordCount>::new();
    for file in files(root)? {
        let name = file.strip_prefix(root)?.to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?;
        let prose = if name.ends_with(".md") { prose_of_document(&text) } else { comments(&text) };
        let count = counts.entry(part_of(&name)).or_default();
        let (words, marked) = marked_words(&prose);
        count.words += words;
        count.marked.extend(marked.into_iter().map(|marked| format!("{name}: {marked}")));
    }
    Ok(counts)
}

fn part_of(name: &str) -> &'static str {
    PARTS.into_iter().find(|part| name.starts_with(part)).unwrap_or_default()
}

fn complaint(part: &str, count: &WordCount) -> Option<String> {
    let most = count.words / WORDS_FOR_EACH;
    let marked = count.marked.len();
    let place = if part.is_empty() { "the documents" } else { part };
    (marked > most).then(|| {
        format!(
            "{place}: {marked} words of translated English, where {most} may be:\n  {}",
            count.marked.join("\n  ")
        )
    })
}

/// The sources and the documents that are the project's own.
fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).with_context(|| format!("cannot list {}", root.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" || name == "node_modules" {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if name.ends_with(".rs") || name.ends_with(".md") || name.ends_with(".lua") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The documents among them.
pub(crate) fn documents(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = files(root)?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "md"));
    Ok(files)
}

/// What stands outside of blocks of code.
pub(crate) fn prose_of_document(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The comments of a source, without the code in their examples.
fn comments(text: &str) -> String {
    prose_of_document(&text.lines().filter_map(comment).collect::<Vec<_>>().join("\n"))
}

fn comment(line: &str) -> Option<&str> {
    let line = line.trim_start();
    ["//!", "///", "// ", "--"].into_iter().find_map(|mark| line.strip_prefix(mark))
}

/// How many words there are, and the marked ones.
fn marked_words(prose: &str) -> (usize, Vec<String>) {
    let lower = prose.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty()).collect();
    let at = |place: usize| {
        MARKED.iter().find(|phrase| words.get(place..).is_some_and(|rest| rest.starts_with(phrase)))
    };
    let marked = (0..words.len()).filter(|place| at(*place).is_some());
    let around = |place: usize| {
        let (first, last) = (place.saturating_sub(4), words.len().min(place + 6));
        words.get(first..last).unwrap_or_default().join(" ")
    };
    (words.len(), marked.map(around).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_words_are_found_in_comments_and_documents_and_not_in_code() {
        let source = "//! Nobody waits.\nlet nobody = 1; // for who asks\n/// ```\n/// let somebody = 2;\n/// ```\n/// Any\n/// more.";
        let (words, marked) = marked_words(&comments(source));
        assert_eq!((words, marked.len()), (4, 2), "{marked:?}");
        let document = "Whoever holds it.\n\n```rust\nlet whoever = 1;\n```\n\nSo many.";
        assert_eq!(marked_words(&prose_of_document(document)).1.len(), 2);
        assert!(marked_words("the holder asks whom it knows").1.is_empty());
    }

    #[test]
    fn half_a_word_in_a_thousand_may_stay() {
        let count =
            |marked: usize| WordCount { words: 2_000, marked: vec!["file: nobody".to_owned(); marked] };
        assert_eq!(complaint("examples/", &count(1)), None);
        assert!(complaint("examples/", &count(2)).is_some_and(|text| text.contains("examples/: 2 words")));
    }
}
