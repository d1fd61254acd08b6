//! Reading JSON.

use super::{Action, DecodeError, DecodeLimits, ProtocolMessage, Value, plain, read};
use alloc::string::{String, ToString as _};
use serde_json::{Deserializer, error::Category};

/// Reads one frame into its place.
pub(super) fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    into: &mut ProtocolMessage,
) -> Result<(), DecodeError> {
    let cx = read::Context::new(bytes.len(), limits);
    // Once for all, so that no string is looked at again.
    let text = core::str::from_utf8(bytes)
        .map_err(|error| cx.error(error.valid_up_to(), String::from("invalid UTF-8")))?;
    if plain::read(text, |reader| read::frame(reader, &cx, into)).is_ok() {
        return Ok(());
    }
    let cx = read::Context::new(bytes.len(), limits);
    *into = ProtocolMessage::new(Action::Heartbeat);
    read_all(text, &cx, |reader| read::frame(reader, &cx, into)).or_else(|error| {
        let replaced = replace_lone_surrogates(text).ok_or(error)?;
        let cx = read::Context::new(bytes.len(), limits);
        *into = ProtocolMessage::new(Action::Heartbeat);
        read_all(&replaced, &cx, |reader| read::frame(reader, &cx, into))
    })
}

/// Reads one value.
pub(super) fn parse(text: &str, limits: &DecodeLimits) -> Result<Value, DecodeError> {
    let cx = read::Context::new(text.len(), limits);
    plain::read(text, |reader| read::value(reader, &cx))
        .or_else(|_| parse_with_serde_json(text, limits))
}

/// The same, and whatever comes.
pub(super) fn parse_with_serde_json(
    text: &str,
    limits: &DecodeLimits,
) -> Result<Value, DecodeError> {
    let cx = read::Context::new(text.len(), limits);
    read_all(text, &cx, |reader| read::value(reader, &cx)).or_else(|error| {
        let replaced = replace_lone_surrogates(text).ok_or(error)?;
        let cx = read::Context::new(text.len(), limits);
        read_all(&replaced, &cx, |reader| read::value(reader, &cx))
    })
}

type Reader<'a> = Deserializer<serde_json::de::StrRead<'a>>;

/// Reads all of a text.
fn read_all<'a, T>(
    text: &'a str,
    cx: &read::Context,
    read: impl FnOnce(&mut Reader<'a>) -> serde_json::Result<T>,
) -> Result<T, DecodeError> {
    let mut reader = Deserializer::from_str(text);
    read(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| decode_error(&error, text, cx))
}

/// The text with U+FFFD in place of escaped halves of surrogate pairs, if there are such.
///
/// JavaScript can cut a character in two, and writes the half as an escape that stands for no
/// character. In MessagePack the same string has U+FFFD there, so that is what it is here too.
/// What is replaced and its replacement are equally long: positions stay.
fn replace_lone_surrogates(text: &str) -> Option<String> {
    const ESCAPE: usize = r"\uXXXX".len();
    let unit = |at: usize| {
        let digits = text.get(at..)?.strip_prefix(r"\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut replaced = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(skip) = text.get(at..).and_then(|rest| rest.find('\\')) {
        at += skip;
        at += match (unit(at), unit(at + ESCAPE)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => 2 * ESCAPE,
            (Some(0xd800..0xe000), _) => {
                replaced.push_str(text.get(copied..at)?);
                replaced.push_str(r"\ufffd");
                copied = at + ESCAPE;
                ESCAPE
            }
            // A backslash and what it escapes, which may be a backslash.
            _ => 2,
        };
    }
    replaced.push_str(text.get(copied..)?);
    (copied > 0).then_some(replaced)
}

fn decode_error(error: &serde_json::Error, text: &str, cx: &read::Context) -> DecodeError {
    // Lines and columns count from one, columns in bytes.
    let line: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let offset = line.saturating_add(error.column()).min(text.len());
    cx.error(offset, reason(error))
}

/// What is wrong. Peers see this: in the words of the protocol, not in those of the parser.
fn reason(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Eof => return read::TRUNCATED.into(),
        Category::Syntax | Category::Io => return "not JSON".into(),
        Category::Data => {}
    }
    let mut reason = error.to_string();
    if let Some(end) = reason.rfind(" at line ") {
        reason.truncate(end);
    }
    // What the reader says itself is left as it is. Of what serde says of a wrong type, what was
    // expected is in our words.
    match reason.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid type: ") => {
            alloc::format!("not {expected}")
        }
        _ => reason,
    }
}
