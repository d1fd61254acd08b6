//! Rules for the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module: the path of its file below `src`, without the extension.
type Module = String;

/// The folders of sources that must not have import cycles.
const FOLDERS: [&str; 4] =
    ["src", "crates/presence-check/src", "crates/presence-server/src", "crates/presence-sim/src"];

#[test]
fn modules_have_no_import_cycles() {
    for sources in FOLDERS {
        let imports = imports_in(&folder(sources));
        assert!(imports.len() > 3, "too few modules in {sources}");
        let mut left: BTreeSet<&Module> = imports.keys().collect();
        // A module that imports none of the remaining ones is in no cycle.
        while let Some(free) = left.iter().copied().find(|module| {
            imports[*module].iter().all(|imported| imported == *module || !left.contains(imported))
        }) {
            left.remove(free);
        }
        assert!(left.is_empty(), "these modules form cycles, or import such: {left:#?}");
    }
}

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Names are readable, and have one definition.
#[test]
fn error_codes_are_named_constants() {
    let constants = folder("src/wire/codes.rs");
    let codes = fs::read_to_string(&constants).expect("a readable file");
    let codes: Vec<u32> =
        codes.split("u32 = ").filter_map(|rest| rest.split(';').next()?.parse().ok()).collect();
    assert!(codes.len() > 30, "too few codes");
    assert!(codes.is_sorted_by(|a, b| a < b), "the codes are sorted and unique: {codes:?}");

    let mut files = Vec::new();
    FOLDERS.iter().for_each(|sources| list(&folder(sources), &mut files));
    list(&folder("examples"), &mut files);
    list(&folder("crates/presence-server/examples"), &mut files);
    let numbers = files.iter().filter(|file| **file != constants).flat_map(|file| {
        let text = without_tests(file);
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let words = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
        let numbers = words.filter_map(|word| word.parse().ok());
        let numbers = numbers.filter(|number| codes.contains(number));
        numbers.map(|number: u32| format!("{}: {number}", file.display())).collect::<Vec<_>>()
    });
    assert_eq!(numbers.collect::<Vec<_>>(), Vec::<String>::new());
    // Nor is there a number that has no name yet.
    let unnamed = files.iter().filter(|file| {
        let text = without_tests(file).replace([' ', '\n'], "");
        let makes = ["ErrorInfo::new(", "Self::new(", "error("].map(|new| text.split(new).skip(1));
        let mut arguments = makes.into_iter().flatten();
        arguments.any(|arguments| arguments.starts_with(|c: char| c.is_ascii_digit()))
    });
    assert_eq!(unnamed.collect::<Vec<_>>(), Vec::<&PathBuf>::new());
}

/// The modules below a folder and their imports. Imports of re-exports in `mod.rs` or `lib.rs` do
/// not count.
fn imports_in(root: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut files = Vec::new();
    list(root, &mut files);
    let roots = ["mod", "lib", "main"];
    let modules: BTreeSet<Module> = files
        .iter()
        .filter(|file| file.file_stem().is_some_and(|stem| roots.iter().all(|root| stem != *root)))
        .map(|file| module_of(root, file))
        .collect();
    let imports = files.iter().filter(|file| modules.contains(&module_of(root, file)));
    let imports = imports.map(|file| {
        let module = module_of(root, file);
        let text = without_tests(file);
        let parent = module.rsplit_once('/').map_or("", |(parent, _)| parent);
        let named = |path: &str| {
            let path = path.trim_matches(':').replace("::", "/");
            let above = |path: &str| path.rsplit_once('/').map(|(above, _)| above.to_owned());
            let mut found =
                [Some(path.clone()), above(&path), above(&path).and_then(|p| above(&p))]
                    .into_iter()
                    .flatten();
            found.find(|path| modules.contains(path))
        };
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        let grouped =
            [("super::{", parent), ("crate::{", "")].into_iter().flat_map(|(start, above)| {
                text.split(start).skip(1).flat_map(move |rest| {
                    // To the end of the group. Nested groups count by their first segment.
                    let group = rest.split("};").next().unwrap_or_default();
                    group
                        .split([',', '{', '}'])
                        .map(move |path| format!("{above}::{}", path.trim()))
                })
            });
        let grouped = grouped.filter_map(|path| named(&path));
        let imported = words.filter_map(|word| {
            let word = word.trim_end_matches(':');
            if let Some(path) = word.strip_prefix("super::") {
                named(&format!("{parent}::{path}"))
            } else {
                named(word.strip_prefix("crate::")?)
            }
        });
        let all = imported.chain(grouped).filter(|imported| *imported != module).collect();
        (module.clone(), all)
    });
    imports.collect()
}

/// The text of a file without its unit tests, whose imports do not count.
fn without_tests(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("a readable file");
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn module_of(root: &Path, file: &Path) -> Module {
    let path = file.strip_prefix(root).expect("below src").with_extension("");
    path.to_str().expect("a UTF-8 path").replace('\\', "/")
}
