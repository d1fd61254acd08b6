//! Recovery keys: continue a connection in another process (RTN16).

use crate::SmolStr;
use crate::wire::{Map, Value};
use alloc::vec::Vec;

/// A decoded recovery key (RTN16g).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RecoveryKey {
    pub(super) connection_key: SmolStr,
    pub(super) msg_serial: i64,
    /// Channel serials by channel name, of the channels that were attached.
    pub(super) channel_serials: Vec<(SmolStr, SmolStr)>,
}

impl RecoveryKey {
    /// Parses a key; `None` if it is malformed (RTN16f1).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let value = parse_json(text)?;
        let connection_key = SmolStr::from(value.get("connectionKey")?.as_str()?);
        let msg_serial = value.get("msgSerial")?.as_i64().filter(|&serial| serial >= 0)?;
        let mut channel_serials = Vec::new();
        if let Some(serials) = value.get("channelSerials").and_then(Value::as_object) {
            for (name, serial) in serials.iter() {
                channel_serials.push((SmolStr::from(name), SmolStr::from(serial.as_str()?)));
            }
        }
        (!connection_key.is_empty()).then_some(Self { connection_key, msg_serial, channel_serials })
    }

    /// Encodes the key in the protocol's format (RTN16g, RTN16g1).
    pub(super) fn into_text(self) -> SmolStr {
        let mut serials = Map::new();
        for (name, serial) in self.channel_serials {
            serials.push(name, serial.into());
        }
        let mut key = Map::new();
        key.insert("connectionKey", self.connection_key);
        key.insert("msgSerial", self.msg_serial);
        key.insert("channelSerials", serials);
        Value::from(key).to_json().into()
    }
}

#[cfg(feature = "json")]
fn parse_json(text: &str) -> Option<Value> {
    Value::parse_json(text).ok()
}

/// Recovery keys are JSON: without the feature none can be parsed.
#[cfg(not(feature = "json"))]
const fn parse_json(_: &str) -> Option<Value> {
    None
}
