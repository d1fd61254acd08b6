//! What stands in fields: text, numbers, data, values.

use super::{
    Seed, Wire,
    context::{At, Segment},
};
use crate::wire::{Action, Data, Flags, Map, Params, PresenceAction, Value, short};
use crate::{SmolStr, UnixMillis};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::fmt;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Tells the format what will come, if all it can do with that is to look for it first.
macro_rules! hint {
    ($input:ident, $method:ident, $visitor:expr) => {
        if $input.is_human_readable() {
            $input.deserialize_any($visitor)
        } else {
            $input.$method($visitor)
        }
    };
}

/// Text. Empty text in a field is the same as no text (RTL6i3).
impl Wire for Option<SmolStr> {
    #[inline]
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, _at: At<'_>) -> Result<(), D::Error> {
        hint!(input, deserialize_str, Text(self))
    }
}

impl Wire for SmolStr {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, at: At<'_>) -> Result<(), D::Error> {
        let mut text = None;
        Wire::read(&mut text, input, at)?;
        *self = text.unwrap_or_default();
        Ok(())
    }
}

struct Text<'a>(&'a mut Option<SmolStr>);

impl Visitor<'_> for Text<'_> {
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

/// A whole number of any width, or a float without a fraction: there are encoders that write all
/// numbers so.
struct Whole;

impl Visitor<'_> for Whole {
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
        // The cast saturates, so that what does not fit does not compare equal; NaN never does.
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

/// Reads a whole number into the type of its field.
#[inline]
fn whole<'de, T: TryFrom<i128>, D: Deserializer<'de>>(input: D) -> Result<Option<T>, D::Error> {
    match hint!(input, deserialize_i64, Whole)? {
        None => Ok(None),
        Some(number) => match T::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(D::Error::custom(alloc::format!("{number} is out of range"))),
        },
    }
}

macro_rules! wire_number {
    ($($type:ty: |$number:ident: $read:ty| $into:expr,)*) => {
        $(impl Wire for $type {
            #[inline]
            fn read<'de, D: Deserializer<'de>>(
                &mut self,
                input: D,
                _at: At<'_>,
            ) -> Result<(), D::Error> {
                let $number = whole::<$read, D>(input)?;
                *self = $into;
                Ok(())
            }
        })*
    };
}

wire_number! {
    Option<u64>: |number: u64| number,
    Option<i64>: |number: i64| number,
    Option<u32>: |number: u32| number,
    u32: |number: u32| number.unwrap_or_default(),
    u16: |number: u16| number.unwrap_or_default(),
    Option<UnixMillis>: |number: i64| number.map(UnixMillis::from_millis),
    Option<Flags>: |number: u64| number.map(Flags::from_bits_retain),
    // There are encoders that leave out a zero.
    Action: |number: u32| Self::from_number(number.unwrap_or_default()),
    PresenceAction: |number: u32| Self::from_number(number.unwrap_or_default()),
}

impl Wire for Option<Data> {
    #[inline]
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, at: At<'_>) -> Result<(), D::Error> {
        hint!(input, deserialize_str, AnyData { into: self, at })
    }
}

/// Data: text, bytes, or (from a lax peer) any JSON.
struct AnyData<'a> {
    into: &'a mut Option<Data>,
    at: At<'a>,
}

impl AnyData<'_> {
    fn json(self, value: Value) {
        *self.into = Some(Data::Json(Arc::new(value)));
    }
}

impl<'de> Visitor<'de> for AnyData<'_> {
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
        let value = AnyValue(self.at).visit_seq(seq)?;
        self.json(value);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let value = AnyValue(self.at).visit_map(map)?;
        self.json(value);
        Ok(())
    }
}

impl Wire for Option<Box<Value>> {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, at: At<'_>) -> Result<(), D::Error> {
        let mut value = Value::Null;
        value.read(input, at)?;
        *self = (!value.is_null()).then(|| Box::new(value));
        Ok(())
    }
}

impl Wire for Value {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, at: At<'_>) -> Result<(), D::Error> {
        at.cx.value()?;
        *self = input.deserialize_any(AnyValue(at))?;
        Ok(())
    }
}

struct AnyValue<'a>(At<'a>);

impl<'de> Visitor<'de> for AnyValue<'_> {
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
        let at = self.0.deeper()?;
        let mut items = Vec::new();
        loop {
            let mut item = Value::Null;
            match seq.next_element_seed(Seed { into: &mut item, at }) {
                Ok(Some(())) => items.push(item),
                Ok(None) => return Ok(Value::Array(items)),
                Err(error) => {
                    at.cx.at(Segment::Index(items.len()));
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let at = self.0.deeper()?;
        let mut object = Map::new();
        while let Some(name) = map.next_key_seed(AnyName)? {
            let mut value = Value::Null;
            if let Err(error) = map.next_value_seed(Seed { into: &mut value, at }) {
                at.cx.at(Segment::Name(name));
                return Err(error);
            }
            object.push(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// A name that is kept.
struct AnyName;

impl<'de> DeserializeSeed<'de> for AnyName {
    type Value = SmolStr;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<SmolStr, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for AnyName {
    type Value = SmolStr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<SmolStr, E> {
        Ok(SmolStr::new(name))
    }
}

/// Names and texts (TB2c, TI6). Numbers and truth values are taken as their text, nulls left out.
impl Wire for Option<Params> {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, at: At<'_>) -> Result<(), D::Error> {
        let mut value = Value::Null;
        value.read(input, at)?;
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

impl Wire for Params {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, at: At<'_>) -> Result<(), D::Error> {
        let mut params = None;
        Wire::read(&mut params, input, at)?;
        *self = params.unwrap_or_default();
        Ok(())
    }
}
