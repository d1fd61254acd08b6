//! Writing frames, straight into bytes: one description of each type, two formats.

use super::{
    Action, AuthDetails, ConnectionDetails, Data, ErrorInfo, Message, Params, PresenceMessage,
    ProtocolMessage, Value, text,
};
use crate::SmolStr;
use alloc::vec::Vec;

/// About how many bytes a frame takes.
pub(super) fn estimate(frame: &ProtocolMessage) -> usize {
    let items = frame.presence.len().saturating_add(frame.messages.len());
    items.saturating_mul(192).saturating_add(192)
}

/// A format being written: what each shape looks like in bytes.
pub(super) trait Writer {
    /// Where an object began.
    type Mark;
    fn begin(&mut self) -> Self::Mark;
    /// The name of the field with this number.
    fn key(&mut self, number: u32, key: Key);
    /// As [`key`](Self::key), for names that come at run time.
    fn dynamic_key(&mut self, number: u32, name: &str);
    fn end(&mut self, mark: Self::Mark, fields: u32);
    fn list<T>(&mut self, items: &[T], write: impl FnMut(&mut Self, &T));
    fn str(&mut self, text: &str);
    fn int(&mut self, number: i64);
    fn uint(&mut self, number: u64);
    fn value(&mut self, value: &Value);
    /// Bytes, and whether they became base64 text.
    fn bytes(&mut self, bytes: &[u8]) -> bool;
}

/// The name of a field, as it stands in both formats.
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
            const NAME: [u8; $name.len() + 1] = headed($name);
            Key { json: concat!(",\"", $name, "\":").as_bytes(), message_pack: &NAME }
        }
    };
}

/// A short string of MessagePack.
const fn headed<const LEN: usize>(name: &str) -> [u8; LEN] {
    assert!(LEN == name.len() + 1 && LEN <= 32, "the header has room for 31 bytes");
    let mut bytes = [0xa0 | name.len() as u8; LEN];
    let (_, tail) = bytes.split_at_mut(1);
    tail.copy_from_slice(name.as_bytes());
    bytes
}

