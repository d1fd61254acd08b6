//! Decoding of MessagePack: a serde deserializer for bytes in memory.
//!
//! It does not allocate, and a declared length is never trusted beyond the input. The visitors bound
//! the recursion.

use super::{DecodeError, DecodeLimits, ProtocolMessage, read};
use alloc::{borrow::Cow, string::ToString as _};
use core::fmt;
use serde::{
    de::{self, DeserializeSeed, Visitor},
    forward_to_deserialize_any,
};

/// Decodes one frame into `into`.
pub(super) fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    into: &mut ProtocolMessage,
) -> Result<(), DecodeError> {
    let cx = read::Context::new(bytes.len(), limits);
    let mut reader = Reader { rest: bytes };
    let result = match read::frame(&mut reader, &cx, into) {
        Ok(()) if !reader.rest.is_empty() => Err(TRAILING),
        result => result,
    };
    result.map_err(|Error(reason)| cx.error(bytes.len() - reader.rest.len(), reason.into_owned()))
}

const TRAILING: Error = Error(Cow::Borrowed("trailing bytes"));
const TRUNCATED: Error = Error(Cow::Borrowed(read::TRUNCATED));
const RESERVED: Error = Error(Cow::Borrowed("the tag 0xc1 is not used"));
const EXTENSION: Error = Error(Cow::Borrowed("extension types have no meaning here"));
const NOT_UTF8: Error = Error(Cow::Borrowed("invalid UTF-8"));
const NAME: Error = Error(Cow::Borrowed("a name that is not text"));

/// The reason of an error. The position is that of the reader.
#[derive(Debug)]
struct Error(Cow<'static, str>);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Error {}

impl de::Error for Error {
    #[cold]
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self(Cow::Owned(reason.to_string()))
    }

    /// Sent to peers: in terms of the protocol, not of serde.
    #[cold]
    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self(Cow::Owned(alloc::format!("not {expected}")))
    }
}

/// The head of a value: everything except the contents of containers and strings.
enum Head {
    Nil,
    Bool(bool),
    UInt(u64),
    Int(i64),
    Float(f64),
    Str(usize),
    Bin(usize),
    Array(usize),
    Map(usize),
    /// An extension of this length, its type included.
    Ext(usize),
}

struct Reader<'de> {
    rest: &'de [u8],
}

