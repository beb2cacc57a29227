//! Fresh coordinator programs: what a start and a worker cost them.

use std::time::Duration;

use anyhow::{Result, bail};

use super::FanOut as _;
use super::hearth::Hearth;
use crate::children::Site;
use crate::measure::resident;
use crate::report::say;

const LIMIT: Duration = Duration::from_secs(60);

/// Calls to every worker before memory is read: buffers have their size by then.
const CALLS: usize = 50;

/// Connects, and says when every worker has answered that it is healthy.
pub(crate) async fn connect(place: &Site, workers: usize) -> Result<()> {
    let hearth = Hearth::connect(place, workers).await?;
    let health = hearth.engine.check_health(LIMIT).await;
    let healthy = health.iter().filter(|worker| worker.is_healthy()).count();
    if healthy != workers {
        bail!("{healthy} of {workers} workers are healthy");
    }
    super::announce_until_closed("healthy").await?;
    hearth.engine.close().await;
    Ok(())
}

/// Says its resident bytes without a worker, then with all of them connected and called.
pub(crate) async fn memory(place: &Site, workers: usize) -> Result<()> {
    let hearth = Hearth::start(place, workers)?;
    hearth.engine.wait_ready(0, LIMIT).await?;
    say(&resident()?.to_string());
    hearth.engine.wait_ready(workers, LIMIT).await?;
    for _ in 0..CALLS {
        hearth.call(0).await?;
    }
    super::announce_until_closed(&resident()?.to_string()).await?;
    hearth.engine.close().await;
    Ok(())
}
