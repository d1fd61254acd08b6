//! A fast path for plain JSON, which SDKs send nearly always.
//!
//! Plain JSON has no white space, no escapes and only integers. For any other input, valid or not,
//! this reader fails with [`NotPlain`], and `serde_json` reads the input from the beginning: it
//! decides what is valid and reports the errors. Plain JSON takes two thirds of the instructions of
//! `serde_json`. Tests compare the two.

use core::fmt;
use serde::{
    de::{self, DeserializeSeed, Visitor},
    forward_to_deserialize_any,
};

/// The input is not plain JSON. The reason is found by `serde_json`.
#[derive(Debug)]
pub(super) struct NotPlain;

impl fmt::Display for NotPlain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not plain")
    }
}

impl core::error::Error for NotPlain {}

impl de::Error for NotPlain {
    #[cold]
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Maximum nesting of plain JSON, because of the stack.
const MAX_DEPTH: u32 = 32;

/// Reads a whole text, if it is plain.
pub(super) fn read<'de, T>(
    text: &'de str,
    read: impl FnOnce(&mut Reader<'de>) -> Result<T, NotPlain>,
) -> Result<T, NotPlain> {
    let mut reader = Reader::new(text)?;
    let value = read(&mut reader)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(NotPlain) }
}

pub(super) struct Reader<'de> {
    rest: &'de str,
    depth: u32,
}

impl<'de> Reader<'de> {
    /// Fails if the text contains a control character or a backslash. One scan of the whole text is
    /// cheaper than a scan of each string.
    fn new(text: &'de str) -> Result<Self, NotPlain> {
        let plain = |all, &byte: &u8| all & (byte >= 0x20) & (byte != b'\\');
        if text.as_bytes().iter().fold(true, plain) {
            Ok(Self { rest: text, depth: 0 })
        } else {
            Err(NotPlain)
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    #[inline]
    fn skip(&mut self, len: usize) -> Result<(), NotPlain> {
        self.rest = self.rest.get(len..).ok_or(NotPlain)?;
        Ok(())
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> Result<(), NotPlain> {
        if self.peek() == Some(byte) { self.skip(1) } else { Err(NotPlain) }
    }

    fn literal<T>(&mut self, text: &str, value: T) -> Result<T, NotPlain> {
        self.rest = self.rest.strip_prefix(text).ok_or(NotPlain)?;
        Ok(value)
    }

    #[inline]
    fn read_text(&mut self) -> Result<&'de str, NotPlain> {
        self.eat(b'"')?;
        let len = find_quote(self.rest.as_bytes());
        let (text, rest) = self.rest.split_at_checked(len).ok_or(NotPlain)?;
        self.rest = rest;
        self.eat(b'"')?;
        Ok(text)
    }

    /// An unsigned integer of at most 18 digits, so that it cannot overflow.
    #[inline]
    fn read_digits(&mut self) -> Result<u64, NotPlain> {
        const MAX_DIGITS: usize = 18;
        let bytes = self.rest.as_bytes();
        let mut number: u64 = 0;
        let mut len = 0;
        while let Some(digit) = bytes.get(len).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
            number = number.wrapping_mul(10).wrapping_add(digit.into());
            len += 1;
        }
        let leading_zero = len > 1 && bytes.first() == Some(&b'0');
        let is_float = matches!(bytes.get(len), Some(b'.' | b'e' | b'E'));
        if len == 0 || len > MAX_DIGITS || leading_zero || is_float {
            return Err(NotPlain);
        }
        self.skip(len)?;
        Ok(number)
    }

    /// Reads any value. Not inlined: the callers handle the common cases.
    #[inline(never)]
    fn read_any<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, NotPlain> {
        match self.peek().ok_or(NotPlain)? {
            b'"' => visitor.visit_borrowed_str(self.read_text()?),
            b'0'..=b'9' => visitor.visit_u64(self.read_digits()?),
            b'-' => {
                self.skip(1)?;
                match self.read_digits()?.cast_signed() {
                    0 => Err(NotPlain),
                    number => visitor.visit_i64(-number),
                }
            }
            b'{' => self.read_map(visitor),
            b'[' => self.read_list(visitor),
            b't' => visitor.visit_bool(self.literal("true", true)?),
            b'f' => visitor.visit_bool(self.literal("false", false)?),
            b'n' => {
                self.literal("null", ())?;
                visitor.visit_unit()
            }
            _ => Err(NotPlain),
        }
    }

    #[inline]
    fn read_map<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, NotPlain> {
        self.eat(b'{')?;
        self.nested(|reader| visitor.visit_map(Items { reader, first: true }))
    }

    #[inline]
    fn read_list<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, NotPlain> {
        self.eat(b'[')?;
        self.nested(|reader| visitor.visit_seq(Items { reader, first: true }))
    }

    #[inline]
    fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, NotPlain>,
    ) -> Result<T, NotPlain> {
        if self.depth == MAX_DEPTH {
            return Err(NotPlain);
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }
}

/// The position of the first quote, or the length. Scans eight bytes at a time: the lowest set high
/// bit in `found` marks the first quote; higher bits are not reliable.
#[inline]
fn find_quote(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    const QUOTES: u64 = ONES * b'"' as u64;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let difference = u64::from_le_bytes(*chunk) ^ QUOTES;
        let found = difference.wrapping_sub(ONES) & !difference & HIGH;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let tail = bytes.get(at..).unwrap_or_default();
    at + tail.iter().position(|&byte| byte == b'"').unwrap_or(tail.len())
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = NotPlain;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        self.read_any(visitor)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        match self.peek() {
            Some(b'"') => visitor.visit_borrowed_str(self.read_text()?),
            _ => self.read_any(visitor),
        }
    }

