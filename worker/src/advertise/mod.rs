//! Under which addresses a worker can be reached, also once those of its host have changed.

mod changes;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::watch;

use crate::config::Advertise;
use changes::AddressChanges;

/// How long the host's addresses may take to settle: one that replaces another is not there at the
/// same time.
const SETTLING: Duration = Duration::from_millis(200);

/// The addresses to announce for a socket that is bound to `bound`, best first.
///
/// A socket on one address has that one. One on all of them has the host's own, those that other
/// hosts can reach before loopback.
pub(crate) fn endpoints(advertise: Advertise, bound: SocketAddr) -> Vec<SocketAddr> {
    let port = bound.port();
    match advertise {
        Advertise::Addr(addr) => vec![addr],
        Advertise::Ip(ip) => vec![SocketAddr::new(ip, port)],
        Advertise::Auto if !bound.ip().is_unspecified() => vec![bound],
        Advertise::Auto => {
            let mut ips = host_addresses(bound);
            ips.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6()));
            ips.dedup();
            ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
        }
    }
}

/// Keeps `endpoints` up to date for a worker that announces the host's own addresses, whatever they
/// are. Where they can't change, or nobody tells, it ends at once.
pub(crate) async fn follow(
    advertise: Advertise,
    bound: SocketAddr,
    endpoints: &watch::Sender<Vec<SocketAddr>>,
) {
    if advertise != Advertise::Auto || !bound.ip().is_unspecified() {
        return;
    }
    let followed = async {
        let mut changes = AddressChanges::listen()?;
        loop {
            changes.next().await?;
            tokio::time::sleep(SETTLING).await;
            let now = self::endpoints(advertise, bound);
            endpoints.send_if_modified(|known| {
                // A host without any address, not even loopback's, can announce nothing anyway.
                let changed = !now.is_empty() && *known != now;
                if changed {
                    tracing::info!(from = ?known, to = ?now, "the host's addresses have changed");
                    *known = now;
                }
                changed
            });
        }
    };
    let Err::<Infallible, io::Error>(error) = followed.await;
    tracing::warn!(
        %error,
        "changes of the host's addresses are not seen: after one, start the worker again"
    );
}

fn host_addresses(bound: SocketAddr) -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "the host's addresses can't be listed: set worker.advertise");
        Vec::new()
    });
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        // A link-local address means nothing without its interface.
        IpAddr::V6(ip) => bound.is_ipv6() && !ip.is_unicast_link_local(),
    };
    interfaces.into_iter().map(|interface| interface.ip()).filter(usable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_address_is_announced_as_it_is() {
        let bound: SocketAddr = "127.0.0.1:5".parse().unwrap();
        assert_eq!(endpoints(Advertise::Auto, bound), [bound]);
        let ip = "10.0.0.1".parse().unwrap();
        assert_eq!(endpoints(Advertise::Ip(ip), bound), [SocketAddr::new(ip, 5)]);
    }

    #[test]
    fn loopback_comes_last() {
        let all = endpoints(Advertise::Auto, "0.0.0.0:5".parse().unwrap());
        let first_loopback = all.iter().position(|addr| addr.ip().is_loopback());
        let last_other = all.iter().rposition(|addr| !addr.ip().is_loopback());
        assert!(first_loopback.is_some() && first_loopback > last_other, "{all:?}");
    }
}
