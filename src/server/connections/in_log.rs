//! Frames of a connection that are on their way through the log.

use crate::wire::ErrorInfo;
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// Frames on their way through the log, and the answers behind them. Answers go out in the order of
/// the frames: a client takes an answer for one of all earlier frames too.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct InLog {
    /// Number of records, also of earlier transports.
    frames: u32,
    answers: VecDeque<Answer>,
}

/// The answer to a frame.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) enum Answer {
    /// Not known yet: the frame with this message serial is in the log.
    Pending(i64),
    Ack(i64),
    /// Boxed, because most answers are none.
    Nack(i64, Box<ErrorInfo>),
}

impl InLog {
    pub(in crate::server) const fn frames(&self) -> u32 {
        self.frames
    }

    pub(in crate::server) fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    pub(in crate::server) fn answers(&self) -> usize {
        self.answers.len()
    }

    /// The answers are of no use without the transport.
    pub(super) fn without_answers(self) -> Self {
        Self { answers: VecDeque::new(), ..self }
    }

    /// A frame goes into the log.
    pub(in crate::server) fn enter(&mut self, msg_serial: i64) {
        self.frames += 1;
        self.answers.push_back(Answer::Pending(msg_serial));
    }

    /// An answer that has to wait for earlier ones.
    pub(in crate::server) fn push(&mut self, answer: Answer) {
        self.answers.push_back(answer);
    }

    /// A frame has come out of the log. Returns whether its answer is the next one; not if the frame
    /// came on an earlier transport.
    pub(in crate::server) fn leave(&mut self, msg_serial: i64) -> bool {
        self.frames = self.frames.saturating_sub(1);
        let is_next = self.answers.front() == Some(&Answer::Pending(msg_serial));
        if is_next {
            self.pop();
        }
        is_next
    }

    /// A frame is refused after all. Its answer keeps its place.
    pub(in crate::server) fn refuse(&mut self, msg_serial: i64, error: ErrorInfo) {
        self.frames = self.frames.saturating_sub(1);
        let pending = Answer::Pending(msg_serial);
        if let Some(answer) = self.answers.iter_mut().find(|answer| **answer == pending) {
            *answer = Answer::Nack(msg_serial, Box::new(error));
        }
    }

    /// The next answer, if it is known.
    pub(in crate::server) fn next(&mut self) -> Option<Answer> {
        match self.answers.front()? {
            Answer::Pending(_) => None,
            _ => self.pop(),
        }
    }

    /// Takes the first answer. An idle connection keeps no memory for answers.
    fn pop(&mut self) -> Option<Answer> {
        let answer = self.answers.pop_front();
        if self.answers.is_empty() {
            self.answers = VecDeque::new();
        }
        answer
    }

    /// All frames of the connection have come out of the log.
    pub(in crate::server) fn clear(&mut self) {
        *self = Self::default();
    }
}
