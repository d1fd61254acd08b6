//! Reading frames: one description of each type on serde's data model, for both formats.
//!
//! Visitors are written by hand. They fill in place, look at names as bytes and build no value
//! that is not kept; a derived reader does none of the three.

use super::{
    Action, AuthDetails, ConnectionDetails, Data, DecodeError, DecodeErrorKind, DecodeLimits,
    ErrorInfo, Flags, Map, Message, Params, PresenceAction, PresenceMessage, ProtocolMessage,
    Value, encoding, short,
};
use crate::{SmolStr, UnixMillis};
use alloc::{
    boxed::Box,
    string::{String, ToString as _},
    sync::Arc,
    vec::Vec,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use core::{
    cell::{Cell, RefCell},
    fmt,
    marker::PhantomData,
};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Values in values go no deeper than this, whatever the limits say: the stack is finite.
const MAX_DEPTH: u32 = 100;

/// What is shared while one input is read: what may still be allocated, and where an error is.
pub(super) struct Context {
    items: Cell<u32>,
    values: Cell<u32>,
    max_depth: u32,
    /// About how many items a list will have, from the length of the input.
    guess: usize,
    too_large: Cell<bool>,
    /// Innermost first; filled on the way out of an error.
    path: RefCell<Vec<Segment>>,
}

enum Segment {
    Field(&'static str),
    Name(SmolStr),
    Index(usize),
}

impl Context {
    pub(super) fn new(len: usize, limits: &DecodeLimits) -> Self {
        Self {
            items: Cell::new(limits.max_items),
            values: Cell::new(limits.max_values),
            max_depth: limits.max_depth.min(MAX_DEPTH),
            // An item with all its fields has from 130 bytes (MessagePack) up.
            guess: len / 128 + 1,
            too_large: Cell::new(false),
            path: RefCell::new(Vec::new()),
        }
    }

    /// The error, with all that is known of it.
    pub(super) fn error(&self, offset: usize, reason: String) -> DecodeError {
        let mut path = String::new();
        for segment in self.path.borrow().iter().rev() {
            let name = match segment {
                Segment::Index(index) => {
                    path.push('[');
                    path.push_str(&index.to_string());
                    path.push(']');
                    continue;
                }
                Segment::Field(name) => name,
                Segment::Name(name) => name.as_str(),
            };
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
        }
        let kind = if self.too_large.get() {
            DecodeErrorKind::TooLarge
        } else {
            DecodeErrorKind::Malformed
        };
        DecodeError { kind, path, offset, reason }
    }

    #[cold]
    fn at(&self, segment: Segment) {
        self.path.borrow_mut().push(segment);
    }

    #[cold]
    fn too_large<E: Error>(&self, what: &'static str) -> E {
        self.too_large.set(true);
        E::custom(what)
    }

    fn take<E: Error>(&self, budget: &Cell<u32>, what: &'static str) -> Result<(), E> {
        match budget.get().checked_sub(1) {
            Some(left) => {
                budget.set(left);
                Ok(())
            }
            None => Err(self.too_large(what)),
        }
    }
}

/// Reads a frame into its place.
pub(super) fn frame<'de, D: Deserializer<'de>>(
    input: D,
    cx: &Context,
    into: &mut ProtocolMessage,
) -> Result<(), D::Error> {
    Fill { into, at: At { cx, depth: 0 } }.deserialize(input)
}

/// Reads a value.
pub(super) fn value<'de, D: Deserializer<'de>>(
    deserializer: D,
    cx: &Context,
) -> Result<Value, D::Error> {
    let mut value = Value::Null;
    value.read(deserializer, At { cx, depth: 0 })?;
    Ok(value)
}

/// Where in an input a reader is.
#[derive(Clone, Copy)]
struct At<'c> {
    cx: &'c Context,
    /// How many values or causes it is inside of.
    depth: u32,
}

impl At<'_> {
    fn deeper<E: Error>(mut self) -> Result<Self, E> {
        if self.depth >= self.cx.max_depth {
            return Err(self.cx.too_large("nested too deeply"));
        }
        self.depth += 1;
        Ok(self)
    }
}

