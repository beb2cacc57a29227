//! What quinn runs on: tokio's tasks, with sockets and timers that make fewer system calls.
//!
//! A small call is two datagrams. What tokio's own do besides, to be woken for room to send and to
//! set a timer anew for each packet, takes as long as the datagrams themselves.

mod socket;
mod timer;

use std::io;
use std::net::UdpSocket;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use quinn::{AsyncTimer, AsyncUdpSocket, TokioRuntime};

use self::socket::Socket;
use self::timer::Timer;

/// Tokio's tasks, with sockets and timers of ours.
#[derive(Debug)]
pub(super) struct Runtime;

impl quinn::Runtime for Runtime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer::new(at))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        TokioRuntime.spawn(future);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Socket::new(socket)?))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}
