//! Objects (types with named fields), and lists of objects.

use super::{
    ReadInPlace, Seed,
    context::{Context, Cx, Segment},
};
use crate::SmolStr;
use crate::wire::{
    Action, AuthDetails, ConnectionDetails, Data, DecodeLimits, ErrorInfo, Items, Map, Message,
    PresenceAction, PresenceMessage, ProtocolMessage, Value, encoding,
};
use alloc::{boxed::Box, vec::Vec};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use core::{fmt, marker::PhantomData};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Decodes a frame into `into`.
pub(in crate::wire) fn frame<'de, D: Deserializer<'de>>(
    input: D,
    cx: &Context,
    into: &mut ProtocolMessage,
) -> Result<(), D::Error> {
    FillObject { into, cx: Cx { context: cx, depth: 0 } }.deserialize(input)
}

/// From any self-describing format, within the default [`DecodeLimits`] but for the length.
/// [`ProtocolMessage::decode`] is faster, and its errors say where the fault is.
impl<'de> Deserialize<'de> for ProtocolMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut message = Self::new(Action::Heartbeat);
        frame(deserializer, &Context::new(0, &DecodeLimits::default()), &mut message)?;
        Ok(message)
    }
}

/// A type with named fields.
trait Object: Sized {
    type Field: Copy;
    /// The name of the type in errors.
    const WHAT: &'static str;
    /// The field that collects unknown fields. If `None`, they are ignored (RSF1).
    const UNKNOWN_FIELDS: Option<fn(&mut Self) -> &mut Map> = None;

    fn empty() -> Self;
    fn field(name: &[u8]) -> Option<Self::Field>;
    fn name(field: Self::Field) -> &'static str;
    /// The bit of a field in a set of fields.
    fn bit(field: Self::Field) -> u32;
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        field: Self::Field,
        map: &mut A,
        cx: Cx<'_>,
    ) -> Result<(), A::Error>;
    /// Called after the last field.
    fn finish(&mut self) {}
}

