//! API keys, as an operator configures them.

use super::{
    Authenticate, Credentials, Grant, TokenDetails, TokenRequest,
    app_keys::{self, AppKeys, Key},
    fields::{self, Fields},
    jwt, patterns,
};
use crate::private;
use presence_proto::{UnixMillis, wire::ErrorInfo};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// API keys, and the tokens made with them (RSA).
///
/// A key has a name of the form `APP.KEY`, a secret, and a capability. Keys of one app share its
/// channels. A token is a JWT signed with HS256 and the secret of the key that its header names
/// (`kid`); it never allows more than its key.
#[derive(Debug, Default)]
pub struct Keys {
    apps: BTreeMap<String, AppKeys>,
}

/// A key that cannot be used. The message names the key and does not contain its secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

impl Keys {
    /// No keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key, given as `APP.KEY:SECRET`, that may do everything.
    ///
    /// # Errors
    ///
    /// The key has another form, or there is a key of this name.
    pub fn add(&mut self, key: &str) -> Result<(), KeyError> {
        // Without a colon it may be a secret, so the message does not contain it.
        let (name, secret) = key
            .split_once(':')
            .ok_or_else(|| KeyError("the key is not of the form APP.KEY:SECRET".to_owned()))?;
        self.insert(name, Key::new(secret.to_owned(), None)).map_err(KeyError)
    }

    /// Adds the keys of a JSON file: `[{"name": "app.key", "secret": "…", "capability": {"room:*":
    /// ["presence", "subscribe"]}}, …]`. Logs a warning if other users of the machine can read it.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is malformed, or as for [`add`](Self::add).
    pub fn add_file(&mut self, path: &Path) -> Result<(), KeyError> {
        let in_file = |what: String| KeyError(format!("{}: {what}", path.display()));
        let text = private::read(path).map_err(|error| in_file(error.to_string()))?;
        for (name, key) in entries(&text).map_err(in_file)? {
            self.insert(&name, key).map_err(in_file)?;
        }
        Ok(())
    }

    /// The apps that there are keys of, in the order of their names.
    pub fn apps(&self) -> impl Iterator<Item = &str> {
        self.apps.keys().map(String::as_str)
    }

    fn insert(&mut self, name: &str, key: Key) -> Result<(), String> {
        let app = app_keys::app_of(name).ok_or_else(|| {
            format!(
                "the key name {name} is not of the form APP.KEY: the name of an app, a dot, and a \
                 name in it, of letters, digits, _ and -"
            )
        })?;
        if !key.has_secret() {
            return Err(format!("the key {name} has no secret"));
        }
        let keys = self.apps.entry(app.to_owned()).or_insert_with(|| AppKeys::new(app));
        let is_new = keys.add(name.to_owned(), key);
        if is_new { Ok(()) } else { Err(format!("there are two keys of the name {name}")) }
    }

    /// The keys of the app of a key, whether there is such a key or not.
    fn of_key(&self, name: &str) -> Option<&AppKeys> {
        self.apps.get(app_keys::app_of(name)?)
    }

    fn verify(&self, credentials: &Credentials, now: UnixMillis) -> Result<Grant, ErrorInfo> {
        match credentials {
            Credentials::Key(key) => {
                let app = key.split_once(':').and_then(|(name, _)| self.of_key(name));
                app.ok_or_else(app_keys::no_such_key)?.basic(key)
            }
            Credentials::Token(token) => {
                let name = jwt::key_name(token).map_err(|error| app_keys::no_token(&error))?;
                let app = self.of_key(&name);
                app.ok_or_else(|| app_keys::no_token(&"no such key"))?.token(&name, token, now)
            }
        }
    }
}

impl Authenticate for Keys {
    async fn authenticate(
        &self,
        credentials: &Credentials,
        now: UnixMillis,
    ) -> Result<Grant, ErrorInfo> {
        self.verify(credentials, now)
    }

    async fn issue_token(
        &self,
        request: &TokenRequest,
        now: UnixMillis,
    ) -> Result<TokenDetails, ErrorInfo> {
        let app = self.of_key(request.key_name()).ok_or_else(app_keys::no_such_key)?;
        app.issue(request, now)
    }
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

    fn read(given: &[&str], file: Option<&Path>) -> Result<Keys, KeyError> {
        let mut keys = Keys::new();
        given.iter().try_for_each(|key| keys.add(key))?;
        file.map_or(Ok(()), |file| keys.add_file(file))?;
        Ok(keys)
    }

    fn refused(given: &[&str], file: Option<&str>) -> String {
        let path = file.map(|text| {
            let name = format!("presence-keys-{}-{}", std::process::id(), text.len());
            let path = std::env::temp_dir().join(name);
            fs::write(&path, text).unwrap();
            path
        });
        let read = read(given, path.as_deref());
        if let Some(path) = path {
            fs::remove_file(path).unwrap();
        }
        read.unwrap_err().to_string()
    }

    #[test]
    fn keys_belong_to_the_app_before_the_dot() {
        let keys = read(&["a.k:1", "b.k:2", "a.l:3:4"], None).unwrap();
        assert_eq!(keys.apps().collect::<Vec<_>>(), ["a", "b"]);
        let app_of = |key: &str| {
            let now = UnixMillis::from_millis(0);
            keys.verify(&Credentials::Key(key.to_owned()), now).map(|grant| grant.app)
        };
        assert_eq!(app_of("a.k:1").as_deref(), Ok("a"));
        assert_eq!(app_of("a.l:3:4").as_deref(), Ok("a"));
        assert_eq!(app_of("b.k:1").unwrap_err().code, 40101);
    }

    #[test]
    fn a_key_of_another_form_is_refused_with_its_name_and_the_form() {
        for name in ["nodot", ".k", "a.", ".", "", "a.k.l", "a b.k", "a/b.k", "ä.k", "a.k\""] {
            let why = refused(&[&format!("{name}:hidden")], None);
            assert!(why.contains(&format!("name {name} ")) && why.contains("APP.KEY"), "{why}");
            assert!(!why.contains("hidden"), "{why}");
        }
        let why = refused(&["a.k:1", "a.hidden"], None);
        assert_eq!(why, "the key is not of the form APP.KEY:SECRET");
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
