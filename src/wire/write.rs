//! Encoding of frames: one description of each type, for both formats.

use super::{
    Action, AuthDetails, ConnectionDetails, Data, ErrorInfo, Message, Params, PresenceAction,
    PresenceMessage, ProtocolMessage, Value, text,
};
use crate::{SmolStr, UnixMillis};
use alloc::vec::Vec;

/// An estimate of the length of a frame, in bytes.
pub(super) fn estimate_len(frame: &ProtocolMessage) -> usize {
    let items = frame.presence.len().saturating_add(frame.messages.len());
    items.saturating_mul(192).saturating_add(192)
}

/// A writer of a format.
pub(super) trait Writer {
    /// The start of an object.
    type Mark;
    fn begin(&mut self) -> Self::Mark;
    /// The name of the field with this number.
    fn key(&mut self, number: u32, key: Key);
    /// Like [`key`](Self::key), for names known at run time only.
    fn dynamic_key(&mut self, number: u32, name: &str);
    fn end(&mut self, mark: Self::Mark, fields: u32);
    /// A list of `len` items.
    fn list<T>(
        &mut self,
        len: usize,
        items: impl Iterator<Item = T>,
        write: impl FnMut(&mut Self, T),
    );
    fn str(&mut self, text: &str);
    /// The id `connectionId:serial:index`.
    fn id(&mut self, connection_id: &str, serial: i64, index: u32);
    fn int(&mut self, number: i64);
    fn uint(&mut self, number: u64);
    fn value(&mut self, value: &Value);
    /// Writes bytes. `true` if they were encoded as base64 text.
    fn bytes(&mut self, bytes: &[u8]) -> bool;
}

/// The name of a field, encoded for both formats.
#[derive(Clone, Copy)]
pub(super) struct Key {
    /// `,"name":`
    json: &'static [u8],
    /// The name after its header.
    message_pack: &'static [u8],
}

macro_rules! key {
    ($name:literal) => {
        const {
            const NAME: [u8; $name.len() + 1] = fixstr($name);
            Key { json: concat!(",\"", $name, "\":").as_bytes(), message_pack: &NAME }
        }
    };
}

/// A MessagePack `fixstr`.
const fn fixstr<const LEN: usize>(name: &str) -> [u8; LEN] {
    assert!(LEN == name.len() + 1 && LEN <= 32, "the header has room for 31 bytes");
    let mut bytes = [0xa0 | name.len() as u8; LEN];
    let (_, tail) = bytes.split_at_mut(1);
    tail.copy_from_slice(name.as_bytes());
    bytes
}

/// An object under construction.
struct Object<'a, W: Writer> {
    writer: &'a mut W,
    mark: W::Mark,
    fields: u32,
}

impl<'a, W: Writer> Object<'a, W> {
    #[inline(always)]
    fn new(writer: &'a mut W) -> Self {
        Self { mark: writer.begin(), writer, fields: 0 }
    }

    #[inline(always)]
    fn field(&mut self, key: Key) -> &mut W {
        self.writer.key(self.fields, key);
        self.fields += 1;
        self.writer
    }

    fn dynamic_field(&mut self, name: &str) -> &mut W {
        self.writer.dynamic_key(self.fields, name);
        self.fields = self.fields.saturating_add(1);
        self.writer
    }

    /// Empty text is omitted, like null (RTL6i3).
    #[inline(always)]
    fn str(&mut self, key: Key, text: &Option<SmolStr>) {
        self.text(key, or_empty(text));
    }

    #[inline(always)]
    fn text(&mut self, key: Key, text: &str) {
        if !text.is_empty() {
            self.field(key).str(text);
        }
    }

    #[inline(always)]
    fn int(&mut self, key: Key, number: Option<i64>) {
        if let Some(number) = number {
            self.field(key).int(number);
        }
    }

    #[inline(always)]
    fn uint(&mut self, key: Key, number: Option<u64>) {
        if let Some(number) = number {
            self.field(key).uint(number);
        }
    }

