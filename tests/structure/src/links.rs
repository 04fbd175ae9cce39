//! Links from one document of the project to another.

use crate::words::{documents, prose_of_document};
use std::fs;
use std::path::Path;

/// The links in the documents below `root` that lead to no file, or to no heading of it.
///
/// # Errors
/// If a file cannot be read.
pub fn broken_links(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut broken = Vec::new();
    for document in documents(root)? {
        let text = prose_of_document(&fs::read_to_string(&document)?);
        let wrong = targets(&text).filter(|target| !leads_somewhere(&document, target));
        broken.extend(wrong.map(|target| format!("{}: {target}", document.display())));
    }
    Ok(broken)
}

/// What stands in the parentheses of each link within the project.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    links.map(|(target, _)| target).filter(|target| !target.contains("://"))
}

fn leads_somewhere(from: &Path, target: &str) -> bool {
    let (path, heading) =
        target.split_once('#').map_or((target, None), |(path, heading)| (path, Some(heading)));
    let folder = from.parent().unwrap_or(from);
    let file = if path.is_empty() { from.to_owned() } else { folder.join(path) };
    match heading {
        None => file.exists(),
        Some(heading) => fs::read_to_string(file).is_ok_and(|text| has_heading(&text, heading)),
    }
}

fn has_heading(text: &str, wanted: &str) -> bool {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| anchor(line.trim_start_matches('#')) == wanted)
}

/// As the pages of repositories name them.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_a_file_and_to_its_heading() {
        let folder = tempfile::tempdir().unwrap();
        let (page, other) = (folder.path().join("page.md"), folder.path().join("other.md"));
        fs::write(&other, "# Who holds `it`?\n").unwrap();
        fs::write(&page, "# Here\n[a](other.md) [b](other.md#who-holds-it) [c](#here) [d](https://docs.rs)")
            .unwrap();
        assert_eq!(broken_links(folder.path()).unwrap(), Vec::<String>::new());
        fs::write(&page, "[a](none.md) [b](other.md#nowhere) [c](#there)\n```text\n[d](code.md)\n```")
            .unwrap();
        assert_eq!(broken_links(folder.path()).unwrap().len(), 3);
    }
}
