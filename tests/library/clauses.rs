//! Every clause of the client has a test, or an explanation in `tests/clauses/README.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The clause numbers in a text, such as `RTP2b1a`, in lower case.
fn clause_numbers(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| is_clause_number(word))
        .map(str::to_lowercase)
}

/// Two or three capitals and a digit.
fn is_clause_number(word: &str) -> bool {
    let letters = word.chars().take_while(char::is_ascii_uppercase).count();
    (2..=3).contains(&letters) && word.chars().nth(letters).is_some_and(|c| c.is_ascii_digit())
}

/// Calls `visit` with the text of each file below a folder that has this extension.
fn files(folder: &Path, extension: &str, visit: &mut impl FnMut(&str)) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, extension, visit);
        } else if path.extension().is_some_and(|e| e == extension) {
            visit(&fs::read_to_string(&path).expect("text"));
        }
    }
}

/// Collects the clauses of the tests in a source file.
fn clauses_of_tests(source: &str, tested: &mut BTreeSet<String>) {
    let (mut listed, mut in_list, mut is_test) = (Vec::new(), false, false);
    for line in source.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            in_list |= comment.trim_start().starts_with("Clauses:");
            if in_list {
                listed.extend(clause_numbers(comment));
            }
        } else if let Some(id) = line.strip_prefix("// UTS:") {
            listed.extend(clause_numbers(id));
        } else if line == "#[test]" {
            is_test = true;
        } else if let Some(name) = line.strip_prefix("fn ") {
            if is_test {
                let name = name.split('(').next().unwrap_or_default();
                tested.extend(name.split('_').map(str::to_owned));
                tested.append(&mut listed.drain(..).collect());
            }
            (in_list, is_test) = (false, false);
            listed.clear();
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            in_list = false;
            listed.clear();
        } else {
            in_list = false;
        }
    }
}

#[test]
fn every_clause_of_the_client_is_tested_or_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tested = BTreeSet::new();
    for folder in ["src", "tests"] {
        files(&root.join(folder), "rs", &mut |source| clauses_of_tests(source, &mut tested));
    }
    files(&root.join("tests/traces"), "json", &mut |text| {
        let trace: serde_json::Value = serde_json::from_str(text).expect("JSON");
        if trace.get("deviation").is_none() {
            let spec = trace["spec"].as_array().into_iter().flatten();
            tested.extend(spec.filter_map(|id| id.as_str().map(str::to_lowercase)));
        }
    });
    let read = |name: &str| fs::read_to_string(root.join("tests/clauses").join(name)).expect(name);
    let explained: BTreeSet<String> = read("README.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split('|').next())
        .flat_map(clause_numbers)
        .collect();
    let clauses: Vec<String> = read("client.txt").lines().map(str::to_lowercase).collect();
    assert!(clauses.len() > 400, "the list of clauses is complete");

    let missing: Vec<&String> = clauses
        .iter()
        .filter(|clause| !tested.contains(*clause) && !explained.contains(*clause))
        .collect();
    assert!(missing.is_empty(), "neither tested nor explained: {missing:?}");
    let both: Vec<&String> = explained.intersection(&tested).collect();
    assert!(both.is_empty(), "explained and tested: {both:?}");
    let unknown: Vec<&String> = explained.iter().filter(|id| !clauses.contains(id)).collect();
    assert!(unknown.is_empty(), "explained, but not in the list: {unknown:?}");
}

#[test]
fn clauses_are_found_in_names_lists_and_uts_ids_of_tests() {
    let mut tested = BTreeSet::new();
    let source = "
        /// Clauses: RTP1, RTP2b1a,
        /// CSV2.
        #[test]
        fn rtl5_something() {}

        /// RTN9: not in a list, not in a name.
        // UTS: realtime/unit/RTN7e/thing-0
        #[test]
        fn something() {}

        /// Clauses: RTN8
        fn rtn8_no_test() {}
    ";
    clauses_of_tests(source, &mut tested);
    for clause in ["rtp1", "rtp2b1a", "csv2", "rtl5", "rtn7e"] {
        assert!(tested.contains(clause), "{clause}");
    }
    assert!(!tested.contains("rtn9") && !tested.contains("rtn8"), "{tested:?}");
}