/// What can be read wherever it stands.
///
/// It is read into its place: to hand short strings up, result in result, costs more than to read
/// them.
trait Wire: Sized {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, at: At<'_>) -> Result<(), D::Error>;
}

/// Reads a field into its place.
struct Seed<'a, T> {
    into: &'a mut T,
    at: At<'a>,
}

impl<'de, T: Wire> DeserializeSeed<'de> for Seed<'_, T> {
    type Value = ();
    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        self.into.read(input, self.at)
    }
}

/// A type with named fields.
trait Object: Sized {
    type Field: Copy;
    /// What is kept of the names of other fields.
    type Other: Name;
    const WHAT: &'static str;

    fn blank() -> Self;
    fn field(name: &[u8]) -> Option<Self::Field>;
    fn name(field: Self::Field) -> &'static str;
    /// The bit that stands for a field in a set of fields.
    fn bit(field: Self::Field) -> u32;
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        field: Self::Field,
        map: &mut A,
        at: At<'_>,
    ) -> Result<(), A::Error>;
    /// Reads a field that the type does not have (RSF1).
    fn read_other<'de, A: MapAccess<'de>>(
        &mut self,
        name: Self::Other,
        map: &mut A,
        at: At<'_>,
    ) -> Result<(), A::Error>;
    /// Called with the set of the fields that came, when all have come.
    fn finish<E: Error>(&mut self, came: u32, cx: &Context) -> Result<(), E>;
}

trait Name {
    fn keep(name: &str) -> Self;
}

impl Name for () {
    fn keep(_name: &str) {}
}

impl Name for SmolStr {
    fn keep(name: &str) -> Self {
        Self::new(name)
    }
}

/// Describes an [`Object`]: what it is called in errors, its fields by their names on the wire,
/// and what is particular to it.
macro_rules! object {
    (
        $type:ty, $what:literal, $blank:expr,
        { $($name:literal => $field:ident,)* }
        $(required { $required:ident })?
        $(other($self:ident, $key:ident, $value:ident) $other:block)?
        $(finish($this:ident) $finish:block)?
    ) => {
        const _: () = {
            #[derive(Clone, Copy)]
            #[allow(non_camel_case_types, reason = "named as the fields are")]
            enum Field { $($field,)* }

            impl Object for $type {
                type Field = Field;
                type Other = object!(@name $($other)?);
                const WHAT: &'static str = $what;

                #[inline]
                fn blank() -> Self {
                    $blank
                }

                #[inline]
                fn field(name: &[u8]) -> Option<Field> {
                    $(if name == $name.as_bytes() {
                        return Some(Field::$field);
                    })*
                    None
                }

                fn name(field: Field) -> &'static str {
                    match field { $(Field::$field => $name,)* }
                }

                #[inline]
                fn bit(field: Field) -> u32 {
                    1 << field as u32
                }

                #[inline]
                fn read<'de, A: MapAccess<'de>>(
                    &mut self,
                    field: Field,
                    map: &mut A,
                    at: At<'_>,
                ) -> Result<(), A::Error> {
                    match field {
                        $(Field::$field => {
                            map.next_value_seed(Seed { into: &mut self.$field, at })
                        })*
                    }
                }

                object!(@other $(($self, $key, $value) $other)?);

                #[inline]
                fn finish<E: Error>(&mut self, came: u32, cx: &Context) -> Result<(), E> {
                    $(if came & Self::bit(Field::$required) == 0 {
                        cx.at(Segment::Field(Self::name(Field::$required)));
                        return Err(E::custom("missing"));
                    })?
                    let _ = (came, cx);
                    $({
                        let $this = self;
                        $finish
                    })?
                    Ok(())
                }
            }
        };
    };
    (@name) => { () };
    (@name $other:block) => { SmolStr };
    (@other) => {
        fn read_other<'de, A: MapAccess<'de>>(
            &mut self,
            _name: (),
            map: &mut A,
            _at: At<'_>,
        ) -> Result<(), A::Error> {
            map.next_value::<IgnoredAny>().map(|_| ())
        }
    };
    (@other ($self:ident, $key:ident, $value:ident) $other:block) => {
        fn read_other<'de, A: MapAccess<'de>>(
            &mut self,
            $key: SmolStr,
            map: &mut A,
            at: At<'_>,
        ) -> Result<(), A::Error> {
            let mut $value = Value::Null;
            let result = map.next_value_seed(Seed { into: &mut $value, at });
            if result.is_err() {
                at.cx.at(Segment::Name($key));
                return result;
            }
            let $self = self;
            $other
            Ok(())
        }
    };
}