    fn value(&mut self, key: Key, value: Option<&Value>) {
        if let Some(value) = value
            && !value.is_null()
        {
            self.field(key).value(value);
        }
    }

    /// Data and its encoding, including the step added by the format (RSL4c, RSL4d).
    #[inline(always)]
    fn data(&mut self, data: Option<&Data>, encoding: &str) {
        let step = match data {
            None => None,
            Some(Data::String(text)) => {
                self.field(key!("data")).str(text);
                None
            }
            Some(Data::Binary(bytes)) => self.field(key!("data")).bytes(bytes).then_some("base64"),
            Some(Data::Json(value)) => {
                self.field(key!("data")).str(&text::to_string(value));
                Some("json")
            }
        };
        match (encoding, step) {
            ("", None) => {}
            (encoding, None) => self.field(key!("encoding")).str(encoding),
            ("", Some(step)) => self.field(key!("encoding")).str(step),
            (encoding, Some(step)) => {
                self.field(key!("encoding")).str(&smol_str::format_smolstr!("{encoding}/{step}"));
            }
        }
    }

    #[inline(always)]
    fn end(self) {
        self.writer.end(self.mark, self.fields);
    }
}

/// A frame (TR4) with these presence items.
pub(super) fn frame<W: Writer, I: Item>(
    writer: &mut W,
    frame: &ProtocolMessage,
    items: impl ExactSizeIterator<Item = I>,
) {
    let ProtocolMessage {
        action,
        id,
        auth,
        channel,
        channel_serial,
        connection_id,
        connection_details,
        count,
        error: failure,
        flags,
        msg_serial,
        presence: _,
        messages,
        annotations,
        state,
        timestamp,
        params: channel_params,
        res,
    } = frame;
    let mut object = Object::new(writer);
    object.uint(key!("action"), Some(action.number().into()));
    object.uint(key!("flags"), flags.map(|flags| flags.bits()));
    object.str(key!("id"), id);
    match channel {
        // For a client that attached a channel with an empty name, the field distinguishes an error
        // of that channel from one of the connection.
        Some(name) if matches!(action, Action::Error) => object.field(key!("channel")).str(name),
        name => object.str(key!("channel"), name),
    }
    object.str(key!("channelSerial"), channel_serial);
    object.str(key!("connectionId"), connection_id);
    if let Some(details) = connection_details {
        connection_details_fields(object.field(key!("connectionDetails")), details);
    }
    object.int(key!("msgSerial"), *msg_serial);
    object.uint(key!("count"), count.map(u64::from));
    object.int(key!("timestamp"), timestamp.map(|at| at.as_millis()));
    if let Some(failure) = failure {
        error(object.field(key!("error")), failure);
    }
    if let Some(auth) = auth {
        auth_details(object.field(key!("auth")), auth);
    }
    if let Some(channel_params) = channel_params {
        params(object.field(key!("params")), channel_params);
    }
    // Clients iterate over the list of the action without checking that it exists.
    if items.len() > 0 || matches!(action, Action::Presence | Action::Sync) {
        object.field(key!("presence")).list(items.len(), items, |writer, one| item(writer, one));
    }
    if !messages.is_empty() || matches!(action, Action::Message) {
        object.field(key!("messages")).list(messages.len(), messages.iter(), message);
    }
    object.value(key!("annotations"), annotations.as_deref());
    object.value(key!("state"), state.as_deref());
    object.value(key!("res"), res.as_deref());
    object.end();
}

/// A list of presence messages without a frame.
pub(super) fn presence_list<W: Writer>(writer: &mut W, items: &[PresenceMessage]) {
    writer.list(items.len(), items.iter(), item);
}

/// The source of an encoded presence message (TP3): a message or a member. Empty text is omitted.
pub(crate) trait Item {
    fn action(&self) -> PresenceAction;
    fn id(&self) -> Id<'_>;
    fn client_id(&self) -> &str;
    fn connection_id(&self) -> &str;
    fn timestamp(&self) -> Option<UnixMillis>;
    fn data(&self) -> Option<&Data>;
    fn encoding(&self) -> &str;
    fn extras(&self) -> Option<&Value>;
}

