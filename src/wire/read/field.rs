//! The types of fields: text, numbers, data, values.

use super::{
    ReadInPlace, Seed,
    context::{Cx, Segment},
};
use crate::wire::{Action, Data, Flags, Map, Params, PresenceAction, Value, short};
use crate::{SmolStr, UnixMillis};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::fmt;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Deserializes with a type hint, for our readers, which only use it for a fast path. Others, such
/// as `serde_json`, would reject other types; they are human-readable and get no hint.
macro_rules! hint {
    ($input:ident, $method:ident, $visitor:expr) => {
        if $input.is_human_readable() {
            $input.deserialize_any($visitor)
        } else {
            $input.$method($visitor)
        }
    };
}

/// Text. Empty text is the same as absent (RTL6i3).
impl ReadInPlace for Option<SmolStr> {
    #[inline]
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, _cx: Cx<'_>) -> Result<(), D::Error> {
        hint!(input, deserialize_str, TextVisitor(self))
    }
}

impl ReadInPlace for SmolStr {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, cx: Cx<'_>) -> Result<(), D::Error> {
        let mut text = None;
        ReadInPlace::read(&mut text, input, cx)?;
        *self = text.unwrap_or_default();
        Ok(())
    }
}

struct TextVisitor<'a>(&'a mut Option<SmolStr>);

impl Visitor<'_> for TextVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    #[inline]
    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if !text.is_empty() {
            short::make(text, |text| *self.0 = Some(text));
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// An integer of any width, or a float without a fraction, because some encoders write all numbers
/// as floats.
struct WholeNumberVisitor;

impl Visitor<'_> for WholeNumberVisitor {
    type Value = Option<i128>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    #[inline]
    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number.into()))
    }

    #[inline]
    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        // The cast saturates: a float out of range is not equal to the result. NaN is never equal.
        let whole = number as i128;
        if whole as f64 == number && whole != i128::MAX {
            Ok(Some(whole))
        } else {
            Err(E::custom(alloc::format!("{number} is not a whole number")))
        }
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Reads an integer and converts it to the type of the field.
#[inline]
fn read_whole_number<'de, T: TryFrom<i128>, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<T>, D::Error> {
    match hint!(input, deserialize_i64, WholeNumberVisitor)? {
        None => Ok(None),
        Some(number) => match T::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(D::Error::custom(alloc::format!("{number} is out of range"))),
        },
    }
}

macro_rules! number_fields {
    ($($type:ty: |$number:ident: $read:ty| $into:expr,)*) => {
        $(impl ReadInPlace for $type {
            #[inline]
            fn read<'de, D: Deserializer<'de>>(
                &mut self,
                input: D,
                _cx: Cx<'_>,
            ) -> Result<(), D::Error> {
                let $number = read_whole_number::<$read, D>(input)?;
                *self = $into;
                Ok(())
            }
        })*
    };
}

number_fields! {
    Option<u64>: |number: u64| number,
    Option<i64>: |number: i64| number,
    Option<u32>: |number: u32| number,
    u32: |number: u32| number.unwrap_or_default(),
    u16: |number: u16| number.unwrap_or_default(),
    Option<UnixMillis>: |number: i64| number.map(UnixMillis::from_millis),
    Option<Flags>: |number: u64| number.map(Flags::from_bits_retain),
    // Some encoders omit zeros.
    Action: |number: u32| Self::from_number(number.unwrap_or_default()),
    PresenceAction: |number: u32| Self::from_number(number.unwrap_or_default()),
}

impl ReadInPlace for Option<Data> {
    #[inline]
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, cx: Cx<'_>) -> Result<(), D::Error> {
        hint!(input, deserialize_str, DataVisitor { into: self, cx })
    }
}

/// Data: text, bytes, or any JSON (not allowed by the protocol, but accepted).
struct DataVisitor<'a> {
    into: &'a mut Option<Data>,
    cx: Cx<'a>,
}

impl DataVisitor<'_> {
    fn json(self, value: Value) {
        *self.into = Some(Data::Json(Arc::new(value)));
    }
}

impl<'de> Visitor<'de> for DataVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("data")
    }

    #[inline]
    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        short::make(text, |text| *self.into = Some(Data::String(text)));
        Ok(())
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<(), E> {
        *self.into = Some(Data::Binary(bytes.into()));
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.json(Value::Bool(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.json(number.into());
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.json(number.into());
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.json(number.into());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        let value = ValueVisitor(self.cx).visit_seq(seq)?;
        self.json(value);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let value = ValueVisitor(self.cx).visit_map(map)?;
        self.json(value);
        Ok(())
    }
}

impl ReadInPlace for Option<Box<Value>> {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, cx: Cx<'_>) -> Result<(), D::Error> {
        let mut value = Value::Null;
        value.read(input, cx)?;
        *self = (!value.is_null()).then(|| Box::new(value));
        Ok(())
    }
}

impl ReadInPlace for Value {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, cx: Cx<'_>) -> Result<(), D::Error> {
        cx.context.count_value()?;
        *self = input.deserialize_any(ValueVisitor(cx))?;
        Ok(())
    }
}

struct ValueVisitor<'a>(Cx<'a>);

impl<'de> Visitor<'de> for ValueVisitor<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Binary(bytes.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let cx = self.0.deeper()?;
        let mut items = Vec::new();
        loop {
            let mut item = Value::Null;
            match seq.next_element_seed(Seed { into: &mut item, cx }) {
                Ok(Some(())) => items.push(item),
                Ok(None) => return Ok(Value::Array(items)),
                Err(error) => {
                    cx.context.push_path(Segment::Index(items.len()));
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let cx = self.0.deeper()?;
        let mut object = Map::new();
        while let Some(name) = map.next_key_seed(NameVisitor)? {
            let mut value = Value::Null;
            if let Err(error) = map.next_value_seed(Seed { into: &mut value, cx }) {
                cx.context.push_path(Segment::Name(name));
                return Err(error);
            }
            object.push(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// An owned name.
struct NameVisitor;

impl<'de> DeserializeSeed<'de> for NameVisitor {
    type Value = SmolStr;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<SmolStr, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameVisitor {
    type Value = SmolStr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<SmolStr, E> {
        Ok(SmolStr::new(name))
    }
}

/// Names and text values (TB2c, TI6). Other values are converted to JSON text, null is omitted.
impl ReadInPlace for Option<Params> {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, cx: Cx<'_>) -> Result<(), D::Error> {
        let mut value = Value::Null;
        value.read(input, cx)?;
        let map = match value {
            Value::Null => return Ok(()),
            Value::Object(map) => map,
            _ => return Err(D::Error::custom("not names and texts")),
        };
        let params = self.insert(Params::with_capacity(map.len()));
        for (name, value) in map {
            match value {
                Value::Null => {}
                Value::String(text) => params.push((name, text)),
                value => params.push((name, value.to_json().into())),
            }
        }
        Ok(())
    }
}

impl ReadInPlace for Params {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, cx: Cx<'_>) -> Result<(), D::Error> {
        let mut params = None;
        ReadInPlace::read(&mut params, input, cx)?;
        *self = params.unwrap_or_default();
        Ok(())
    }
}
