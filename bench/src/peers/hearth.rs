//! Hearth itself: real workers in their processes, a real external executor.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hearth_coordinator::{Engine, Exec, ExternalExecutor, ExternalOptions, RpcOptions};
use hearth_fabric::identity::Identity;
use hearth_fabric::quic::Settings;
use hearth_fabric::registry::{self, RegistryUrl};
use hearth_protocol::message::Attachment;
use hearth_protocol::role::Role;
use hearth_protocol::{CallError, Rank, codec};
use hearth_worker::methods::{Answer, Call};
use hearth_worker::{Config, Overrides, Worker};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{FanOut, IN_FLIGHT};
use crate::pki;

/// The method that the bench adds to its workers: a reply of so many bytes.
const REPLY: &str = "bench.reply";

#[derive(Serialize, Deserialize)]
struct ReplyArgs {
    bytes: u64,
}

pub(crate) async fn serve(dir: &Path, registry: &Path, id: &str) -> Result<()> {
    let file = registry.join(format!("{id}.toml"));
    let state = registry.join("state");
    // The model is never asked for, so it need not be there.
    let text = format!(
        "[worker]\nid = {id:?}\nlisten = \"127.0.0.1:0\"\nstate_dir = {state:?}\n\
         [models.none]\npath = \"/nonexistent\"\npreload = false\n\
         [registry]\nurl = \"dir:{}\"\n[tls]\ndir = {:?}\n[http]\nlisten = \"off\"\n",
        registry.join("registry").display(),
        pki::folder(dir, Role::Worker),
    );
    std::fs::write(&file, text)?;
    let mut worker = Worker::bind(Config::load(Some(&file), &Overrides::default())?).await?;
    worker.methods().register(REPLY, &Role::ALL, Arc::new(|call| Box::pin(reply(call))))?;
    let stop = CancellationToken::new();
    let owner = async {
        super::announce_until_closed(id).await?;
        stop.cancel();
        std::future::pending::<Result<()>>().await
    };
    tokio::select! {
        ended = worker.run(stop.clone(), stop.clone()) => Ok(ended?),
        ended = owner => ended,
    }
}

async fn reply(call: Call) -> Result<Answer, CallError> {
    let args: ReplyArgs = codec::decode(&call.request.args)
        .map_err(|error| CallError::invalid("args", "give bytes").caused_by(&error))?;
    let size = usize::try_from(args.bytes).unwrap_or(usize::MAX);
    let attachment = Attachment {
        name: "reply".to_owned(),
        media_type: "application/octet-stream".to_owned(),
        len: args.bytes,
        tensor: None,
    };
    let payload = vec![Bytes::from(vec![7; size])];
    Ok(Answer { value: Vec::new(), attachments: vec![attachment], payload })
}

pub(crate) struct Hearth {
    pub(crate) engine: Engine,
    workers: usize,
}

impl Hearth {
    pub(crate) async fn connect(dir: &Path, registry: &Path, workers: usize) -> Result<Self> {
        let url = format!("dir:{}", registry.join("registry").display());
        Self::connect_to(&pki::folder(dir, Role::Coordinator), &url, workers).await
    }

    pub(crate) async fn connect_to(pki: &Path, url: &str, workers: usize) -> Result<Self> {
        let url = RegistryUrl::parse(url)?;
        let executor = ExternalExecutor::start(ExternalOptions {
            registry: registry::open(&url, &registry::Settings::default())?,
            identity: Identity::load(pki)?.into(),
            agent: concat!("hearth-bench/", env!("CARGO_PKG_VERSION")).to_owned(),
            settings: Settings::default(),
            only: None,
        })?;
        let engine = Engine::new(Arc::new(executor));
        engine.wait_ready(workers, Duration::from_secs(60)).await?;
        Ok(Self { engine, workers })
    }

    async fn collective(&self, method: &str, args: Bytes, options: RpcOptions) -> Result<()> {
        let envelopes = self.engine.collective_raw(method, args, options).await?;
        if options.exec == Exec::All && envelopes.len() != self.workers {
            bail!("{} of {} workers answered", envelopes.len(), self.workers);
        }
        for envelope in envelopes {
            envelope.outcome.with_context(|| format!("{} failed", envelope.worker))?;
        }
        Ok(())
    }
}

impl FanOut for Hearth {
    async fn call(&self, bytes: u64) -> Result<()> {
        let options = RpcOptions::default();
        if bytes == 0 {
            return self.collective("get_rank", Bytes::from_static(codec::EMPTY), options).await;
        }
        let args = codec::encode(&ReplyArgs { bytes })?;
        self.collective(REPLY, args.into(), options).await
    }

    async fn pipelined(&self, calls: usize) -> Result<()> {
        let options = RpcOptions { exec: Exec::Rank(Rank(0)), ..RpcOptions::default() };
        let call = || self.collective("get_rank", Bytes::from_static(codec::EMPTY), options);
        let mut open = FuturesUnordered::new();
        for _ in 0..calls {
            if open.len() == IN_FLIGHT {
                open.next().await.context("a call is open")??;
            }
            open.push(call());
        }
        while let Some(done) = open.next().await {
            done?;
        }
        Ok(())
    }
}