/// An object that is being written.
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

    fn dynamic(&mut self, name: &str) -> &mut W {
        self.writer.dynamic_key(self.fields, name);
        self.fields = self.fields.saturating_add(1);
        self.writer
    }

    /// Empty text is left out, as null is (RTL6i3).
    #[inline(always)]
    fn str(&mut self, key: Key, text: &Option<SmolStr>) {
        if let Some(text) = text
            && !text.is_empty()
        {
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

    /// Data and its encoding, with the step that writing it adds (RSL4c, RSL4d).
    #[inline(always)]
    fn data(&mut self, data: &Option<Data>, encoding: &Option<SmolStr>) {
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
        match (encoding.as_deref(), step) {
            (None | Some(""), None) => {}
            (Some(encoding), None) => self.field(key!("encoding")).str(encoding),
            (None | Some(""), Some(step)) => self.field(key!("encoding")).str(step),
            (Some(encoding), Some(step)) => {
                self.field(key!("encoding")).str(&smol_str::format_smolstr!("{encoding}/{step}"));
            }
        }
    }

    #[inline(always)]
    fn end(self) {
        self.writer.end(self.mark, self.fields);
    }
}

/// One frame (TR4).
pub(super) fn frame<W: Writer>(writer: &mut W, frame: &ProtocolMessage) {
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
        presence: items,
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
        // To clients that attached a channel without a name, an error of that channel and one of
        // the connection differ in this.
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
    // Clients iterate the list that the action is about without asking whether it is there.
    if !items.is_empty() || matches!(action, Action::Presence | Action::Sync) {
        object.field(key!("presence")).list(items, presence);
    }
    if !messages.is_empty() || matches!(action, Action::Message) {
        object.field(key!("messages")).list(messages, message);
    }
    object.value(key!("annotations"), annotations.as_deref());
    object.value(key!("state"), state.as_deref());
    object.value(key!("res"), res.as_deref());
    object.end();
}

/// Presence messages outside of a frame.
pub(super) fn presence_list<W: Writer>(writer: &mut W, items: &[PresenceMessage]) {
    writer.list(items, presence);
}

/// One presence message (TP3).
#[inline]
fn presence<W: Writer>(writer: &mut W, item: &PresenceMessage) {
    let PresenceMessage { action, id, client_id, connection_id, data, encoding, timestamp, extras } =
        item;
    let mut object = Object::new(writer);
    object.uint(key!("action"), Some(action.number().into()));
    object.str(key!("id"), id);
    object.str(key!("clientId"), client_id);
    object.str(key!("connectionId"), connection_id);
    object.int(key!("timestamp"), timestamp.map(|at| at.as_millis()));
    object.data(data, encoding);
    object.value(key!("extras"), extras.as_deref());
    object.end();
}

/// One message (TM2).
fn message<W: Writer>(writer: &mut W, item: &Message) {
    let Message { id, name, client_id, connection_id, data, encoding, timestamp, extras, other } =
        item;
    let mut object = Object::new(writer);
    object.str(key!("id"), id);
    object.str(key!("name"), name);
    object.str(key!("clientId"), client_id);
    object.str(key!("connectionId"), connection_id);
    object.int(key!("timestamp"), timestamp.map(|at| at.as_millis()));
    object.data(data, encoding);
    object.value(key!("extras"), extras.as_deref());
    for (name, value) in other.iter() {
        object.dynamic(name).value(value);
    }
    object.end();
}

/// An error (TI1).
fn error<W: Writer>(writer: &mut W, failure: &ErrorInfo) {
    let ErrorInfo { code, status_code, message, href, cause, request_id, detail } = failure;
    let mut object = Object::new(writer);
    // These three are always there: SDKs refuse an error that lacks one.
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

/// Details of a connection (CD2).
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

/// Names and texts.
fn params<W: Writer>(writer: &mut W, params: &Params) {
    let mut object = Object::new(writer);
    for (name, value) in params {
        object.dynamic(name).str(value);
    }
    object.end();
}

/// JSON.
pub(super) struct Json<'a>(pub(super) &'a mut Vec<u8>);

impl Writer for Json<'_> {
    type Mark = ();

    #[inline]
    fn begin(&mut self) {
        self.0.push(b'{');
    }

    #[inline]
    fn key(&mut self, number: u32, key: Key) {
        // The comma is a part of the literal; the first field goes without.
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

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.0.push(b'[');
        for (index, item) in items.iter().enumerate() {
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

    #[inline]
    fn int(&mut self, number: i64) {
        text::write_int(self.0, number);
    }

    #[inline]
    fn uint(&mut self, number: u64) {
        text::write_int(self.0, number);
    }

    fn value(&mut self, value: &Value) {
        text::write_value(self.0, value);
    }

    fn bytes(&mut self, bytes: &[u8]) -> bool {
        text::write_base64(self.0, bytes);
        true
    }
}

/// MessagePack. Numbers and lengths take the least bytes, as in the JavaScript SDK.
pub(super) struct MessagePack<'a>(pub(super) &'a mut Vec<u8>);

impl MessagePack<'_> {
    /// A tag and a length of one, two or four bytes. The tags follow each other.
    fn header(&mut self, tag8: Option<u8>, tag16: u8, len: usize) {
        // Nothing in memory that is written here is as long as 4 GiB.
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

    fn list_header(&mut self, len: usize) {
        match u8::try_from(len) {
            Ok(len @ 0..16) => self.0.push(0x90 | len),
            _ => self.header(None, 0xdc, len),
        }
    }
}

impl Writer for MessagePack<'_> {
    /// Where the header of the map is.
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

    #[inline]
    fn end(&mut self, mark: usize, fields: u32) {
        if fields < 16 {
            if let Some(header) = self.0.get_mut(mark) {
                *header = 0x80 | fields as u8;
            }
        } else {
            // Rare, so that the header is a byte by default and the rest moves up.
            let mut header = Vec::with_capacity(5);
            MessagePack(&mut header).header(None, 0xde, fields as usize);
            self.0.splice(mark..=mark, header);
        }
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.list_header(items.len());
        for item in items {
            write(self, item);
        }
    }

    #[inline]
    fn str(&mut self, text: &str) {
        let len = text.len();
        if len < 32 {
            self.0.push(0xa0 | len as u8);
        } else {
            self.header(Some(0xd9), 0xda, len);
        }
        self.0.extend_from_slice(text.as_bytes());
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
        let out = &mut *self.0;
        match number {
            0..0x80 => out.push(number as u8),
            0x80..0x100 => out.extend_from_slice(&[0xcc, number as u8]),
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
            Value::Array(items) => self.list(items, Self::value),
            Value::Object(map) => {
                let mut object = Object::new(self);
                for (name, value) in map.iter() {
                    object.dynamic(name).value(value);
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
