//! UDP sockets with buffers that a burst of a whole window fits into.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// Send and receive buffer that is asked for, in bytes.
pub const WANTED_BUFFER: usize = 8 << 20;

/// What the system granted, in bytes; less than asked for means `net.core.{r,w}mem_max` is low.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantedBuffers {
    /// For receiving.
    pub receive: usize,
    /// For sending.
    pub send: usize,
}

/// Binds a UDP socket with large buffers; an unspecified IPv6 address takes IPv4 as well.
///
/// # Errors
/// When the system refuses the address.
pub fn bind(addr: SocketAddr) -> io::Result<(UdpSocket, GrantedBuffers)> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // The system grants what it allows; too little costs throughput, not correctness.
    let _ = socket.set_recv_buffer_size(WANTED_BUFFER);
    let _ = socket.set_send_buffer_size(WANTED_BUFFER);
    socket.bind(&addr.into())?;
    // Linux reports twice what it grants, for its own bookkeeping.
    let granted = GrantedBuffers {
        receive: socket.recv_buffer_size()? / 2,
        send: socket.send_buffer_size()? / 2,
    };
    Ok((socket.into(), granted))
}
