//! A UDP socket that is woken for what comes in alone.
//!
//! Tokio's own socket also watches for room to send. Each datagram that leaves makes room, so that
//! every send would wake the thread that waits for events, for nothing. Room is watched for here
//! only while there is none.

use std::fmt;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
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
    /// What those that wait for room share; it goes with the last of them.
    waited_for: Mutex<Weak<Twin>>,
}

/// The same socket under another descriptor, watched for room.
type Twin = AsyncFd<OwnedFd>;

impl Socket {
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        socket.set_nonblocking(true)?;
        let io = watch(socket, Interest::READABLE)?;
        Ok(Self { io, state, full: AtomicBool::new(false), waited_for: Mutex::default() })
    }

    /// The twin that others wait on already, or a new one.
    fn twin(&self) -> io::Result<Arc<Twin>> {
        let mut shared = self.waited_for.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(twin) = shared.upgrade() {
            return Ok(twin);
        }
        let twin = self.io.get_ref().as_fd().try_clone_to_owned()?;
        let twin = Arc::new(watch(twin, Interest::WRITABLE)?);
        *shared = Arc::downgrade(&twin);
        Ok(twin)
    }

    /// Room was found, and all that wait on this twin are woken. It would go on saying so: who finds
    /// the socket full from now on waits on another one.
    fn retire(&self, twin: &Arc<Twin>) {
        let mut shared = self.waited_for.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.as_ptr() == Arc::as_ptr(twin) {
            *shared = Weak::new();
            self.full.store(false, Ordering::Release);
        }
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
        Box::pin(Room { socket: self, wait: None })
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
struct Room {
    socket: Arc<Socket>,
    /// Under way while there is none.
    wait: Option<Wait>,
}

type Wait = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

impl UdpPoller for Room {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, wait } = &mut *self;
        let waiting = match wait {
            Some(waiting) => waiting,
            None if !socket.full.load(Ordering::Acquire) => return Poll::Ready(Ok(())),
            None => match socket.twin() {
                Ok(twin) => wait.insert(Box::pin(found(Arc::clone(socket), twin))),
                // Out of descriptors: looks again after other tasks had their turn.
                Err(_) => {
                    socket.full.store(false, Ordering::Release);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            },
        };
        let room = ready!(waiting.as_mut().poll(cx));
        *wait = None;
        Poll::Ready(room)
    }
}

/// Waits until there is room.
async fn found(socket: Arc<Socket>, twin: Arc<Twin>) -> io::Result<()> {
    drop(twin.writable().await?);
    socket.retire(&twin);
    Ok(())
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("waits", &self.wait.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use tokio::task::JoinSet;

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

    /// Fills a socket up, as a slow network does.
    fn fill(mut socket: &UnixStream) {
        while socket.write(&[0; 4096]).is_ok() {}
    }

    fn descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_senders_wait_with_one_descriptor_and_all_are_woken() {
        // A UDP socket over loopback is never full. Watching for room knows no kinds of sockets.
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let state = UdpSocketState::new(UdpSockRef::from(&udp)).unwrap();
        let filler = ours.try_clone().unwrap();
        let io = watch(UdpSocket::from(OwnedFd::from(ours)), Interest::READABLE).unwrap();
        let (full, waited_for) = (AtomicBool::new(false), Mutex::default());
        let socket = Arc::new(Socket { io, state, full, waited_for });

        for round in 0..3 {
            fill(&filler);
            socket.full.store(true, Ordering::Release);
            let before = descriptors();
            let mut senders = JoinSet::new();
            for _ in 0..200 {
                let mut room = Arc::clone(&socket).create_io_poller();
                senders.spawn(async move { poll_fn(|cx| room.as_mut().poll_writable(cx)).await });
            }
            let waiting = async {
                while socket.waited_for.lock().unwrap().strong_count() < 200 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
            let more = descriptors().saturating_sub(before);
            assert!(more < 20, "round {round}: {more} descriptors for 200 senders");
            assert!(senders.try_join_next().is_none());

            let mut buffer = [0; 65536];
            while theirs.read(&mut buffer).is_ok() {}
            let woken = async { while senders.join_next().await.is_some() {} };
            tokio::time::timeout(Duration::from_secs(10), woken).await.unwrap();
            assert_eq!(socket.waited_for.lock().unwrap().strong_count(), 0);
        }
    }
}
