//! Writing of JSON text.

use super::Value;
use alloc::{string::String, vec::Vec};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use core::fmt::{self, Write as _};

/// The JSON text of a value.
pub(super) fn to_string(value: &Value) -> String {
    let mut out = Vec::new();
    write_value(&mut out, value);
    // Only UTF-8 is written, so the fallback is never used.
    String::from_utf8(out)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The length of the JSON text of a value, in bytes.
pub(super) fn len(value: &Value) -> usize {
    let mut count = ByteCounter(0);
    write_value(&mut count, value);
    count.0
}

/// A destination of JSON text.
pub(super) trait Sink {
    fn write(&mut self, bytes: &[u8]);
    /// Writes bytes in quotes, without escaping.
    fn write_quoted(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn write_quoted(&mut self, bytes: &[u8]) {
        self.push(b'"');
        self.extend_from_slice(bytes);
        self.push(b'"');
    }
}

struct ByteCounter(usize);

impl Sink for ByteCounter {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }

    fn write_quoted(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len()).saturating_add(2);
    }
}

pub(super) fn write_value<O: Sink>(out: &mut O, value: &Value) {
    match value {
        Value::Null => out.write(b"null"),
        Value::Bool(true) => out.write(b"true"),
        Value::Bool(false) => out.write(b"false"),
        Value::Int(number) => write_int(out, *number),
        Value::UInt(number) => write_uint(out, *number),
        Value::Float(number) => write_f64(out, *number),
        Value::String(text) => write_str(out, text),
        Value::Binary(bytes) => write_base64(out, bytes),
        Value::Array(items) => {
            out.write(b"[");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.write(b",");
                }
                write_value(out, item);
            }
            out.write(b"]");
        }
        Value::Object(map) => {
            out.write(b"{");
            for (index, (name, value)) in map.iter().enumerate() {
                if index > 0 {
                    out.write(b",");
                }
                write_str(out, name);
                out.write(b":");
                write_value(out, value);
            }
            out.write(b"}");
        }
    }
}

/// A JSON string, escaped like `JSON.stringify`.
#[inline(always)]
pub(super) fn write_str<O: Sink>(out: &mut O, text: &str) {
    if is_plain(text.as_bytes()) {
        out.write_quoted(text.as_bytes());
    } else {
        write_escaped(out, text.as_bytes());
    }
}

/// The id `connectionId:serial:index` as a JSON string.
#[inline(always)]
pub(super) fn write_id(out: &mut Vec<u8>, connection_id: &str, serial: i64, index: u32) {
    if is_plain(connection_id.as_bytes()) {
        out.push(b'"');
        out.extend_from_slice(connection_id.as_bytes());
        out.push(b':');
        write_int(out, serial);
        out.push(b':');
        write_int(out, index.into());
        out.push(b'"');
    } else {
        write_escaped(out, alloc::format!("{connection_id}:{serial}:{index}").as_bytes());
    }
}

/// Whether no byte must be escaped. Nearly all text is plain, and this check dominates the cost of
/// writing it. So it works on chunks, without a branch for each byte.
#[inline(always)]
fn is_plain(text: &[u8]) -> bool {
    // The last chunk may overlap the others, so that there is no remainder.
    if let (Some(first), Some(last)) = (text.first_chunk::<16>(), text.last_chunk::<16>()) {
        let (inner, _) = text.as_chunks::<16>();
        all_plain(first) & all_plain(last)
            && (text.len() <= 32 || inner.iter().all(|chunk| all_plain(chunk)))
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        all_plain(first) & all_plain(last)
    } else {
        all_plain(text)
    }
}

#[inline]
fn all_plain(chunk: &[u8]) -> bool {
    chunk.iter().fold(true, |plain, &byte| plain & !needs_escape(byte))
}

#[cold]
fn write_escaped<O: Sink>(out: &mut O, mut rest: &[u8]) {
    out.write(b"\"");
    while let Some(at) = rest.iter().position(|&byte| needs_escape(byte)) {
        let (plain, tail) = rest.split_at(at);
        out.write(plain);
        let Some((&byte, tail)) = tail.split_first() else { break };
        write_escape(out, byte);
        rest = tail;
    }
    out.write(rest);
    out.write(b"\"");
}

pub(super) fn write_base64<O: Sink>(out: &mut O, bytes: &[u8]) {
    out.write(b"\"");
    // A multiple of three bytes has no padding.
    let mut piece = [0; 1024];
    for chunk in bytes.chunks(768) {
        if let Ok(len) = STANDARD.encode_slice(chunk, &mut piece) {
            out.write(piece.get(..len).unwrap_or_default());
        }
    }
    out.write(b"\"");
}

#[inline(always)]
pub(super) fn write_int<O: Sink>(out: &mut O, number: i64) {
    match u64::try_from(number) {
        Ok(number) => write_uint(out, number),
        Err(_) => out.write(itoa::Buffer::new().format(number).as_bytes()),
    }
}

/// The number of characters of a number.
#[inline]
pub(super) fn digits(number: i64) -> usize {
    match number {
        0..10 => 1,
        _ => itoa::Buffer::new().format(number).len(),
    }
}

/// Fast path for one digit: actions, serials, indexes.
#[inline(always)]
pub(super) fn write_uint<O: Sink>(out: &mut O, number: u64) {
    match number {
        0..10 => out.write(&[b'0' + number as u8]),
        _ => write_digits(out, number),
    }
}

fn write_digits<O: Sink>(out: &mut O, number: u64) {
    out.write(itoa::Buffer::new().format(number).as_bytes());
}

fn write_f64<O: Sink>(out: &mut O, number: f64) {
    struct Adapter<'a, O>(&'a mut O);
    impl<O: Sink> fmt::Write for Adapter<'_, O> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    if number.is_finite() {
        // The shortest text that parses to the same number. `Adapter` never fails.
        let _ = write!(Adapter(out), "{number:?}");
    } else {
        out.write(b"null");
    }
}

/// Whether a byte must be escaped: control characters, the quote and the backslash. The quote is
/// 0x22; with bit 1 flipped it follows the control characters, so that one comparison finds both.
#[inline]
const fn needs_escape(byte: u8) -> bool {
    ((byte ^ 0b10) <= 0x20) | (byte == b'\\')
}

fn write_escape<O: Sink>(out: &mut O, byte: u8) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let digit = |nibble: u8| HEX.get(usize::from(nibble & 15)).copied().unwrap_or(b'0');
            out.write(b"\\u00");
            out.write(&[digit(byte >> 4), digit(byte)]);
            return;
        }
    };
    out.write(&[b'\\', short]);
}