    #[inline]
    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        match self.peek() {
            Some(b'0'..=b'9') => visitor.visit_u64(self.read_digits()?),
            _ => self.read_any(visitor),
        }
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        match self.peek() {
            Some(b'{') => self.read_map(visitor),
            _ => self.read_any(visitor),
        }
    }

    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        visitor.visit_borrowed_str(self.read_text()?)
    }

    /// Enables type hints, see `hint!` in `read/field.rs`.
    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 f64 char string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct struct enum ignored_any
    }
}

/// The items of an array, or the entries of an object.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    first: bool,
}

impl Items<'_, '_> {
    /// Whether there is another item. Consumes the comma or the closing bracket.
    #[inline]
    fn has_next(&mut self, close: u8) -> Result<bool, NotPlain> {
        match self.reader.peek() {
            Some(byte) if byte == close => self.reader.skip(1).map(|()| false),
            _ if core::mem::take(&mut self.first) => Ok(true),
            _ => self.reader.eat(b',').map(|()| true),
        }
    }
}

impl<'de> de::SeqAccess<'de> for Items<'_, 'de> {
    type Error = NotPlain;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, NotPlain> {
        if self.has_next(b']')? { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }
}

impl<'de> de::MapAccess<'de> for Items<'_, 'de> {
    type Error = NotPlain;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, NotPlain> {
        if self.has_next(b'}')? { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, NotPlain> {
        self.reader.eat(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{DecodeLimits, Value, json, read};
    use alloc::{format, string::String, vec, vec::Vec};
    use proptest::prelude::*;

    fn plain(text: &str) -> Option<Value> {
        let cx = read::Context::new(text.len(), &DecodeLimits::default());
        read(text, |reader| read::value(reader, &cx)).ok()
    }

    /// Random tokens: sometimes JSON.
    fn json_like() -> impl Strategy<Value = String> {
        let token = prop_oneof![
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just(","),
            Just(":"),
            Just("\"a\""),
            Just("\"é\""),
            Just("\"\\n\""),
            Just("\"\u{1}\""),
            Just("0"),
            Just("-0"),
            Just("01"),
            Just("-7"),
            Just("1.5"),
            Just("1e3"),
            Just("1700000000000"),
            Just("999999999999999999"),
            Just("18446744073709551615"),
            Just("true"),
            Just("false"),
            Just("null"),
            Just(" "),
            Just("\"a longer text, of more than eight bytes\""),
            Just("nul"),
            Just("\""),
            Just("-"),
        ];
        prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
    }

    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just(String::from("null")),
            any::<bool>().prop_map(|b| format!("{b}")),
            any::<i64>().prop_map(|n| format!("{n}")),
            "[ -~é]{0,20}".prop_map(|text| format!("{text:?}")),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            let entry = ("[a-z]{1,9}", inner.clone()).prop_map(|(k, v)| format!("\"{k}\":{v}"));
            prop_oneof![
                prop::collection::vec(inner, 0..5).prop_map(|v| format!("[{}]", v.join(","))),
                prop::collection::vec(entry, 0..5).prop_map(|v| format!("{{{}}}", v.join(","))),
            ]
        })
    }

    fn check_agreement(text: &str) -> Result<bool, TestCaseError> {
        let Some(read) = plain(text) else { return Ok(false) };
        let full = json::parse_with_serde_json(text, &DecodeLimits::default());
        prop_assert_eq!(Some(read), full.ok(), "{}", text);
        Ok(true)
    }

    proptest! {
        #[test]
        fn plain_json_is_read_like_serde_json(text in value()) {
            let is_plain = check_agreement(&text)?;
            let digits = |c: char| c.is_ascii_digit();
            let longest = text.split(|c| !digits(c)).map(str::len).max().unwrap_or(0);
            prop_assert_eq!(is_plain, !text.contains('\\') && longest <= 18, "{}", text);
        }

        #[test]
        fn invalid_json_is_not_plain(text in json_like()) {
            check_agreement(&text)?;
        }

        #[test]
        fn find_quote_finds_the_first_quote(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let end = bytes.iter().position(|&byte| byte == b'"').unwrap_or(bytes.len());
            prop_assert_eq!(find_quote(&bytes), end);
        }
    }

    #[test]
    fn frames_of_sdks_are_plain() {
        let frame = r#"{"action":14,"id":"c:0","channel":"room","presence":[{"action":2,"clientId":"é","data":"{}"}],"timestamp":1700000000000,"params":null}"#;
        assert!(plain(frame).is_some());
        let deep: Vec<&str> =
            core::iter::repeat_n("[", 40).chain(core::iter::repeat_n("]", 40)).collect();
        assert_eq!(plain(&deep.concat()), None);
    }
}
