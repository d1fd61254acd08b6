//! Tokens: request, use, rejection (RTC8, RTN14b, RTN15h, RTN22, RSA4).

use super::connection::TokenPurpose;
use super::{Client, ConnectionState, Misuse, Outbox, Output, Warning, errors};
use crate::wire::{Action, AuthDetails, ErrorInfo, ProtocolMessage};
use crate::{OpId, SmolStr, TransportId};
use alloc::boxed::Box;

impl Client {
    /// Authorizes with a new token of the application (RTC8).
    pub(super) fn authorize(&mut self, op: OpId, token: SmolStr, out: &mut Outbox) {
        self.use_token(token);
        self.connection.pending_authorize.push(op);
        match (self.connection.state, self.connection.connected_transport()) {
            (_, Some(transport)) => self.send_auth(transport, out),
            // RTC8b
            (ConnectionState::Connecting, None) => {
                self.close_transport(out);
                self.open_transport(out);
            }
            // RTC8c
            (ConnectionState::Closing, None) => {
                // These operations wait for the next connection: `connect` must not fail them.
                let pending_authorize = core::mem::take(&mut self.connection.pending_authorize);
                self.connect(out);
                self.connection.pending_authorize = pending_authorize;
            }
            (_, None) => self.connect(out),
        }
    }

    /// Handles the host's answer to `Output::TokenRequired`.
    pub(super) fn token_received(&mut self, result: Result<SmolStr, ErrorInfo>, out: &mut Outbox) {
        let Some(purpose) = self.connection.token_request.take() else {
            return out.push(Output::Misuse(Misuse::UnexpectedToken));
        };
        match result {
            Ok(token) => {
                self.use_token(token);
                match (purpose, self.connection.state, self.connection.transport) {
                    (TokenPurpose::Connect, ConnectionState::Connecting, None) => {
                        self.open_transport(out);
                    }
                    (TokenPurpose::Auth, ConnectionState::Connected, Some(transport)) => {
                        self.send_auth(transport, out);
                    }
                    // No longer required. Kept for the next attempt.
                    _ => {}
                }
            }
            // RSA4d
            Err(error) if error.status_code == 403 => {
                self.fail(errors::token_request_failed(error), out);
            }
            Err(error) => {
                let error = errors::token_request_failed(error);
                match (purpose, self.connection.state, self.connection.transport) {
                    // RSA4c2
                    (TokenPurpose::Connect, ConnectionState::Connecting, None) => {
                        self.attempt_failed(error, out);
                    }
                    // RSA4c3
                    _ => out.push(Output::Warning(Warning::TokenNotRenewed(error))),
                }
            }
        }
    }

    /// The server rejected the token of a connection attempt (RTN14b, RTN15c5).
    pub(super) fn token_rejected_connecting(&mut self, error: ErrorInfo, out: &mut Outbox) {
        if !self.options.token_renewable {
            return self.fail(errors::token_not_renewable().with_cause(error), out);
        }
        self.close_transport(out);
        self.connection.token_rejected = true;
        if self.connection.token_renewed {
            // One renewal before the next retry, which begins with a new token.
            return self.attempt_failed(error, out);
        }
        self.open_transport(out);
    }

    /// The server rejected the token of the established connection (RTN15h1, RTN15h2).
    pub(super) fn token_rejected_connected(&mut self, error: ErrorInfo, out: &mut Outbox) {
        if self.options.token_renewable {
            self.connection.token_rejected = true;
            self.close_transport(out);
            self.transport_lost(error, out);
        } else {
            self.fail(errors::token_not_renewable().with_cause(error), out);
        }
    }

    /// Handles AUTH: the server requests new credentials (RTN22).
    pub(super) fn auth_requested(&mut self, out: &mut Outbox) {
        if self.connection.state != ConnectionState::Connected {
            return;
        }
        if self.options.token_renewable {
            self.request_token(TokenPurpose::Auth, out);
        } else {
            let error = errors::token_not_renewable();
            out.push(Output::Warning(Warning::TokenNotRenewed(error)));
        }
    }

    /// Requests a token from the host, unless a request is pending.
    pub(super) fn request_token(&mut self, purpose: TokenPurpose, out: &mut Outbox) {
        if purpose == TokenPurpose::Connect {
            self.connection.token_renewed = true;
        }
        if self.connection.token_request.replace(purpose).is_none() {
            out.push(Output::TokenRequired);
        }
    }

    fn use_token(&mut self, token: SmolStr) {
        self.connection.token = Some(token);
        self.connection.token_rejected = false;
    }

    /// Sends AUTH with the current token (RTC8a).
    fn send_auth(&self, transport: TransportId, out: &mut Outbox) {
        let mut frame = ProtocolMessage::new(Action::Auth);
        let access_token = self.connection.token.clone();
        frame.auth = Some(Box::new(AuthDetails { access_token }));
        out.push(Output::send(transport, Box::new(frame)));
    }
}
