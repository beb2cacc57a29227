//! Word of the kernel that an address of this host has come or gone (rtnetlink(7)).

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The groups of news: IPv4 and IPv6 addresses (`RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`).
const GROUPS: u32 = 0x10 | 0x100;

/// Listens for changes of the host's addresses. What has changed is for the listener to look up.
pub(super) struct AddressChanges(AsyncFd<OwnedFd>);

impl AddressChanges {
    /// Listens from now on.
    ///
    /// # Errors
    /// Where the kernel or a container denies the socket. Must be called on a tokio runtime.
    pub(super) fn listen() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // The protocol of netlink that stands for none, 0, is `NETLINK_ROUTE`.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe to call, for types that do not own their descriptor"
        )]
        let watched = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Self(watched))
    }

    /// Waits for a change; several in a row are one.
    ///
    /// # Errors
    /// When the socket is of no use any more.
    pub(super) async fn next(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            if drain(ready.get_inner())? {
                return Ok(());
            }
            ready.clear_ready();
        }
    }
}

/// Takes all news off the socket; says whether there was any.
fn drain(socket: &OwnedFd) -> io::Result<bool> {
    let mut news = false;
    let mut buffer = [0; 4096];
    loop {
        match recv(socket, &mut buffer, RecvFlags::empty()) {
            Ok(_) => news = true,
            Err(Errno::WOULDBLOCK) => return Ok(news),
            // More news than the socket holds is news all the same.
            Err(Errno::NOBUFS) => news = true,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
