//! Accepting connections, within limits, until the process is told to stop.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tracing::{debug, warn};

/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const MAX_HEAD: usize = 32 << 10;
/// How long to wait when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves whoever connects, `most` at a time; more wait in the system's queue.
pub(crate) async fn serve(listener: TcpListener, router: Router, most: usize) {
    let free = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    connection(stream, router).await;
                    drop(permit);
                });
            }
            Err(failure) => {
                warn!("cannot accept: {failure}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    // Frames are small, and somebody waits for each.
    if let Err(failure) = stream.set_nodelay(true) {
        debug!("no TCP_NODELAY: {failure}");
    }
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
    if let Err(failure) = served {
        debug!("a connection ended: {failure}");
    }
}

/// Waits until the process is told to stop: SIGTERM, or Ctrl-C.
#[cfg(unix)]
pub(crate) async fn stop_signal() -> io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        pressed = tokio::signal::ctrl_c() => pressed.map(|()| "Ctrl-C"),
    }
}

/// Waits until the process is told to stop: Ctrl-C.
#[cfg(not(unix))]
pub(crate) async fn stop_signal() -> io::Result<&'static str> {
    tokio::signal::ctrl_c().await.map(|()| "Ctrl-C")
}
