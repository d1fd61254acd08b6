//! The keys that the operator gives, on the command line and in a file.

use crate::{
    fields::{self, Fields},
    keys::{self, Key, Keys},
    patterns, private,
};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// The keys, by the names of their apps.
///
/// # Errors
///
/// A key has not the form that it must have, or comes twice; there is none, or the file cannot be
/// read. The error names the key, and does not show its secret.
pub(crate) fn read(
    given: &[String],
    file: Option<&Path>,
) -> Result<BTreeMap<String, Keys>, String> {
    let mut apps = BTreeMap::<String, Keys>::new();
    let mut add = |name: &str, key: Key| {
        let app = keys::app_of(name).ok_or_else(|| {
            format!(
                "the key name {name} is not of the form APP.KEY: the name of an app, a dot, and a \
                 name in it, of letters, digits, _ and -"
            )
        })?;
        if !key.has_secret() {
            return Err(format!("the key {name} has no secret"));
        }
        let keys = apps.entry(app.to_owned()).or_insert_with(|| Keys::of_app(app));
        let is_new = keys.add(name.to_owned(), key);
        if is_new { Ok(()) } else { Err(format!("there are two keys of the name {name}")) }
    };
    for (number, key) in (1..).zip(given) {
        // Without a colon it may be a secret, so it is not shown.
        let (name, secret) = key
            .split_once(':')
            .ok_or_else(|| format!("--key number {number} is not of the form APP.KEY:SECRET"))?;
        add(name, Key::new(secret.to_owned(), None))?;
    }
    if let Some(file) = file {
        let of_file = |what: String| format!("{}: {what}", file.display());
        let text = private::read(file).map_err(|error| of_file(error.to_string()))?;
        for (name, key) in entries(&text).map_err(of_file)? {
            add(&name, key).map_err(of_file)?;
        }
    }
    if apps.is_empty() {
        return Err("there is no key, so nobody could connect".to_owned());
    }
    Ok(apps)
}

/// The keys of a file, with their names.
fn entries(text: &[u8]) -> Result<Vec<(String, Key)>, String> {
    let Value::Array(entries) = fields::json(text)? else {
        return Err("not a list of keys".to_owned());
    };
    let numbered = (1..).zip(entries);
    numbered
        .map(|(n, entry)| key(entry).map_err(|what| format!("key number {n}: {what}")))
        .collect()
}

/// A key as it stands in a file.
fn key(entry: Value) -> Result<(String, Key), String> {
    let mut entry = Fields::of(entry)?;
    let name = entry.text("name")?.ok_or("it has no name")?;
    let secret = entry.text("secret")?.ok_or("it has no secret")?;
    let capability = entry.take("capability").map(patterns::of).transpose()?;
    Ok((name, Key::new(secret, capability)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn refused(given: &[&str], file: Option<&str>) -> String {
        let given: Vec<String> = given.iter().map(|key| (*key).to_owned()).collect();
        let path = file.map(|text| {
            let name = format!("presence-keys-{}-{}", std::process::id(), text.len());
            let path = std::env::temp_dir().join(name);
            fs::write(&path, text).unwrap();
            path
        });
        let read = read(&given, path.as_deref());
        if let Some(path) = path {
            fs::remove_file(path).unwrap();
        }
        read.err().expect("it is refused")
    }

    #[test]
    fn keys_belong_to_the_app_before_the_dot() {
        let given = ["a.k:1", "b.k:2", "a.l:3:4"].map(str::to_owned);
        let apps = read(&given, None).unwrap();
        assert_eq!(apps.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert!(apps["a"].basic("a.k:1").is_ok());
        assert!(apps["a"].basic("a.l:3:4").is_ok());
        assert_eq!(apps["b"].basic("a.k:1").unwrap_err().code, 40101);
    }

    #[test]
    fn a_key_of_another_form_is_refused_with_its_name_and_the_form() {
        for name in ["nodot", ".k", "a.", ".", "", "a.k.l", "a b.k", "a/b.k", "ä.k", "a.k\""] {
            let why = refused(&[&format!("{name}:hidden")], None);
            assert!(why.contains(&format!("name {name} ")) && why.contains("APP.KEY"), "{why}");
            assert!(!why.contains("hidden"), "{why}");
        }
        assert_eq!(
            refused(&["a.k:1", "a.hidden"], None),
            "--key number 2 is not of the form APP.KEY:SECRET"
        );
        assert_eq!(refused(&["a.k:"], None), "the key a.k has no secret");
    }

    #[test]
    fn a_key_name_is_there_once() {
        assert_eq!(refused(&["a.k:1", "a.k:2"], None), "there are two keys of the name a.k");
        let file = r#"[{"name": "a.k", "secret": "2"}]"#;
        assert!(refused(&["a.k:1"], Some(file)).ends_with("there are two keys of the name a.k"));
    }

    #[test]
    fn what_is_wrong_in_a_file_of_keys_is_said_in_our_words() {
        for (text, why) in [
            ("", "not JSON, at line 1, column 0"),
            ("[\n{", "not JSON, at line 2, column 1"),
            ("{}", "not a list of keys"),
            ("[]", "there is no key, so nobody could connect"),
            ("[1]", "key number 1: not an object"),
            (r#"[{"name": "a.k"}]"#, "key number 1: it has no secret"),
            (r#"[{"name": "a.k", "secret": ""}]"#, "the key a.k has no secret"),
            (
                r#"[{"name": "a.k", "secret": "1"}, {"secret": "2"}]"#,
                "key number 2: it has no name",
            ),
            (r#"[{"name": "a.k", "secret": 1}]"#, "key number 1: secret is not text"),
            (
                r#"[{"name": "a.k", "secret": "1", "capability": {"room": "*"}}]"#,
                r#"key number 1: The capability is not of the form {"CHANNEL": ["OPERATION"]}"#,
            ),
        ] {
            let told = refused(&[], Some(text));
            assert!(told.ends_with(why), "{text}: {told}");
        }
    }
}
