//! A TCP connection with a time limit for writes, and a close that does not lose the last bytes.
//!
//! The time limit applies to HTTP and WebSockets alike. The slot of the connection is held until the
//! socket is closed.

use super::slots::Slot;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    runtime::Handle,
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How long a peer may take to close its end after we have closed ours.
const LINGER: Duration = Duration::from_secs(2);

/// A connection's socket.
pub(crate) struct Stream {
    open: Option<Open>,
    /// Whether the peer may still be sending.
    linger: bool,
}

struct Open {
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    _slot: Slot,
    _tracked: TaskTrackerToken,
}

impl Stream {
    /// A socket whose peer may take nothing for as long as `patience`.
    pub(crate) fn new(
        stream: TcpStream,
        patience: Duration,
        slot: Slot,
        tracked: TaskTrackerToken,
    ) -> Self {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(patience));
        let open = Open { stream: Box::pin(stream), _slot: slot, _tracked: tracked };
        Self { open: Some(open), linger: true }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TimeoutStream<TcpStream>>> {
        // It is taken out only when this is dropped.
        let open = self.open.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(open.stream.as_mut())
    }

    fn seen<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.linger &= !matches!(result, Poll::Ready(Err(_)));
        result
    }
}

/// A socket that is closed while bytes of the peer wait in it, resets the connection, and with that
/// takes back what was written last: the reason why it ends. So it is kept until the peer has
/// closed, for a while.
impl Drop for Stream {
    fn drop(&mut self) {
        if self.linger
            && let Some(open) = self.open.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(linger(open));
        }
    }
}

async fn linger(mut open: Open) {
    let rest = async {
        open.stream.shutdown().await?;
        let mut rest = [0; 4096];
        while open.stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // A peer that does not close in time gets a reset.
    let _ = timeout(LINGER, rest).await;
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.stream()?.poll_read(context, buffer);
        if read.is_ready() && buffer.filled().len() == before && buffer.remaining() > 0 {
            self.linger = false;
        }
        self.seen(read)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(context, bytes);
        self.seen(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write_vectored(context, slices);
        self.seen(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream()?.poll_flush(context);
        self.seen(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = self.stream()?.poll_shutdown(context);
        self.seen(shut)
    }
}
