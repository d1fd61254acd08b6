//! Every published case is either ported or listed in `README.md` with the reason, never both.

use std::collections::BTreeSet;

/// The ids of all published cases, one per line.
const IDS: &str = include_str!("ids.txt");
const README: &str = include_str!("README.md");
const MARK: &str = "// UTS: ";

/// The sources of these tests, by file name.
fn sources() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/uts");
    let mut sources: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    sources.sort();
    sources
}

/// Sorted, without duplicates.
fn set(ids: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let mut set = BTreeSet::new();
    for id in ids {
        assert!(set.insert(id.clone()), "{id} is there twice");
    }
    set
}

fn published() -> BTreeSet<String> {
    set(IDS.lines().map(String::from))
}

fn ported() -> BTreeSet<String> {
    let sources = sources();
    let lines = sources.iter().flat_map(|(_, text)| text.lines());
    set(lines.filter_map(|line| line.strip_prefix(MARK)).map(String::from))
}

/// Ids that have a row in the tables of `README.md`: the id and a reason.
fn listed() -> BTreeSet<String> {
    set(README.lines().filter_map(|line| {
        let (id, reason) = line.strip_prefix("| `")?.split_once("` | ")?;
        assert!(reason.trim_end_matches('|').trim().len() > 10, "{id} is listed without a reason");
        Some(id.into())
    }))
}

#[test]
fn every_published_case_is_ported_or_listed() {
    let (published, ported, listed) = (published(), ported(), listed());
    assert!(published.len() > 500, "{}", published.len());
    let both: Vec<_> = ported.intersection(&listed).collect();
    assert!(both.is_empty(), "ported and listed: {both:#?}");
    let done: BTreeSet<_> = ported.union(&listed).cloned().collect();
    let missing: Vec<_> = published.difference(&done).collect();
    assert!(missing.is_empty(), "neither ported nor listed: {missing:#?}");
    let unknown: Vec<_> = done.difference(&published).collect();
    assert!(unknown.is_empty(), "not published: {unknown:#?}");
}

#[test]
fn each_id_stands_directly_above_a_test_that_names_a_clause() {
    for (file, text) in sources() {
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if !line.starts_with(MARK) || lines.peek().is_some_and(|next| next.starts_with(MARK)) {
                continue;
            }
            assert_eq!(lines.next(), Some("#[test]"), "{file}: {line}");
            let name = lines.next().and_then(|next| next.strip_prefix("fn ")).unwrap_or_default();
            let clause = name.split('_').next().unwrap_or_default();
            let letters = clause.chars().take_while(char::is_ascii_lowercase).count();
            let digit = clause.chars().nth(letters).is_some_and(|c| c.is_ascii_digit());
            assert!((2..=3).contains(&letters) && digit, "{file}: {name}");
        }
    }
}

#[test]
fn the_numbers_in_the_readme_are_correct() {
    let total = format!("{} cases, {} ported", published().len(), ported().len());
    assert!(README.contains(&total), "README.md should say: {total}");
}
