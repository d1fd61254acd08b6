//! Writing of numbers, text and values.

use super::format::tag;
use crate::wire::{Map, Value};
use alloc::vec::Vec;

pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// LEB128.
    #[inline]
    pub(super) fn uint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Zigzag: small negative numbers are short, too.
    #[inline]
    pub(super) fn int(&mut self, number: i64) {
        self.uint((number << 1 ^ number >> 63).cast_unsigned());
    }

    /// The number of items that follow.
    #[inline]
    pub(super) fn count(&mut self, count: usize) {
        self.uint(count as u64);
    }

    /// The number of items, and the items.
    #[inline]
    pub(super) fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.count(items.len());
        for each in items {
            item(self, each);
        }
    }

    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    #[inline]
    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.byte(tag::NULL),
            Value::Bool(false) => self.byte(tag::FALSE),
            Value::Bool(true) => self.byte(tag::TRUE),
            Value::Int(number) => {
                self.byte(tag::INT);
                self.int(*number);
            }
            Value::UInt(number) => {
                self.byte(tag::UINT);
                self.uint(*number);
            }
            Value::Float(number) => {
                self.byte(tag::FLOAT);
                self.0.extend_from_slice(&number.to_be_bytes());
            }
            Value::String(text) => {
                self.byte(tag::STRING);
                self.text(text);
            }
            Value::Binary(bytes) => {
                self.byte(tag::BINARY);
                self.bytes(bytes);
            }
            Value::Array(items) => {
                self.byte(tag::ARRAY);
                self.list(items, Self::value);
            }
            Value::Object(map) => {
                self.byte(tag::OBJECT);
                self.map(map);
            }
        }
    }

    pub(super) fn map(&mut self, map: &Map) {
        self.count(map.len());
        for (name, value) in map.iter() {
            self.text(name);
            self.value(value);
        }
    }
}
