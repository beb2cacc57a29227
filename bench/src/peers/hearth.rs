//! Hearth itself: real workers in their processes, a real external executor.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hearth_api::{CallError, Rank};
use hearth_engine::{Engine, Exec, RpcOptions};
use hearth_fabric::identity::Identity;
use hearth_protocol::codec;
use hearth_protocol::message::Attachment;
use hearth_protocol::role::Role;
use hearth_worker::methods::{Answer, Call};
use hearth_worker::{Config, Overrides, Worker};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{FanOut, IN_FLIGHT};
use crate::children::Site;
use crate::pki;

/// The method that the bench adds to its workers: a reply of so many bytes.
const REPLY: &str = "bench.reply";

#[derive(Serialize, Deserialize)]
struct ReplyArgs {
    bytes: u64,
}

/// Runs workers of these names until the owner closes standard input; says the first one's name
/// when all listen.
pub(crate) async fn serve(place: &Site, ids: Vec<String>) -> Result<()> {
    let stop = CancellationToken::new();
    let mut workers = JoinSet::new();
    for id in &ids {
        workers.spawn(bind(place, id).await?.run(stop.clone(), stop.clone()));
    }
    let first = ids.first().context("a worker has a name")?;
    tokio::select! {
        Some(ended) = workers.join_next() => return Ok(ended??),
        said = super::announce_until_closed(first) => said?,
    }
    stop.cancel();
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(())
}

async fn bind(place: &Site, id: &str) -> Result<Worker> {
    let file = place.dir.join(format!("{id}.toml"));
    // The model is never asked for, so it need not be there.
    let text = format!(
        "[worker]\nid = {id:?}\nlisten = \"127.0.0.1:0\"\nstate_dir = {:?}\n\
         [models.none]\npath = \"/nonexistent\"\npreload = false\n\
         [registry]\nurl = {:?}\n[tls]\ndir = {:?}\n[http]\nlisten = \"off\"\n",
        place.dir.join("state"),
        place.registry,
        place.dir.join(id),
    );
    std::fs::write(&file, text)?;
    let mut worker = Worker::bind(Config::load(Some(&file), &Overrides::default())?).await?;
    worker.methods().register(REPLY, &Role::ALL, Arc::new(|call| Box::pin(reply(call))))?;
    Ok(worker)
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
    /// Connects to so many workers.
    pub(crate) async fn connect(place: &Site, workers: usize) -> Result<Self> {
        let hearth = Self::start(place, workers)?;
        hearth.engine.wait_ready(workers, Duration::from_secs(60)).await?;
        Ok(hearth)
    }

    /// Starts to connect to so many workers.
    pub(crate) fn start(place: &Site, workers: usize) -> Result<Self> {
        let pki = pki::folder(&place.dir, Role::Coordinator);
        let engine = Engine::connect(&place.registry, Identity::load(&pki)?)?;
        Ok(Self { engine, workers })
    }

    async fn collective(&self, method: &str, args: Bytes, options: RpcOptions) -> Result<()> {
        let all = options.exec == Exec::All;
        let envelopes = self.engine.collective_raw(method, args, Vec::new(), options).await?;
        if all && envelopes.len() != self.workers {
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
        let options = RpcOptions::new().rank(Rank(0));
        let call =
            || self.collective("get_rank", Bytes::from_static(codec::EMPTY), options.clone());
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