/// The id of a presence message (TP3a).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Id<'a> {
    Text(&'a str),
    /// Serial and index of `connectionId:serial:index`, not formatted yet.
    Numbers(i64, u32),
}

impl Item for &PresenceMessage {
    #[inline(always)]
    fn action(&self) -> PresenceAction {
        self.action
    }
    #[inline(always)]
    fn id(&self) -> Id<'_> {
        Id::Text(or_empty(&self.id))
    }
    #[inline(always)]
    fn client_id(&self) -> &str {
        or_empty(&self.client_id)
    }
    #[inline(always)]
    fn connection_id(&self) -> &str {
        or_empty(&self.connection_id)
    }
    #[inline(always)]
    fn timestamp(&self) -> Option<UnixMillis> {
        self.timestamp
    }
    #[inline(always)]
    fn data(&self) -> Option<&Data> {
        self.data.as_ref()
    }
    #[inline(always)]
    fn encoding(&self) -> &str {
        or_empty(&self.encoding)
    }
    #[inline(always)]
    fn extras(&self) -> Option<&Value> {
        self.extras.as_deref()
    }
}

#[inline(always)]
fn or_empty(text: &Option<SmolStr>) -> &str {
    text.as_deref().unwrap_or_default()
}

/// A presence message (TP3).
#[inline(always)]
fn item<W: Writer>(writer: &mut W, item: impl Item) {
    let mut object = Object::new(writer);
    object.uint(key!("action"), Some(item.action().number().into()));
    match item.id() {
        Id::Text(id) => object.text(key!("id"), id),
        Id::Numbers(serial, index) => {
            object.field(key!("id")).id(item.connection_id(), serial, index);
        }
    }
    object.text(key!("clientId"), item.client_id());
    object.text(key!("connectionId"), item.connection_id());
    object.int(key!("timestamp"), item.timestamp().map(|at| at.as_millis()));
    object.data(item.data(), item.encoding());
    object.value(key!("extras"), item.extras());
    object.end();
}

/// A message (TM2).
fn message<W: Writer>(writer: &mut W, item: &Message) {
    let Message { id, name, client_id, connection_id, data, encoding, timestamp, extras, other } =
        item;
    let mut object = Object::new(writer);
    object.str(key!("id"), id);
    object.str(key!("name"), name);
    object.str(key!("clientId"), client_id);
    object.str(key!("connectionId"), connection_id);
    object.int(key!("timestamp"), timestamp.map(|at| at.as_millis()));
    object.data(data.as_ref(), or_empty(encoding));
    object.value(key!("extras"), extras.as_deref());
    for (name, value) in other.iter() {
        object.dynamic_field(name).value(value);
    }
    object.end();
}

/// An error (TI1).
fn error<W: Writer>(writer: &mut W, failure: &ErrorInfo) {
    let ErrorInfo { code, status_code, message, href, cause, request_id, detail } = failure;
    let mut object = Object::new(writer);
    // Always present: SDKs reject an error without one of these three.
    object.field(key!("message")).str(message);
    object.uint(key!("code"), Some((*code).into()));
    object.uint(key!("statusCode"), Some((*status_code).into()));
    object.str(key!("href"), href);
    if let Some(cause) = cause {
        error(object.field(key!("cause")), cause);
    }
    object.str(key!("requestId"), request_id);
    if !detail.is_empty() {
        params(object.field(key!("detail")), detail);
    }
    object.end();
}

