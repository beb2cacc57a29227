//! The transport's bounds and timers, and why they have these values.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

/// What a stream may have in flight, in bytes: enough to fill a fast path.
const STREAM_WINDOW: u32 = 8 << 20;

/// Replies with bulk parts that a worker sends at once over one connection; more wait.
pub(super) const BULK_STREAMS: usize = 8;

/// What all streams of a connection may have in flight. Flow control does not know priorities: a
/// reserve beyond what the bulk streams can hold keeps control calls moving when every bulk reader
/// has stalled.
const CONNECTION_WINDOW: u32 = BULK_STREAMS as u32 * STREAM_WINDOW + RESERVE;
const RESERVE: u32 = 32 << 20;

/// The same for what callers send to a worker. Requests are small, and callers are many: what they
/// can make a worker hold must not be.
const REQUEST_STREAM_WINDOW: u32 = 2 << 20;
const REQUEST_WINDOW: u32 = 16 << 20;

/// Calls that a peer may have open at once.
const STREAMS: u32 = 256;

/// How slowly a message's bytes may come, in bytes a second on average, once the grace is over: memory
/// is reserved for what a message declares, and must not be held by one that hardly moves.
pub(super) const BODY_RATE: u32 = 64 << 10;
pub(super) const BODY_GRACE: Duration = Duration::from_secs(5);

/// Packet size on loopback, where it is known to fit. Ten such packets (quinn's batch for
/// segmentation offload) stay below the 64 KiB that one send takes.
const LOOPBACK_MTU: u16 = 6500;

/// Largest datagram that an endpoint accepts.
pub(super) const MAX_DATAGRAM: u16 = 65_527;

/// Timers that an operator may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How often an idle connection is tried.
    pub keep_alive: Duration,
    /// Silence after which a peer counts as lost.
    pub idle_timeout: Duration,
    /// Time that a connection may take to be made, greeting included.
    pub connect_timeout: Duration,
    /// Time from a stream's start until its request is whole, without attachments.
    pub request_timeout: Duration,
    /// Time that a message's attachments may take.
    pub payload_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(6),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(2),
            payload_timeout: Duration::from_secs(60),
        }
    }
}

/// Which end of a connection a transport is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Worker,
    Caller,
}

impl Settings {
    /// The transport for a connection to `peer`.
    pub(super) fn transport(&self, side: Side, peer: SocketAddr) -> Arc<TransportConfig> {
        let (stream_window, window) = match side {
            Side::Worker => (REQUEST_STREAM_WINDOW, REQUEST_WINDOW),
            Side::Caller => (STREAM_WINDOW, CONNECTION_WINDOW),
        };
        let mut config = TransportConfig::default();
        config
            .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .stream_receive_window(VarInt::from_u32(stream_window))
            .receive_window(VarInt::from_u32(window))
            .send_window(u64::from(CONNECTION_WINDOW))
            .keep_alive_interval(Some(self.keep_alive))
            .max_idle_timeout(IdleTimeout::try_from(self.idle_timeout).ok());
        if is_loopback(peer) {
            // Discovery stays on: should a relay drop such packets, the path falls back to 1200.
            let mut discovery = MtuDiscoveryConfig::default();
            discovery.upper_bound(LOOPBACK_MTU);
            config.initial_mtu(LOOPBACK_MTU).mtu_discovery_config(Some(discovery));
        }
        Arc::new(config)
    }
}

fn is_loopback(peer: SocketAddr) -> bool {
    match peer.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
        }
    }
}