/// Implements [`Object`]: the name in errors, the empty object, the fields by their names on the wire,
/// and additional items of the implementation.
macro_rules! object {
    ($type:ty, $what:literal, $empty:expr, { $($name:literal => $field:ident,)* } $($extra:tt)*) => {
        const _: () = {
            #[derive(Clone, Copy)]
            #[allow(non_camel_case_types, reason = "named as the fields are")]
            enum Field { $($field,)* }

            impl Object for $type {
                type Field = Field;
                const WHAT: &'static str = $what;

                #[inline]
                fn empty() -> Self {
                    $empty
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
                    cx: Cx<'_>,
                ) -> Result<(), A::Error> {
                    match field {
                        $(Field::$field => {
                            map.next_value_seed(Seed { into: &mut self.$field, cx })
                        })*
                    }
                }

                $($extra)*
            }
        };
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
    fn finish(&mut self) {
        canonicalize(&mut self.data, &mut self.encoding);
    }
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
    const UNKNOWN_FIELDS: Option<fn(&mut Self) -> &mut Map> = Some(|message| &mut message.other);

    fn finish(&mut self) {
        canonicalize(&mut self.data, &mut self.encoding);
    }
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

/// Converts data to its canonical form in memory: base64 text becomes bytes, and bare JSON becomes
/// text with the encoding `json`.
#[inline]
fn canonicalize(data: &mut Option<Data>, steps: &mut Option<SmolStr>) {
    match (&*data, &*steps) {
        (Some(Data::String(text)), Some(chain)) => {
            let Some(inner) = chain.strip_suffix("base64") else { return };
            let inner = match inner.strip_suffix('/') {
                Some(inner) => Some(SmolStr::new(inner)),
                None if inner.is_empty() => None,
                None => return,
            };
            // Strict: encoding it again must give the same text.
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
struct FillObject<'a, T> {
    into: &'a mut T,
    cx: Cx<'a>,
}

impl<'de, T: Object> DeserializeSeed<'de> for FillObject<'_, T> {
    type Value = ();
    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Object> Visitor<'de> for FillObject<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { into, cx } = self;
        let mut present = 0;
        while let Some(key) = map.next_key_seed(FieldKey::<T>(PhantomData))? {
            match (key, T::UNKNOWN_FIELDS) {
                (Ok(field), _) => {
                    let bit = T::bit(field);
                    let result = if present & bit == 0 {
                        into.read(field, &mut map, cx)
                    } else {
                        Err(A::Error::custom("came twice"))
                    };
                    if let Err(error) = result {
                        cx.context.push_path(Segment::Field(T::name(field)));
                        return Err(error);
                    }
                    present |= bit;
                }
                (Err(name), Some(unknown_fields)) => {
                    let mut value = Value::Null;
                    if let Err(error) = map.next_value_seed(Seed { into: &mut value, cx }) {
                        cx.context.push_path(Segment::Name(name));
                        return Err(error);
                    }
                    unknown_fields(into).push(name, value);
                }
                (Err(_), None) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        into.finish();
        Ok(())
    }
}

/// The field with a name. For an unknown field the name, if the type collects unknown fields.
struct FieldKey<T>(PhantomData<T>);

impl<T: Object> FieldKey<T> {
    fn keep(name: &str) -> SmolStr {
        if T::UNKNOWN_FIELDS.is_some() { SmolStr::new(name) } else { SmolStr::default() }
    }
}

impl<'de, T: Object> DeserializeSeed<'de> for FieldKey<T> {
    type Value = Result<T::Field, SmolStr>;
    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<T: Object> Visitor<'_> for FieldKey<T> {
    type Value = Result<T::Field, SmolStr>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    #[inline]
    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(T::field(name.as_bytes()).ok_or_else(|| Self::keep(name)))
    }

    #[inline]
    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        if let Some(field) = T::field(name) {
            return Ok(Ok(field));
        }
        let name = core::str::from_utf8(name).map_err(|_| E::custom("invalid UTF-8 in a name"))?;
        Ok(Err(Self::keep(name)))
    }
}

/// A list of objects.
trait List {
    type Item: Object;
    /// Appends an empty item. Reserves `capacity` when the list first allocates.
    fn append(&mut self, capacity: usize) -> Option<&mut Self::Item>;
}

impl<T: Object> List for Vec<T> {
    type Item = T;
    #[inline]
    fn append(&mut self, capacity: usize) -> Option<&mut T> {
        if self.is_empty() {
            self.reserve(capacity);
        }
        self.push(T::empty());
        self.last_mut()
    }
}

impl<T: Object> List for Items<T> {
    type Item = T;
    #[inline]
    fn append(&mut self, capacity: usize) -> Option<&mut T> {
        // The first item is inline.
        if self.len() == 1 {
            self.reserve(capacity);
        }
        self.push(T::empty());
        self.last_mut()
    }
}

impl<L: List> ReadInPlace for L {
    #[inline]
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, cx: Cx<'_>) -> Result<(), D::Error> {
        input.deserialize_any(FillList { into: self, cx })
    }
}

/// Fills a list.
struct FillList<'a, L> {
    into: &'a mut L,
    cx: Cx<'a>,
}

impl<'de, L: List> Visitor<'de> for FillList<'_, L> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of which each is {}", L::Item::WHAT)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { into, cx } = self;
        // A declared length is not trusted: bounded by the estimate from the input.
        let capacity = seq.size_hint().unwrap_or(usize::MAX).min(cx.context.capacity_hint);
        for index in 0.. {
            match seq.next_element_seed(AppendItem { list: &mut *into, capacity, cx }) {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => {
                    cx.context.push_path(Segment::Index(index));
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Appends an item and fills it in place.
struct AppendItem<'a, L> {
    list: &'a mut L,
    capacity: usize,
    cx: Cx<'a>,
}

impl<'de, L: List> DeserializeSeed<'de> for AppendItem<'_, L> {
    type Value = ();
    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { list, capacity, cx } = self;
        cx.context.count_item()?;
        match list.append(capacity) {
            Some(into) => FillObject { into, cx }.deserialize(deserializer),
            None => Ok(()),
        }
    }
}

impl<T: Object> ReadInPlace for Option<Box<T>> {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, cx: Cx<'_>) -> Result<(), D::Error> {
        input.deserialize_any(FillBox { into: self, cx: cx.deeper()? })
    }
}

struct FillBox<'a, T> {
    into: &'a mut Option<Box<T>>,
    cx: Cx<'a>,
}

impl<'de, T: Object> Visitor<'de> for FillBox<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let into = self.into.insert(Box::new(T::empty()));
        FillObject { into: &mut **into, cx: self.cx }.visit_map(map)
    }
}
