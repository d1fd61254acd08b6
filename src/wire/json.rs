//! Decoding of JSON.

use super::{Action, DecodeError, DecodeLimits, ProtocolMessage, Value, plain, read};
use alloc::string::{String, ToString as _};
use serde_json::{Deserializer, error::Category};

/// Decodes one frame into `into`.
pub(super) fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    into: &mut ProtocolMessage,
) -> Result<(), DecodeError> {
    let cx = read::Context::new(bytes.len(), limits);
    // Validated once here, instead of for each string.
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

/// Parses one value.
pub(super) fn parse(text: &str, limits: &DecodeLimits) -> Result<Value, DecodeError> {
    let cx = read::Context::new(text.len(), limits);
    plain::read(text, |reader| read::value(reader, &cx))
        .or_else(|_| parse_with_serde_json(text, limits))
}

/// Like [`parse`], without the reader for plain JSON.
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

/// Reads a whole text.
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

/// The text with U+FFFD for each escaped lone surrogate; `None` if there is none.
///
/// JavaScript can split a surrogate pair, and escapes the half. In MessagePack the same string has
/// U+FFFD, so it is used here too. Both escapes have the same length: positions do not change.
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
            // A backslash and the escaped character.
            _ => 2,
        };
    }
    replaced.push_str(text.get(copied..)?);
    (copied > 0).then_some(replaced)
}

fn decode_error(error: &serde_json::Error, text: &str, cx: &read::Context) -> DecodeError {
    // Lines and columns start at 1. Columns are in bytes.
    let line: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let offset = line.saturating_add(error.column()).min(text.len());
    cx.error(offset, reason(error))
}

/// The reason of an error, for peers: in terms of the protocol, not of the parser.
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
    // A wrong type is reported by serde: only the expected type, from `Visitor::expecting`, is used.
    match reason.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid type: ") => {
            alloc::format!("not {expected}")
        }
        _ => reason,
    }
}
