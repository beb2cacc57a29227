//! A client that speaks QUIC and TLS as it should, and says whatever a test wants on its streams.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hearth_api::CallError;
use hearth_fabric::identity::Identity;
use hearth_protocol::codec;
use hearth_protocol::frame::{FrameHeader, FrameKind, HEADER_LEN};
use hearth_protocol::message::{Reply, Request};
use hearth_protocol::version::{ALPN, Hello, ProtocolRange};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, TransportConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use serde::Serialize;

/// How long a worker may take to answer anything, on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(15);

/// A certificate chain and its key; none for a client without.
pub(crate) type Credentials = Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>;

/// The credentials in a folder.
pub(crate) fn credentials(dir: &Path) -> Credentials {
    let identity = Identity::load(dir).expect("the fleet's certificate");
    Some((identity.chain().to_vec(), identity.key()))
}

/// A socket of its own with these credentials.
pub(crate) fn endpoint(credentials: Credentials) -> Endpoint {
    endpoint_at([127, 0, 0, 1], credentials)
}

/// The same at an address of this host.
pub(crate) fn endpoint_at(address: [u8; 4], credentials: Credentials) -> Endpoint {
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone));
    let mut tls = match credentials {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).expect("a certificate"),
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let tls = QuicClientConfig::try_from(tls).expect("a config");
    let mut config = ClientConfig::new(Arc::new(tls));
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_secs(1)));
    config.transport_config(Arc::new(transport));
    let mut endpoint = Endpoint::client((address, 0).into()).expect("a socket");
    endpoint.set_default_client_config(config);
    endpoint
}

/// Connects and greets as a client should.
pub(crate) async fn connect(endpoint: &Endpoint, addr: SocketAddr) -> Connection {
    greet(endpoint, addr, "hostile/1").await.expect("the worker lets this client in")
}

/// Connects, and greets under a name of one's own.
pub(crate) async fn greet(
    endpoint: &Endpoint,
    addr: SocketAddr,
    agent: &str,
) -> Result<Connection, String> {
    let made = async {
        let connecting = endpoint.connect(addr, "hearth").map_err(|e| e.to_string())?;
        let connection = connecting.await.map_err(|e| e.to_string())?;
        let protocol = ProtocolRange::OURS;
        let hello = Hello { protocol, agent: agent.to_owned(), capabilities: Vec::new() };
        let mut bytes = frame(FrameKind::Hello, &hello);
        bytes.extend(end());
        let (mut send, mut receive) = connection.open_bi().await.map_err(|e| e.to_string())?;
        send.write_all(&bytes).await.map_err(|e| e.to_string())?;
        let _ = send.finish();
        let welcome = receive.read_to_end(1 << 20).await.map_err(|e| e.to_string())?;
        match frames(&welcome).first() {
            Some((FrameKind::Welcome, _)) => Ok(connection),
            other => Err(format!("{other:?}")),
        }
    };
    tokio::time::timeout(LIMIT, made).await.map_err(|_| "no answer".to_owned())?
}

/// A structured frame.
pub(crate) fn frame<T: Serialize>(kind: FrameKind, message: &T) -> Vec<u8> {
    raw_frame(kind, &codec::encode(message).expect("within the limits"))
}

/// A frame of any payload.
pub(crate) fn raw_frame(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a test's payload");
    let mut bytes = FrameHeader::new(kind, len).encode().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// The frame that closes a message.
pub(crate) fn end() -> [u8; HEADER_LEN] {
    FrameHeader::new(FrameKind::End, 0).encode()
}

/// A request without arguments.
pub(crate) fn request(method: &str) -> Request {
    Request {
        id: "hostile".parse().expect("an id"),
        attempt: 0,
        incarnation: None,
        method: method.to_owned(),
        args: codec::EMPTY.to_vec().into(),
        deadline_ms: None,
        traceparent: None,
        attachments: Vec::new(),
    }
}

/// A whole message of a request without attachments.
pub(crate) fn message(request: &Request) -> Vec<u8> {
    let mut bytes = frame(FrameKind::Request, request);
    bytes.extend(end());
    bytes
}

/// Sends bytes on a stream of their own and finishes it; what the worker answers is to come.
pub(crate) async fn send(connection: &Connection, bytes: &[u8]) -> (SendStream, RecvStream) {
    let (mut send, receive) = connection.open_bi().await.expect("a stream");
    // A worker that has seen enough stops the stream, which is its right.
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    (send, receive)
}

/// The reply that comes on a stream, and how many bytes came in all.
pub(crate) async fn reply(mut receive: RecvStream) -> Result<(Reply, usize), String> {
    let all = tokio::time::timeout(LIMIT, receive.read_to_end(8 << 20)).await;
    let all = all.map_err(|_| "no answer".to_owned())?.map_err(|e| e.to_string())?;
    let reply = frames(&all).into_iter().find(|(kind, _)| *kind == FrameKind::Reply);
    let (_, payload) = reply.ok_or("no reply")?;
    Ok((codec::decode(&payload).map_err(|e| e.to_string())?, all.len()))
}

/// Sends a message and waits for the error that it is answered with.
pub(crate) async fn refusal(
    connection: &Connection,
    bytes: &[u8],
) -> Result<(CallError, usize), String> {
    let (_send, receive) = send(connection, bytes).await;
    let (reply, len) = reply(receive).await?;
    Ok((reply.error.ok_or("it was taken")?, len))
}

/// A message cut into its frames.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(FrameKind, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() {
        let header = FrameHeader::decode(*header).expect("a worker's frame");
        let (payload, rest) = rest.split_at(header.len as usize);
        found.push((header.kind, payload.to_vec()));
        bytes = rest;
    }
    found
}

/// Takes every worker's certificate: the test is about the worker's side.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
