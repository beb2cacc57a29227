//! Bare quinn, tuned as Hearth is: mutual TLS, the same windows, packet size and socket buffers, one
//! stream per call; no messages, no limits, no roles.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use hearth_fabric::identity::Identity;
use hearth_fabric::quic::bind_socket;
use hearth_protocol::role::Role;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, EndpointConfig, MtuDiscoveryConfig, TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use tokio::task::JoinSet;

use super::{FanOut, IN_FLIGHT};
use crate::pki;

const MIB: u32 = 1 << 20;

pub(crate) async fn serve(dir: &Path, any: SocketAddr) -> Result<()> {
    let identity = Identity::load(&pki::folder(dir, Role::Worker))?;
    let verifier = WebPkiClientVerifier::builder(roots(&identity)?).build()?;
    let tls = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain().to_vec(), identity.key())?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport());
    let endpoint = endpoint(any, Some(config))?;
    let addr = endpoint.local_addr()?.to_string();
    let mut connections = JoinSet::new();
    let accept = async {
        while let Some(incoming) = endpoint.accept().await {
            connections.spawn(async move {
                let connection = incoming.await?;
                let mut calls = JoinSet::new();
                while let Ok((send, receive)) = connection.accept_bi().await {
                    while calls.try_join_next().is_some() {}
                    calls.spawn(answer(send, receive));
                }
                anyhow::Ok(())
            });
        }
    };
    tokio::select! {
        () = accept => Ok(()),
        ended = super::announce_until_closed(&addr) => ended,
    }
}

async fn answer(mut send: quinn::SendStream, mut receive: quinn::RecvStream) -> Result<()> {
    let mut wanted = [0; 8];
    receive.read_exact(&mut wanted).await?;
    let bytes = usize::try_from(u64::from_be_bytes(wanted))?;
    let mut reply = [Bytes::from_static(&[0; 32]), Bytes::from(vec![7; bytes])];
    send.write_all_chunks(&mut reply).await?;
    send.finish()?;
    Ok(())
}

pub(crate) struct Quinn {
    _endpoint: Endpoint,
    connections: Vec<Connection>,
}

impl Quinn {
    pub(crate) async fn connect(dir: &Path, addrs: &[String]) -> Result<Self> {
        let identity = Identity::load(&pki::folder(dir, Role::Coordinator))?;
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots(&identity)?)
            .with_client_auth_cert(identity.chain().to_vec(), identity.key())?;
        let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        config.transport_config(transport());
        let endpoint = endpoint(SocketAddr::from(([127, 0, 0, 1], 0)), None)?;
        let connect = |addr| {
            let connecting = endpoint.connect_with(config.clone(), addr, pki::HOST);
            async move { anyhow::Ok(connecting?.await?) }
        };
        let connections = try_join_all(super::parse(addrs)?.into_iter().map(connect)).await?;
        Ok(Self { _endpoint: endpoint, connections })
    }
}

async fn call(connection: &Connection, bytes: u64) -> Result<()> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(&bytes.to_be_bytes()).await?;
    send.finish()?;
    let mut body = BytesMut::with_capacity(usize::try_from(bytes)? + 32);
    while let Some(chunk) = receive.read_chunk(usize::MAX, true).await? {
        body.extend_from_slice(&chunk.bytes);
    }
    Ok(())
}

impl FanOut for Quinn {
    async fn call(&self, bytes: u64) -> Result<()> {
        try_join_all(self.connections.iter().map(|connection| call(connection, bytes))).await?;
        Ok(())
    }

    async fn pipelined(&self, calls: usize) -> Result<()> {
        let mut open = FuturesUnordered::new();
        for _ in 0..calls {
            if open.len() == IN_FLIGHT {
                open.next().await.context("a call is open")??;
            }
            open.push(call(&self.connections[0], 0));
        }
        while let Some(done) = open.next().await {
            done?;
        }
        Ok(())
    }
}

fn roots(identity: &Identity) -> Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for root in identity.roots() {
        roots.add(root.clone())?;
    }
    Ok(Arc::new(roots))
}

fn endpoint(addr: SocketAddr, server: Option<quinn::ServerConfig>) -> Result<Endpoint> {
    let (socket, _): (UdpSocket, _) = bind_socket(addr)?;
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(65_527)?;
    Ok(Endpoint::new(config, server, socket, Arc::new(quinn::TokioRuntime))?)
}

fn transport() -> Arc<TransportConfig> {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(6500);
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(256))
        .stream_receive_window(VarInt::from_u32(8 * MIB))
        .receive_window(VarInt::from_u32(96 * MIB))
        .send_window(u64::from(96 * MIB))
        .initial_mtu(6500)
        .mtu_discovery_config(Some(discovery));
    Arc::new(config)
}