/// Connection details (CD2).
fn connection_details_fields<W: Writer>(writer: &mut W, details: &ConnectionDetails) {
    let ConnectionDetails {
        client_id,
        connection_key,
        max_message_size,
        max_frame_size,
        max_inbound_rate,
        connection_state_ttl,
        max_idle_interval,
        server_id,
        site_code,
        objects_gc_grace_period,
    } = details;
    let mut object = Object::new(writer);
    object.str(key!("clientId"), client_id);
    object.str(key!("connectionKey"), connection_key);
    object.uint(key!("maxMessageSize"), *max_message_size);
    object.uint(key!("maxFrameSize"), *max_frame_size);
    object.uint(key!("maxInboundRate"), *max_inbound_rate);
    object.uint(key!("connectionStateTtl"), *connection_state_ttl);
    object.uint(key!("maxIdleInterval"), *max_idle_interval);
    object.str(key!("serverId"), server_id);
    object.str(key!("siteCode"), site_code);
    object.uint(key!("objectsGCGracePeriod"), *objects_gc_grace_period);
    object.end();
}

/// Credentials (AD2).
fn auth_details<W: Writer>(writer: &mut W, auth: &AuthDetails) {
    let AuthDetails { access_token } = auth;
    let mut object = Object::new(writer);
    object.str(key!("accessToken"), access_token);
    object.end();
}

/// Names and text values.
fn params<W: Writer>(writer: &mut W, params: &Params) {
    let mut object = Object::new(writer);
    for (name, value) in params {
        object.dynamic_field(name).str(value);
    }
    object.end();
}

/// Writes JSON.
pub(super) struct Json<'a>(pub(super) &'a mut Vec<u8>);

impl Writer for Json<'_> {
    type Mark = ();

    #[inline]
    fn begin(&mut self) {
        self.0.push(b'{');
    }

    #[inline]
    fn key(&mut self, number: u32, key: Key) {
        // The literal starts with a comma, which the first field omits.
        let skip = usize::from(number == 0);
        self.0.extend_from_slice(key.json.get(skip..).unwrap_or_default());
    }

    fn dynamic_key(&mut self, number: u32, name: &str) {
        if number > 0 {
            self.0.push(b',');
        }
        text::write_str(self.0, name);
        self.0.push(b':');
    }

    #[inline]
    fn end(&mut self, (): (), _fields: u32) {
        self.0.push(b'}');
    }

    #[inline(always)]
    fn list<T>(
        &mut self,
        _len: usize,
        items: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.0.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            write(self, item);
        }
        self.0.push(b']');
    }

    #[inline(always)]
    fn str(&mut self, text: &str) {
        text::write_str(self.0, text);
    }

    #[inline(always)]
    fn id(&mut self, connection_id: &str, serial: i64, index: u32) {
        text::write_id(self.0, connection_id, serial, index);
    }

    #[inline]
    fn int(&mut self, number: i64) {
        text::write_int(self.0, number);
    }

    #[inline]
    fn uint(&mut self, number: u64) {
        text::write_uint(self.0, number);
    }

    fn value(&mut self, value: &Value) {
        text::write_value(self.0, value);
    }

    fn bytes(&mut self, bytes: &[u8]) -> bool {
        text::write_base64(self.0, bytes);
        true
    }
}

/// Writes MessagePack. Numbers and lengths have minimal width, like in the JavaScript SDK.
pub(super) struct MessagePack<'a>(pub(super) &'a mut Vec<u8>);

