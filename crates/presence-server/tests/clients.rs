//! The real clients, in JavaScript and Python, and a real browser, against the program `presence-server`.
//!
//! Each test runs one file of `tests/interop` or `tests/browser` under Node's test runner. If Node,
//! its packages (`npm ci` in those folders) or the browser are missing, a test reports that it was
//! skipped; with `INTEROP=required` in the environment, as in `.ci/run`, it fails.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

#[test]
fn ably_js_in_json() {
    node("interop", "presence.test.mjs", &[("FORMAT", "json")]);
}

#[test]
fn ably_js_in_messagepack() {
    node("interop", "presence.test.mjs", &[("FORMAT", "msgpack")]);
}

#[test]
fn three_sdks_in_json() {
    three_sdks("json");
}

#[test]
fn three_sdks_in_messagepack() {
    three_sdks("msgpack");
}

#[test]
fn spaces_and_chat_in_json() {
    node("interop", "products.test.mjs", &[("FORMAT", "json")]);
}

#[test]
fn spaces_and_chat_in_messagepack() {
    node("interop", "products.test.mjs", &[("FORMAT", "msgpack")]);
}

#[test]
fn acknowledged_events_survive_a_crash() {
    node("interop", "persist.test.mjs", &[("FORMAT", "msgpack")]);
}

#[test]
fn operation() {
    node("interop", "operation.test.mjs", &[("FORMAT", "json")]);
}

#[test]
fn hostile_peers_do_not_affect_others() {
    node("interop", "hostile.test.mjs", &[("FORMAT", "json")]);
}

#[test]
fn endless_requests_hold_no_slot() {
    node("interop", "limits.test.mjs", &[]);
}

#[test]
fn a_stopping_server_informs_all_clients() {
    node("interop", "drain.test.mjs", &[]);
}

#[test]
fn websockets_end_with_a_close_frame() {
    node("interop", "closing.test.mjs", &[]);
}

#[test]
fn apps_are_separate() {
    node("interop", "apps.test.mjs", &[("FORMAT", "msgpack")]);
}

#[test]
fn times_of_tokens_and_messages_of_errors() {
    node("interop", "tokens.test.mjs", &[("FORMAT", "json")]);
}

#[test]
fn errors_and_headers_over_http() {
    node("interop", "http.test.mjs", &[]);
}

#[test]
fn the_page_in_a_browser() {
    if !Path::new("/usr/bin/chromium").exists() && std::env::var_os("CHROMIUM").is_none() {
        return skip("chromium is not installed; CHROMIUM may name another path");
    }
    node("browser", "page.test.mjs", &[]);
}

fn three_sdks(format: &str) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/python");
    if !python.join(".venv/bin/python").exists() {
        return skip(
            "the Python SDK is missing: crates/presence-server/tests/interop/python/requirements.txt says how",
        );
    }
    node("interop", "sdks.test.mjs", &[("FORMAT", format)]);
}

/// Runs a file of `tests/FOLDER` under Node, with the server's binary in `SERVER_BIN`.
fn node(folder: &str, file: &str, environment: &[(&str, &str)]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    if !Command::new("node")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
    {
        return skip("node is not installed");
    }
    if !folder.join("node_modules").exists() {
        return skip(&format!("its packages are missing: npm ci --prefix {}", folder.display()));
    }
    let output = Command::new("node")
        // The limit turns a test that hangs into a failure; no test is near it.
        .args(["--test", "--test-timeout=300000", "--test-reporter=spec", file])
        .current_dir(&folder)
        .env("SERVER_BIN", env!("CARGO_BIN_EXE_presence-server"))
        .envs(environment.iter().copied())
        .output()
        .expect("node starts");
    let report = String::from_utf8_lossy(&output.stdout);
    println!("{report}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{file} failed");
    assert!(report.contains("ℹ pass ") && !report.contains("ℹ pass 0"), "{file} ran no test");
}

fn skip(why: &str) {
    assert!(std::env::var_os("INTEROP").is_none_or(|v| v != "required"), "{why}");
    // Past the capture of test output: a check that did not run must not look as if it had.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