impl<'de> Reader<'de> {
    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline]
    fn bytes(&mut self, len: usize) -> Result<&'de [u8], Error> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(|[byte]| byte)
    }

    #[inline]
    fn len8(&mut self) -> Result<usize, Error> {
        self.u8().map(usize::from)
    }

    #[inline]
    fn len16(&mut self) -> Result<usize, Error> {
        self.array().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    #[inline]
    fn len32(&mut self) -> Result<usize, Error> {
        // On a 16-bit platform: a saturated length is longer than the input and fails later.
        self.array().map(|bytes| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX))
    }

    #[inline]
    fn read_head(&mut self) -> Result<Head, Error> {
        let tag = self.u8()?;
        Ok(match tag {
            0x00..=0x7f => Head::UInt(tag.into()),
            0x80..=0x8f => Head::Map(usize::from(tag & 0x0f)),
            0x90..=0x9f => Head::Array(usize::from(tag & 0x0f)),
            0xa0..=0xbf => Head::Str(usize::from(tag & 0x1f)),
            0xc0 => Head::Nil,
            0xc1 => return Err(RESERVED),
            0xc2 => Head::Bool(false),
            0xc3 => Head::Bool(true),
            0xc4 => Head::Bin(self.len8()?),
            0xc5 => Head::Bin(self.len16()?),
            0xc6 => Head::Bin(self.len32()?),
            0xc7 => Head::Ext(self.len8()?.saturating_add(1)),
            0xc8 => Head::Ext(self.len16()?.saturating_add(1)),
            0xc9 => Head::Ext(self.len32()?.saturating_add(1)),
            0xca => Head::Float(f32::from_be_bytes(self.array()?).into()),
            0xcb => Head::Float(f64::from_be_bytes(self.array()?)),
            0xcc => Head::UInt(self.u8()?.into()),
            0xcd => Head::UInt(u16::from_be_bytes(self.array()?).into()),
            0xce => Head::UInt(u32::from_be_bytes(self.array()?).into()),
            0xcf => Head::UInt(u64::from_be_bytes(self.array()?)),
            0xd0 => Head::Int(i8::from_be_bytes(self.array()?).into()),
            0xd1 => Head::Int(i16::from_be_bytes(self.array()?).into()),
            0xd2 => Head::Int(i32::from_be_bytes(self.array()?).into()),
            0xd3 => Head::Int(i64::from_be_bytes(self.array()?)),
            0xd4..=0xd8 => Head::Ext((1 << (tag - 0xd4)) + 1),
            0xd9 => Head::Str(self.len8()?),
            0xda => Head::Str(self.len16()?),
            0xdb => Head::Str(self.len32()?),
            0xdc => Head::Array(self.len16()?),
            0xdd => Head::Array(self.len32()?),
            0xde => Head::Map(self.len16()?),
            0xdf => Head::Map(self.len32()?),
            0xe0..=0xff => Head::Int(tag.cast_signed().into()),
        })
    }

    /// Reads any value. Not inlined: the callers handle the common cases.
    #[inline(never)]
    fn read_any<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        match self.read_head()? {
            Head::Nil => visitor.visit_unit(),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::UInt(number) => visitor.visit_u64(number),
            Head::Int(number) => visitor.visit_i64(number),
            Head::Float(number) => visitor.visit_f64(number),
            Head::Str(len) => {
                let bytes = self.bytes(len)?;
                visitor.visit_borrowed_str(core::str::from_utf8(bytes).map_err(|_| NOT_UTF8)?)
            }
            Head::Bin(len) => visitor.visit_borrowed_bytes(self.bytes(len)?),
            Head::Array(len) => visitor.visit_seq(Items { reader: self, remaining: len }),
            Head::Map(len) => visitor.visit_map(Items { reader: self, remaining: len }),
            // The JavaScript SDK's encoding of `undefined`.
            Head::Ext(2) if self.rest.first_chunk() == Some(&[0, 0]) => {
                self.bytes(2)?;
                visitor.visit_unit()
            }
            Head::Ext(_) => Err(EXTENSION),
        }
    }

    /// Skips a value of any depth, without recursion.
    fn skip(&mut self) -> Result<(), Error> {
        // The number of values still to skip. A container adds its contents.
        let mut values: u64 = 1;
        while let Some(remaining) = values.checked_sub(1) {
            values = remaining;
            match self.read_head()? {
                Head::Str(len) | Head::Bin(len) | Head::Ext(len) => {
                    self.bytes(len)?;
                }
                Head::Array(len) => values = values.saturating_add(len as u64),
                Head::Map(len) => values = values.saturating_add(2 * len as u64),
                Head::Nil | Head::Bool(_) | Head::UInt(_) | Head::Int(_) | Head::Float(_) => {}
            }
        }
        Ok(())
    }
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.read_any(visitor)
    }

    /// Fast path for short text. Other types are accepted too.
    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.rest.split_first() {
            Some((&tag @ 0xa0..=0xbf, rest)) => {
                let (bytes, rest) =
                    rest.split_at_checked(usize::from(tag & 0x1f)).ok_or(TRUNCATED)?;
                self.rest = rest;
                visitor.visit_borrowed_str(core::str::from_utf8(bytes).map_err(|_| NOT_UTF8)?)
            }
            _ => self.read_any(visitor),
        }
    }

    /// Fast path for small numbers and timestamps.
    #[inline]
    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.rest.split_first() {
            Some((&tag @ 0x00..=0x7f, rest)) => {
                self.rest = rest;
                visitor.visit_u64(tag.into())
            }
            Some((0xcf, rest)) => {
                let (bytes, rest) = rest.split_first_chunk().ok_or(TRUNCATED)?;
                self.rest = rest;
                visitor.visit_u64(u64::from_be_bytes(*bytes))
            }
            _ => self.read_any(visitor),
        }
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.rest.split_first() {
            Some((&tag @ 0x80..=0x8f, rest)) => {
                self.rest = rest;
                visitor.visit_map(Items { reader: self, remaining: usize::from(tag & 0x0f) })
            }
            _ => self.read_any(visitor),
        }
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    /// Field names are compared as bytes, without UTF-8 validation.
    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.rest.split_first() {
            Some((&tag @ 0xa0..=0xbf, rest)) => {
                let (bytes, rest) =
                    rest.split_at_checked(usize::from(tag & 0x1f)).ok_or(TRUNCATED)?;
                self.rest = rest;
                visitor.visit_borrowed_bytes(bytes)
            }
            _ => match self.read_head()? {
                Head::Str(len) => visitor.visit_borrowed_bytes(self.bytes(len)?),
                _ => Err(NAME),
            },
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 f64 char string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct struct enum
    }
}

/// The items of an array, or the entries of a map.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    remaining: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(remaining) = self.remaining.checked_sub(1) else { return Ok(None) };
        self.remaining = remaining;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    /// Each item has at least one byte.
    fn size_hint(&self) -> Option<usize> {
        Some(self.remaining.min(self.reader.rest.len()))
    }
}

impl<'de> de::MapAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        de::SeqAccess::next_element_seed(self, seed)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }
}