impl MessagePack<'_> {
    /// A tag and a length of one, two or four bytes. The tags are consecutive.
    fn header(&mut self, tag8: Option<u8>, tag16: u8, len: usize) {
        // Nothing written here is as long as 4 GiB.
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        match (tag8, u8::try_from(len), u16::try_from(len)) {
            (Some(tag), Ok(len), _) => self.0.extend_from_slice(&[tag, len]),
            (_, _, Ok(len)) => {
                self.0.push(tag16);
                self.0.extend_from_slice(&len.to_be_bytes());
            }
            _ => {
                self.0.push(tag16 + 1);
                self.0.extend_from_slice(&len.to_be_bytes());
            }
        }
    }

    #[inline]
    fn str_header(&mut self, len: usize) {
        if len < 32 {
            self.0.push(0xa0 | len as u8);
        } else {
            self.header(Some(0xd9), 0xda, len);
        }
    }

    /// A number above 0x7f.
    fn large_uint(&mut self, number: u64) {
        let out = &mut *self.0;
        match number {
            ..0x100 => out.extend_from_slice(&[0xcc, number as u8]),
            0x100..0x1_0000 => {
                out.push(0xcd);
                out.extend_from_slice(&(number as u16).to_be_bytes());
            }
            0x1_0000..0x1_0000_0000 => {
                out.push(0xce);
                out.extend_from_slice(&(number as u32).to_be_bytes());
            }
            _ => {
                out.push(0xcf);
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }

    /// Ends a map of more than 15 fields. Rare: so one byte is reserved for the header, and the
    /// content is moved here.
    fn end_large(&mut self, mark: usize, fields: u32) {
        let mut header = Vec::with_capacity(5);
        MessagePack(&mut header).header(None, 0xde, fields as usize);
        self.0.splice(mark..=mark, header);
    }

    fn list_header(&mut self, len: usize) {
        match u8::try_from(len) {
            Ok(len @ 0..16) => self.0.push(0x90 | len),
            _ => self.header(None, 0xdc, len),
        }
    }
}

impl Writer for MessagePack<'_> {
    /// The position of the header.
    type Mark = usize;

    #[inline]
    fn begin(&mut self) -> usize {
        self.0.push(0x80);
        self.0.len() - 1
    }

    #[inline]
    fn key(&mut self, _number: u32, key: Key) {
        self.0.extend_from_slice(key.message_pack);
    }

    fn dynamic_key(&mut self, _number: u32, name: &str) {
        self.str(name);
    }

    #[inline(always)]
    fn end(&mut self, mark: usize, fields: u32) {
        if fields < 16 {
            if let Some(header) = self.0.get_mut(mark) {
                *header = 0x80 | fields as u8;
            }
        } else {
            self.end_large(mark, fields);
        }
    }

    #[inline(always)]
    fn list<T>(
        &mut self,
        len: usize,
        items: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.list_header(len);
        for item in items {
            write(self, item);
        }
    }

    #[inline]
    fn str(&mut self, text: &str) {
        self.str_header(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    #[inline(always)]
    fn id(&mut self, connection_id: &str, serial: i64, index: u32) {
        let digits = text::digits(serial) + text::digits(index.into());
        self.str_header(connection_id.len() + digits + 2);
        self.0.extend_from_slice(connection_id.as_bytes());
        self.0.push(b':');
        text::write_int(self.0, serial);
        self.0.push(b':');
        text::write_int(self.0, index.into());
    }

    #[inline]
    fn int(&mut self, number: i64) {
        if let Ok(number) = u64::try_from(number) {
            return self.uint(number);
        }
        let out = &mut *self.0;
        match number {
            -32.. => out.push(number as u8),
            -0x80.. => out.extend_from_slice(&[0xd0, number as u8]),
            -0x8000.. => {
                out.push(0xd1);
                out.extend_from_slice(&(number as i16).to_be_bytes());
            }
            -0x8000_0000.. => {
                out.push(0xd2);
                out.extend_from_slice(&(number as i32).to_be_bytes());
            }
            _ => {
                out.push(0xd3);
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }

    #[inline]
    fn uint(&mut self, number: u64) {
        match number {
            0..0x80 => self.0.push(number as u8),
            _ => self.large_uint(number),
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.0.push(0xc0),
            Value::Bool(value) => self.0.push(0xc2 | u8::from(*value)),
            Value::Int(number) => self.int(*number),
            Value::UInt(number) => self.uint(*number),
            Value::Float(number) => {
                self.0.push(0xcb);
                self.0.extend_from_slice(&number.to_be_bytes());
            }
            Value::String(text) => self.str(text),
            Value::Binary(bytes) => {
                self.bytes(bytes);
            }
            Value::Array(items) => self.list(items.len(), items.iter(), Self::value),
            Value::Object(map) => {
                let mut object = Object::new(self);
                for (name, value) in map.iter() {
                    object.dynamic_field(name).value(value);
                }
                object.end();
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> bool {
        self.header(Some(0xc4), 0xc5, bytes.len());
        self.0.extend_from_slice(bytes);
        false
    }
}
