//! A UDP socket that is woken for what comes in alone.
//!
//! Tokio's own socket also watches for room to send. Each datagram that leaves makes room, so that
//! every send would wake the thread that waits for events, for nothing. Room is watched for here
//! only while there is none.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

#[derive(Debug)]
pub(super) struct Socket {
    io: AsyncFd<UdpSocket>,
    state: UdpSocketState,
    /// The last send found no room, and nobody has found any since.
    full: AtomicBool,
}

impl Socket {
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        socket.set_nonblocking(true)?;
        Ok(Self { io: watch(socket, Interest::READABLE)?, state, full: AtomicBool::new(false) })
    }
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe to call, for types that do not own their descriptor; these do"
)]
fn watch<T: AsRawFd + Into<OwnedFd>>(descriptor: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(descriptor, interest)
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Room { socket: self, watched: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.state.send(self.io.get_ref().into(), transmit);
        if sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            self.full.store(true, Ordering::Release);
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut readable = ready!(self.io.poll_read_ready(cx))?;
            let received = self.state.recv(self.io.get_ref().into(), buffers, meta);
            match received {
                Err(error) if error.kind() == ErrorKind::WouldBlock => readable.clear_ready(),
                Ok(count) if count < buffers.len() => {
                    // All that was there. What comes later is an event of its own.
                    readable.clear_ready();
                    return Poll::Ready(Ok(count));
                }
                Ok(count) => return Poll::Ready(Ok(count)),
                // A datagram's, not the socket's: handed on, quinn would give the socket up.
                Err(error) => {
                    tracing::debug!(%error, "a datagram could not be received");
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// One sender's wait for room.
#[derive(Debug)]
struct Room {
    socket: Arc<Socket>,
    /// The same socket, watched for room while there is none.
    watched: Option<AsyncFd<OwnedFd>>,
}

impl UdpPoller for Room {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, watched } = &mut *self;
        if watched.is_none() {
            if !socket.full.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
            let twin = socket.io.get_ref().as_fd().try_clone_to_owned();
            match twin.and_then(|twin| watch(twin, Interest::WRITABLE)) {
                Ok(twin) => *watched = Some(twin),
                // Out of descriptors: looks again after other tasks had their turn.
                Err(_) => {
                    socket.full.store(false, Ordering::Release);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        if let Some(twin) = watched {
            drop(ready!(twin.poll_write_ready(cx))?);
        }
        *watched = None;
        socket.full.store(false, Ordering::Release);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    #[tokio::test]
    async fn a_full_socket_is_waited_for_and_found_to_have_room_again() {
        let socket = Arc::new(Socket::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap());
        let mut room = Arc::clone(&socket).create_io_poller();
        poll_fn(|cx| room.as_mut().poll_writable(cx)).await.unwrap();
        // As after a send that found no room: the kernel says that there is some.
        socket.full.store(true, Ordering::Release);
        let found = poll_fn(|cx| room.as_mut().poll_writable(cx));
        tokio::time::timeout(Duration::from_secs(10), found).await.unwrap().unwrap();
        assert!(!socket.full.load(Ordering::Acquire));
    }
}
