//! Accepting connections, within limits.

mod draining;
mod limits;
mod slots;
mod stream;

pub use limits::Times;

pub(crate) use draining::Draining;
pub(crate) use slots::{SPARE, Slots, admit};

use self::{slots::Slot, stream::Stream};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{pin::pin, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tower_http::add_extension::AddExtension;
use tracing::{debug, warn};

/// Bytes of a request's head.
const MAX_HEAD: usize = 32 << 10;
/// How long a client may take to send the head of a request if it has a spare slot.
const SPARE_TIME: Duration = Duration::from_secs(2);
/// How long to wait when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections within `slots`; more wait in the system's queue.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    slots: Slots,
    times: Times,
    draining: Draining,
) {
    while let Some(slot) = slots.take().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, slot, router.clone(), times, draining.clone()));
            }
            Err(failure) => {
                warn!("cannot accept: {failure}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    slot: Slot,
    router: Router,
    times: Times,
    draining: Draining,
) {
    // Frames are small, and somebody waits for each.
    if let Err(failure) = stream.set_nodelay(true) {
        debug!("no TCP_NODELAY: {failure}");
    }
    // One may have become free while this one waited for the connection.
    let is_regular = slot.become_regular();
    let stream = Stream::new(stream, times.write, slot.clone(), draining.open());
    let service = TowerToHyperService::new(AddExtension::new(router, slot));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // This is also for how long a connection may be idle.
        .header_read_timeout(if is_regular { times.request } else { SPARE_TIME.min(times.request) })
        .keep_alive(is_regular)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => Some(served),
        () = sleep(times.http) => None,
        () = draining.stopping() => None,
    };
    let served = match served {
        Some(served) => Ok(served),
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(times.request + times.write, connection).await
        }
    };
    match served {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => debug!("a connection ended: {failure}"),
        Err(_elapsed) => debug!("a connection ended: its last request took too long"),
    }
}