object! {
    ProtocolMessage, "a frame", Self::new(Action::Heartbeat), {
        "action" => action,
        "presence" => presence,
        "channel" => channel,
        "channelSerial" => channel_serial,
        "id" => id,
        "connectionId" => connection_id,
        "timestamp" => timestamp,
        "msgSerial" => msg_serial,
        "flags" => flags,
        "count" => count,
        "messages" => messages,
        "error" => error,
        "params" => params,
        "connectionDetails" => connection_details,
        "auth" => auth,
        "annotations" => annotations,
        "state" => state,
        "res" => res,
    }
    required { action }
}

object! {
    PresenceMessage, "a presence message", Self::new(PresenceAction::Absent), {
        "action" => action,
        "id" => id,
        "clientId" => client_id,
        "connectionId" => connection_id,
        "timestamp" => timestamp,
        "data" => data,
        "encoding" => encoding,
        "extras" => extras,
    }
    required { action }
    finish(this) { canonical(&mut this.data, &mut this.encoding) }
}

object! {
    Message, "a message", Self::default(), {
        "id" => id,
        "name" => name,
        "clientId" => client_id,
        "connectionId" => connection_id,
        "timestamp" => timestamp,
        "data" => data,
        "encoding" => encoding,
        "extras" => extras,
    }
    other(this, name, value) { this.other.push(name, value); }
    finish(this) { canonical(&mut this.data, &mut this.encoding) }
}

object! {
    ErrorInfo, "an error", Self::default(), {
        "code" => code,
        "statusCode" => status_code,
        "message" => message,
        "href" => href,
        "cause" => cause,
        "requestId" => request_id,
        "detail" => detail,
    }
}

object! {
    ConnectionDetails, "connection details", Self::default(), {
        "clientId" => client_id,
        "connectionKey" => connection_key,
        "maxMessageSize" => max_message_size,
        "maxFrameSize" => max_frame_size,
        "maxInboundRate" => max_inbound_rate,
        "connectionStateTtl" => connection_state_ttl,
        "maxIdleInterval" => max_idle_interval,
        "serverId" => server_id,
        "siteCode" => site_code,
        "objectsGCGracePeriod" => objects_gc_grace_period,
    }
}

object! {
    AuthDetails, "authentication details", Self::default(), {
        "accessToken" => access_token,
    }
}

/// Brings data into the one form that it has in memory, whatever it travelled in: bytes are
/// bytes, and JSON that came bare is the text that it should have been.
#[inline]
fn canonical(data: &mut Option<Data>, steps: &mut Option<SmolStr>) {
    match (&*data, &*steps) {
        (Some(Data::String(text)), Some(chain)) => {
            let Some(inner) = chain.strip_suffix("base64") else { return };
            let inner = match inner.strip_suffix('/') {
                Some(inner) => Some(SmolStr::new(inner)),
                None if inner.is_empty() => None,
                None => return,
            };
            // Strict: what another peer gets must be what this one sent.
            if let Ok(bytes) = STANDARD.decode(text.as_bytes()) {
                *data = Some(Data::Binary(bytes.into()));
                *steps = inner;
            }
        }
        (Some(Data::Json(_)), _) => encoding::json_to_text(data, steps),
        _ => {}
    }
}

/// Fills an object in place.
struct Fill<'a, T> {
    into: &'a mut T,
    at: At<'a>,
}

