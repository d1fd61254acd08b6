//! Reading of numbers, text and values.

use super::EntryError;
use super::format::tag;
use crate::SmolStr;
use crate::wire::{MAX_DEPTH, Map, Value, make_short};
use alloc::vec::Vec;

pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// The length of the whole input.
    len: usize,
    /// The kind of the record or part that is read. 0 before the first part of a page.
    pub(super) kind: u8,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, len: bytes.len(), kind: 0 }
    }

    /// Reads the first byte. Version 0 was never written.
    pub(super) fn version(&mut self, newest: u8) -> Result<(), EntryError> {
        match self.byte()? {
            0 => Err(EntryError::Malformed { at: 0 }),
            version if version > newest => Err(EntryError::NewerVersion(version)),
            _ => Ok(()),
        }
    }

    /// All input must have been read.
    pub(super) const fn end(&self) -> Result<(), EntryError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }

    const fn at(&self) -> usize {
        self.len - self.rest.len()
    }

    /// The input is wrong where it was read last.
    #[cold]
    pub(super) const fn malformed(&self) -> EntryError {
        EntryError::Malformed { at: self.at() }
    }

    /// The record or part has something that a newer version knows.
    #[cold]
    pub(super) const fn unknown(&self) -> EntryError {
        EntryError::UnknownRecord(self.kind)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, EntryError> {
        let Some((byte, rest)) = self.rest.split_first() else { return Err(self.malformed()) };
        self.rest = rest;
        Ok(*byte)
    }

    pub(super) fn bool(&mut self) -> Result<bool, EntryError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.unknown()),
        }
    }

    #[inline]
    pub(super) fn uint(&mut self) -> Result<u64, EntryError> {
        match self.rest.split_first() {
            Some((&byte @ 0..0x80, rest)) => {
                self.rest = rest;
                Ok(byte.into())
            }
            _ => self.long_uint(),
        }
    }

    fn long_uint(&mut self) -> Result<u64, EntryError> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.malformed())
    }

    #[inline]
    pub(super) fn int(&mut self) -> Result<i64, EntryError> {
        let number = self.uint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, EntryError> {
        let number = self.uint()?;
        u32::try_from(number).map_err(|_| self.malformed())
    }

    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], EntryError> {
        let len = self.uint()?;
        let split = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let Some((bytes, rest)) = split else { return Err(self.malformed()) };
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads text into its place. Returning it costs more than reading it.
    #[inline]
    pub(super) fn text_to(&mut self, store: impl FnOnce(SmolStr)) -> Result<(), EntryError> {
        let bytes = self.bytes()?;
        let text = core::str::from_utf8(bytes).map_err(|_| self.malformed())?;
        make_short(text, store);
        Ok(())
    }

    pub(super) fn text(&mut self) -> Result<SmolStr, EntryError> {
        let mut into = SmolStr::default();
        self.text_to(|text| into = text)?;
        Ok(into)
    }

    /// The number of items that follow, and for how many to make room: what is left of the input
    /// bounds it, not the number. A short item has `item_len` bytes.
    #[inline]
    pub(super) fn count(&mut self, item_len: usize) -> Result<(u64, usize), EntryError> {
        let count = self.uint()?;
        let room = self.rest.len() / item_len + 1;
        Ok((count, usize::try_from(count).unwrap_or(usize::MAX).min(room)))
    }

    /// Reads a count, and as many items. A short one has `item_len` bytes.
    #[inline]
    pub(super) fn list<T>(
        &mut self,
        item_len: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, EntryError>,
    ) -> Result<Vec<T>, EntryError> {
        let (count, room) = self.count(item_len)?;
        let mut items = Vec::with_capacity(room);
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Reads a value inside `depth` others.
    pub(super) fn value(&mut self, depth: u32) -> Result<Value, EntryError> {
        Ok(match self.byte()? {
            tag::NULL => Value::Null,
            tag::FALSE => Value::Bool(false),
            tag::TRUE => Value::Bool(true),
            tag::INT => Value::Int(self.int()?),
            tag::UINT => Value::UInt(self.uint()?),
            tag::FLOAT => {
                let Some((bytes, rest)) = self.rest.split_first_chunk() else {
                    return Err(self.malformed());
                };
                self.rest = rest;
                Value::Float(f64::from_be_bytes(*bytes))
            }
            tag::STRING => Value::String(self.text()?),
            tag::BINARY => Value::Binary(self.bytes()?.into()),
            tag::ARRAY => {
                let depth = self.deeper(depth)?;
                // No room is made: every level of nested arrays could ask for it.
                let mut items = Vec::new();
                for _ in 0..self.uint()? {
                    items.push(self.value(depth)?);
                }
                Value::Array(items)
            }
            tag::OBJECT => Value::Object(self.map(depth)?),
            _ => return Err(self.unknown()),
        })
    }

    pub(super) fn map(&mut self, depth: u32) -> Result<Map, EntryError> {
        let depth = self.deeper(depth)?;
        let mut map = Map::new();
        for _ in 0..self.uint()? {
            let name = self.text()?;
            map.push(name, self.value(depth)?);
        }
        Ok(map)
    }

    const fn deeper(&self, depth: u32) -> Result<u32, EntryError> {
        if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(EntryError::TooDeep { at: self.at() }) }
    }
}
