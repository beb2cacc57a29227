//! An executor of one's own: registered under a name, selected by the config. This one sends calls
//! over the external executor and writes down what they were.
#![expect(clippy::print_stdout, reason = "it is an example's way to show what it has")]

use std::sync::Arc;

use hearth_engine::executor::{CallStream, Executor, OutgoingCall};
use hearth_engine::*;

struct Noting(ExternalExecutor);

#[async_trait::async_trait]
impl Executor for Noting {
    fn fleet(&self) -> tokio::sync::watch::Receiver<Arc<FleetView>> {
        self.0.fleet()
    }
    async fn call(
        &self,
        worker: &WorkerId,
        call: &OutgoingCall,
    ) -> Result<Box<dyn CallStream>, CallError> {
        println!("{worker}: {}", call.method);
        self.0.call(worker, call).await
    }
    async fn close(&self) {
        self.0.close().await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut backends = Backends::builtin();
    backends.register("noting", async |start: Start| {
        Ok(Arc::new(Noting(ExternalExecutor::start(start.external()?)?)) as _)
    });
    let text = "[executor]\nbackend = \"noting\"\n[registry]\nurl = \"etcd://127.0.0.1:2379\"\n";
    let engine = Engine::start(&Config::parse(text, &backends)?, &backends, "example/1").await?;
    engine.close().await;
    Ok(())
}