impl<'de, T: Object> DeserializeSeed<'de> for Fill<'_, T> {
    type Value = ();
    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Object> Visitor<'de> for Fill<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { into, at } = self;
        let mut came = 0;
        while let Some(key) = map.next_key_seed(KeyOf::<T>(PhantomData))? {
            match key {
                Ok(field) => {
                    let bit = T::bit(field);
                    let result = if came & bit == 0 {
                        into.read(field, &mut map, at)
                    } else {
                        Err(A::Error::custom("came twice"))
                    };
                    if let Err(error) = result {
                        at.cx.at(Segment::Field(T::name(field)));
                        return Err(error);
                    }
                    came |= bit;
                }
                Err(name) => into.read_other(name, &mut map, at)?,
            }
        }
        into.finish(came, at.cx)
    }
}

/// Finds the field of a name.
struct KeyOf<T>(PhantomData<T>);

impl<'de, T: Object> DeserializeSeed<'de> for KeyOf<T> {
    type Value = Result<T::Field, T::Other>;
    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<T: Object> Visitor<'_> for KeyOf<T> {
    type Value = Result<T::Field, T::Other>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    #[inline]
    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(T::field(name.as_bytes()).ok_or_else(|| T::Other::keep(name)))
    }

    #[inline]
    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        if let Some(field) = T::field(name) {
            return Ok(Ok(field));
        }
        let name = core::str::from_utf8(name).map_err(|_| E::custom("invalid UTF-8 in a name"))?;
        Ok(Err(T::Other::keep(name)))
    }
}

impl<T: Object> Wire for Vec<T> {
    #[inline]
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, at: At<'_>) -> Result<(), D::Error> {
        input.deserialize_any(List { into: self, at })
    }
}

struct List<'a, T> {
    into: &'a mut Vec<T>,
    at: At<'a>,
}

impl<'de, T: Object> Visitor<'de> for List<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list, each {}", T::WHAT)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { into, at } = self;
        // A declared length is a claim; the length of the input is not.
        let capacity = seq.size_hint().unwrap_or(usize::MAX).min(at.cx.guess);
        loop {
            match seq.next_element_seed(Push { items: &mut *into, capacity, at }) {
                Ok(Some(())) => {}
                Ok(None) => return Ok(()),
                Err(error) => {
                    at.cx.at(Segment::Index(into.len().saturating_sub(1)));
                    return Err(error);
                }
            }
        }
    }
}

/// Fills an item where it will stay.
struct Push<'a, T> {
    items: &'a mut Vec<T>,
    capacity: usize,
    at: At<'a>,
}

impl<'de, T: Object> DeserializeSeed<'de> for Push<'_, T> {
    type Value = ();
    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { items, capacity, at } = self;
        at.cx.take(&at.cx.items, "too many items in one frame")?;
        if items.is_empty() {
            items.reserve(capacity);
        }
        items.push(T::blank());
        match items.last_mut() {
            Some(into) => Fill { into, at }.deserialize(deserializer),
            None => Ok(()),
        }
    }
}

impl<T: Object> Wire for Option<Box<T>> {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, at: At<'_>) -> Result<(), D::Error> {
        input.deserialize_any(Boxed { into: self, at: at.deeper()? })
    }
}

struct Boxed<'a, T> {
    into: &'a mut Option<Box<T>>,
    at: At<'a>,
}

impl<'de, T: Object> Visitor<'de> for Boxed<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let into = self.into.insert(Box::new(T::blank()));
        Fill { into: &mut **into, at: self.at }.visit_map(map)
    }
}

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
}

/// An action must be there: null does not stand for one.
macro_rules! wire_action {
    ($($type:ty,)*) => {
        $(impl Wire for $type {
            #[inline]
            fn read<'de, D: Deserializer<'de>>(
                &mut self,
                input: D,
                _at: At<'_>,
            ) -> Result<(), D::Error> {
                let number = whole(input)?.ok_or_else(|| D::Error::custom("missing"))?;
                *self = Self::from_number(number);
                Ok(())
            }
        })*
    };
}

wire_action! { Action, PresenceAction, }

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
        at.cx.take(&at.cx.values, "too many values in one frame")?;
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
            _ => return Err(D::Error::custom("expected names and texts")),
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
