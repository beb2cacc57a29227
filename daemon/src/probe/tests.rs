//! The probe over a real socket, spoken to in plain HTTP/1.1.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Config, Error, Probe, Readiness, State};
use hearth_telemetry::metrics::{BuildInfo, Registry};

struct Running {
    address: std::net::SocketAddr,
    readiness: watch::Sender<Readiness>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    async fn start(adjust: impl FnOnce(&mut Config)) -> Self {
        let (readiness, receiver) = watch::channel(Readiness::Ready);
        let build = BuildInfo { program: "test", version: "0", protocol: "0".to_owned() };
        let state = State { readiness: receiver, metrics: Arc::new(Registry::new(build)) };
        let mut config = Config::new("127.0.0.1:0".parse().unwrap());
        adjust(&mut config);
        let probe = Probe::bind(config, state).await.unwrap();
        let address = probe.local_addr();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(probe.run(stop.clone()));
        Self { address, readiness, stop, tasks }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn get(&self, path: &str) -> String {
        let mut stream = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: probe\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn live_stays_while_ready_follows_the_watch() {
    let probe = Running::start(|_| {}).await;
    assert!(probe.get("/ready").await.starts_with("HTTP/1.1 200"));

    probe.readiness.send_replace(Readiness::NotReady("loading sd15".to_owned()));
    for path in ["/ready", "/health"] {
        let answer = probe.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains(r#""reason":"loading sd15""#), "{answer}");
    }
    assert!(probe.get("/live").await.starts_with("HTTP/1.1 200"));
    assert!(probe.get("/else").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let answer = Running::start(|_| {}).await.get("/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
    assert!(answer.contains("hearth_build_info{program=\"test\""), "{answer}");
}

#[tokio::test]
async fn stalled_clients_are_dropped_and_give_their_place_back() {
    let probe = Running::start(|config| {
        config.max_connections = 2;
        config.connection_timeout = Duration::from_millis(200);
    })
    .await;
    let mut stalled = probe.connect().await;
    stalled.write_all(b"GET /live HTT").await.unwrap();
    let _silent = probe.connect().await;

    assert!(probe.get("/live").await.starts_with("HTTP/1.1 200"));
    let mut rest = Vec::new();
    stalled.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn stop_ends_it_with_connections_open() {
    let mut probe = Running::start(|_| {}).await;
    let _open = probe.connect().await;
    let asked = Instant::now();
    probe.stop.cancel();
    probe.tasks.join_next().await.unwrap().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let probe = Running::start(|_| {}).await;
    let state = State {
        readiness: probe.readiness.subscribe(),
        metrics: Arc::new(Registry::new(BuildInfo {
            program: "test",
            version: "0",
            protocol: "0".to_owned(),
        })),
    };
    let error = Probe::bind(Config::new(probe.address), state).await.unwrap_err();
    let Error::Bind { address, .. } = &error;
    assert_eq!(*address, probe.address);
    assert!(error.to_string().contains("http.listen"), "{error}");
}
