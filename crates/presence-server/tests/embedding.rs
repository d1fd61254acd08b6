//! A program that embeds a node: its own authentication, its own store, and its own paths.

#![allow(clippy::std_instead_of_core, reason = "a program on std says std")]

use axum::{Router, routing::get};
use futures_util::{SinkExt, StreamExt};
use presence_server::{
    Authenticate, Credentials, EventStore, Grant, Node, Start, StoreError, StoredEvent,
    proto::{
        UnixMillis,
        server::{
            Capability, HistoryPage, HistoryQuery, Identity, Operations, ServerEvent, ServerOptions,
        },
        wire::{ErrorInfo, codes},
    },
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

const ENTERED: u64 = 14;

/// Sessions named `app/client`.
struct Sessions;

impl Authenticate for Sessions {
    async fn authenticate(&self, given: &Credentials, _: UnixMillis) -> Result<Grant, ErrorInfo> {
        // As a look-up elsewhere would.
        tokio::task::yield_now().await;
        match given {
            Credentials::Token(session) if session.contains('/') => {
                let (app, client) = session.split_once('/').unwrap_or_default();
                Ok(Grant::new(app, Identity::Client(client.into()), Capability::all()))
            }
            _ => Err(ErrorInfo::new(codes::INVALID_CREDENTIALS, 401, "No such session")),
        }
    }
}

/// Counts what it is given, until it fails.
#[derive(Clone, Default)]
struct Counting {
    stored: Arc<Mutex<Vec<String>>>,
    fails: Arc<AtomicBool>,
}

impl EventStore for Counting {
    fn start(&self, _: UnixMillis) -> Result<Start, StoreError> {
        Ok(Start::default())
    }

    fn append(&self, events: &[StoredEvent<'_>], _: UnixMillis) -> Result<(), StoreError> {
        if self.fails.load(Relaxed) {
            return Err("the disk is full".into());
        }
        let names =
            events.iter().map(|event| format!("{} {:?}", event.channel, event.message.action));
        self.stored.lock().unwrap().extend(names);
        Ok(())
    }

    fn history(&self, _: &str, _: &HistoryQuery) -> Result<HistoryPage, ErrorInfo> {
        Ok(HistoryPage::default())
    }
}

/// Serves the node and a path of the program's own, as a program does.
async fn serve(node: &Node) -> SocketAddr {
    let router = Router::new().route("/hello", get(|| async { "hello" })).merge(node.router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

struct Peer(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Peer {
    async fn open(address: SocketAddr, session: &str) -> Self {
        let url = format!("ws://{address}/?v=6&format=json&accessToken={session}");
        Self(connect_async(url).await.unwrap().0)
    }

    async fn send(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next frame with this action; none if the connection ends before.
    async fn next(&mut self, action: u64) -> Option<Value> {
        while let Some(Ok(message)) = self.0.next().await {
            let Message::Text(text) = message else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["action"] == action {
                return Some(frame);
            }
        }
        None
    }

    async fn enter(&mut self, channel: &str) {
        self.send(json!({ "action": 10, "channel": channel })).await;
        let presence = json!([{ "action": 2 }]);
        self.send(
            json!({ "action": ENTERED, "channel": channel, "msgSerial": 0, "presence": presence }),
        )
        .await;
    }
}

#[tokio::test]
async fn a_program_authenticates_reads_and_kicks() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::clone(&heard);
    let node = Node::builder(Sessions)
        .app("a", ServerOptions::default())
        .app("b", ServerOptions::default())
        .on_event(move |app, event| {
            if let ServerEvent::MemberEntered(entered) = event {
                events.lock().unwrap().push(format!("{app} {}", entered.channel));
            }
        })
        .start()
        .unwrap();
    let address = serve(&node).await;

    let mut ann = Peer::open(address, "a/ann").await;
    let connected = ann.next(4).await.unwrap();
    assert_eq!(connected["connectionDetails"]["clientId"], "ann");
    ann.enter("room").await;
    assert!(ann.next(1).await.is_some());
    assert_eq!(*heard.lock().unwrap(), ["a room"]);

    let members = |app: &str| {
        let app = node.app(app).unwrap().clone();
        async move { app.read(|server| server.occupancy("room").presence_members).await }
    };
    assert_eq!((members("a").await, members("b").await), (Ok(1), Ok(0)));
    node.app("a").unwrap().kick("room", Some("ann".into()), None);
    assert_eq!(members("a").await, Ok(0));

    let mut nobody = Peer::open(address, "nobody").await;
    let refused = nobody.next(9).await.unwrap();
    assert_eq!(refused["error"]["message"], "No such session");
    let mut elsewhere = Peer::open(address, "c/ann").await;
    assert_eq!(elsewhere.next(9).await.unwrap()["error"]["code"], 40101);
}

#[tokio::test]
async fn a_token_of_another_app_ends_the_connection() {
    let builder = Node::builder(Sessions).app("a", ServerOptions::default());
    let node = builder.app("b", ServerOptions::default()).start().unwrap();
    let mut ann = Peer::open(serve(&node).await, "a/ann").await;
    ann.next(4).await.unwrap();
    ann.send(json!({ "action": 17, "auth": { "accessToken": "a/ann" } })).await;
    assert!(ann.next(4).await.is_some());
    ann.send(json!({ "action": 17, "auth": { "accessToken": "b/ann" } })).await;
    assert_eq!(ann.next(9).await.unwrap()["error"]["code"], 40102);
}

/// Tokens that are verified when the test says so. Each allows one operation: its name.
#[derive(Clone)]
struct Slow {
    asked: Arc<Mutex<Vec<String>>>,
    answers: Arc<tokio::sync::Semaphore>,
}

impl Authenticate for Slow {
    async fn authenticate(&self, given: &Credentials, _: UnixMillis) -> Result<Grant, ErrorInfo> {
        let Credentials::Token(token) = given else {
            return Err(ErrorInfo::new(codes::INVALID_CREDENTIALS, 401, "No token"));
        };
        if token != "first" {
            self.asked.lock().unwrap().push(token.clone());
            self.answers.acquire().await.unwrap().forget();
        }
        let capability =
            Capability::none().allow("room", [Operations::named(token)].into_iter().collect());
        Ok(Grant::new("a", Identity::Client("ann".into()), capability))
    }
}

#[tokio::test]
async fn tokens_of_a_connection_are_verified_one_by_one_in_order() {
    let answers = Arc::new(tokio::sync::Semaphore::new(0));
    let sessions = Slow { asked: Arc::default(), answers };
    let node = Node::builder(sessions.clone()).app("a", ServerOptions::default()).start().unwrap();
    let mut ann = Peer::open(serve(&node).await, "first").await;
    ann.next(4).await.unwrap();
    let auth = |token: &str| json!({ "action": 17, "auth": { "accessToken": token } });
    ann.send(auth("subscribe")).await;
    ann.send(auth("presence")).await;
    // The core goes on meanwhile.
    ann.send(json!({ "action": 0, "id": "ping" })).await;
    assert!(ann.next(0).await.is_some());
    assert_eq!(*sessions.asked.lock().unwrap(), ["subscribe"]);
    for _ in 0..2 {
        sessions.answers.add_permits(1);
        ann.next(4).await.unwrap();
    }
    assert_eq!(*sessions.asked.lock().unwrap(), ["subscribe", "presence"]);
    // One is verified, eight wait; the tenth is one too many.
    for _ in 0..10 {
        ann.send(auth("presence")).await;
    }
    assert_eq!(ann.next(9).await.unwrap()["error"]["code"], 42920);
}

#[tokio::test]
async fn an_event_is_stored_before_it_is_acknowledged() {
    let store = Counting::default();
    let builder = Node::builder(Sessions);
    let node =
        builder.app_with_store("a", ServerOptions::default(), store.clone()).start().unwrap();
    let address = serve(&node).await;
    let mut ann = Peer::open(address, "a/ann").await;
    ann.enter("room").await;
    ann.next(1).await.unwrap();
    assert_eq!(*store.stored.lock().unwrap(), ["room Enter"]);

    store.fails.store(true, Relaxed);
    let mut bob = Peer::open(address, "a/bob").await;
    bob.enter("room").await;
    assert!(bob.next(1).await.is_none(), "nothing is acknowledged that is not stored");
    node.failed().await;
}

#[tokio::test]
async fn a_drain_ends_when_all_are_informed() {
    let node = Node::builder(Sessions).app("a", ServerOptions::default()).start().unwrap();
    let mut ann = Peer::open(serve(&node).await, "a/ann").await;
    ann.next(4).await.unwrap();
    let draining = node.clone();
    let drained = tokio::spawn(async move { draining.drain(std::time::Duration::ZERO).await });
    assert_eq!(ann.next(6).await.unwrap()["error"]["code"], 50003);
    assert!(ann.next(0).await.is_none());
    drained.await.unwrap();
    assert_eq!(node.uninformed(), 0);
}

#[tokio::test]
async fn there_is_no_page_and_there_are_no_metrics_unless_wanted() {
    let plain = Node::builder(Sessions).app("a", ServerOptions::default()).start().unwrap();
    let with_page =
        Node::builder(Sessions).app("a", ServerOptions::default()).page(None).start().unwrap();
    for (node, path, status) in [
        (&plain, "/", 404),
        (&plain, "/app.js", 404),
        (&plain, "/metrics", 403),
        (&plain, "/healthz", 200),
        (&plain, "/hello", 200),
        (&with_page, "/", 200),
        (&with_page, "/app.js", 200),
    ] {
        assert_eq!(status_of(serve(node).await, path).await, status, "{path}");
    }
}

async fn status_of(address: SocketAddr, path: &str) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response.split(' ').nth(1).unwrap().parse().unwrap()
}
