//! The outputs of a server.

use presence_proto::server::{Frame, LeaveCause, Output, ServerEvent, output};
use presence_proto::wire::{Action, ErrorInfo, PresenceMessage, ProtocolMessage};

/// The outputs of one or more calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outputs {
    /// Pages of syncs, not encoded yet.
    pub(crate) pages: Vec<Frame>,
    /// The transport and the frame of everything that was sent.
    pub(crate) sent: Vec<(u64, ProtocolMessage)>,
    pub(crate) events: Vec<ServerEvent>,
    pub(crate) pings: Vec<u64>,
    pub(crate) closed: Vec<u64>,
    /// The other outputs.
    pub(crate) others: Vec<Output>,
    /// The number of frames; a broadcast counts once.
    pub(crate) frame_count: usize,
}

impl Outputs {
    pub(crate) fn add(&mut self, output: Output) {
        match output {
            Output::Send(output::Send { to, frame, .. }) => {
                self.frame_count += 1;
                assert_eq!(to.len(), to.iter().count());
                if frame.head().action == Action::Sync {
                    self.pages.push(frame.clone());
                }
                let frame = frame.into_message();
                self.sent.extend(to.iter().map(|to| (to.0, frame.clone())));
            }
            Output::Ping(output::Ping { transport, .. }) => self.pings.push(transport.0),
            Output::Close(output::Close { transport, .. }) => self.closed.push(transport.0),
            Output::Event(event) => self.events.push(event),
            other => self.others.push(other),
        }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.pages.extend(other.pages);
        self.sent.extend(other.sent);
        self.events.extend(other.events);
        self.pings.extend(other.pings);
        self.closed.extend(other.closed);
        self.others.extend(other.others);
        self.frame_count += other.frame_count;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frame_count == 0
            && self.events.is_empty()
            && self.pings.is_empty()
            && self.closed.is_empty()
            && self.others.is_empty()
    }

    /// The frames to a transport.
    pub(crate) fn frames(&self, transport: u64) -> Vec<&ProtocolMessage> {
        self.sent.iter().filter(|(to, _)| *to == transport).map(|(_, frame)| frame).collect()
    }

    /// The frames of an action to a transport.
    pub(crate) fn frames_of(&self, transport: u64, action: Action) -> Vec<&ProtocolMessage> {
        self.frames(transport).into_iter().filter(|frame| frame.action == action).collect()
    }

    /// The only frame of an action to a transport.
    pub(crate) fn frame_of(&self, transport: u64, action: Action) -> &ProtocolMessage {
        let frames = self.frames_of(transport, action);
        assert_eq!(frames.len(), 1, "{action:?}: {:?}", self.frames(transport));
        frames[0]
    }

    /// The items of the PRESENCE frames to a transport, with what they inherit from the frames.
    pub(crate) fn items(&self, transport: u64) -> Vec<PresenceMessage> {
        items(self.frames_of(transport, Action::Presence))
    }

    /// The same as `action client=data`.
    pub(crate) fn events_of(&self, transport: u64) -> Vec<String> {
        self.items(transport).iter().map(event).collect()
    }

    /// The items of the SYNC frames to a transport, as `client=data`.
    pub(crate) fn synced(&self, transport: u64) -> Vec<String> {
        items(self.frames_of(transport, Action::Sync)).iter().map(short).collect()
    }

    /// The error codes of the frames to a transport.
    pub(crate) fn error_codes(&self, transport: u64) -> Vec<u32> {
        self.frames(transport)
            .into_iter()
            .filter_map(|frame| frame.error.as_deref().map(|error: &ErrorInfo| error.code))
            .collect()
    }

    /// The causes of the leaves.
    pub(crate) fn leave_causes(&self) -> Vec<LeaveCause> {
        let cause = |event: &ServerEvent| match event {
            ServerEvent::MemberLeft(output::MemberLeft { cause, .. }) => Some(*cause),
            _ => None,
        };
        self.events.iter().filter_map(cause).collect()
    }
}

fn items(frames: Vec<&ProtocolMessage>) -> Vec<PresenceMessage> {
    let mut items = Vec::new();
    for frame in frames {
        let mut frame = frame.clone();
        frame.inherit();
        items.extend(frame.presence);
    }
    items
}

/// `client=data`
pub(crate) fn short(message: &PresenceMessage) -> String {
    let client_id = message.client_id.as_deref().unwrap_or("?");
    match message.data.as_ref().and_then(|data| data.as_str()) {
        Some(data) => format!("{client_id}={data}"),
        None => client_id.to_owned(),
    }
}

/// `action client=data`
pub(crate) fn event(message: &PresenceMessage) -> String {
    format!("{} {}", format!("{:?}", message.action).to_lowercase(), short(message))
}
