//! Plain TCP: eight bytes say how many to send back. No encryption, no framing, one connection per
//! server: what the machine can do at best.

use std::net::SocketAddr;

use anyhow::Result;
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::{FanOut, IN_FLIGHT};

/// Bytes of an empty reply.
const EMPTY: u64 = 32;

pub(crate) async fn serve(any: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(any).await?;
    let addr = listener.local_addr()?.to_string();
    let mut connections = JoinSet::new();
    let accept = async {
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(answer(stream));
        }
    };
    tokio::select! {
        () = accept => Ok(()),
        ended = super::announce_until_closed(&addr) => ended,
    }
}

async fn answer(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut body = Vec::new();
    loop {
        let bytes = usize::try_from(stream.read_u64().await?)?;
        if body.len() < bytes {
            body.resize(bytes, 7);
        }
        stream.write_all(&body[..bytes]).await?;
    }
}

pub(crate) struct Tcp(Vec<Mutex<TcpStream>>);

impl Tcp {
    pub(crate) async fn connect(addrs: &[String]) -> Result<Self> {
        let connect = |addr: SocketAddr| async move {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            anyhow::Ok(Mutex::new(stream))
        };
        Ok(Self(try_join_all(super::parse(addrs)?.into_iter().map(connect)).await?))
    }
}

impl FanOut for Tcp {
    async fn call(&self, bytes: u64) -> Result<()> {
        let bytes = bytes.max(EMPTY);
        try_join_all(self.0.iter().map(|stream| async move {
            let mut stream = stream.lock().await;
            stream.write_u64(bytes).await?;
            let mut body = Vec::with_capacity(usize::try_from(bytes)?);
            (&mut *stream).take(bytes).read_to_end(&mut body).await?;
            anyhow::Ok(())
        }))
        .await?;
        Ok(())
    }

    async fn pipelined(&self, calls: usize) -> Result<()> {
        let mut stream = self.0[0].lock().await;
        let (mut read, mut write) = stream.split();
        let mut body = [0; EMPTY as usize];
        let (mut sent, mut received) = (0, 0);
        while received < calls {
            while sent < calls && sent - received < IN_FLIGHT {
                write.write_u64(EMPTY).await?;
                sent += 1;
            }
            read.read_exact(&mut body).await?;
            received += 1;
        }
        Ok(())
    }
}
