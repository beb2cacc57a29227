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
        self.ask(path, "accept: */*").await
    }

    async fn ask(&self, path: &str, header: &str) -> String {
        let mut stream = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: probe\r\n{header}\r\n\r\n");
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
async fn metrics_come_in_the_form_that_is_asked_for() {
    let probe = Running::start(|_| {}).await;
    let classic = probe.get("/metrics").await;
    assert!(classic.starts_with("HTTP/1.1 200"), "{classic}");
    assert!(classic.contains("content-type: text/plain; version=0.0.4"), "{classic}");
    assert!(classic.contains("\n# TYPE hearth_build_info gauge\nhearth_build_info{"), "{classic}");
    assert!(!classic.contains("# EOF"), "{classic}");
    let accept = "accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3";
    let open = probe.ask("/metrics", accept).await;
    assert!(open.contains("content-type: application/openmetrics-text"), "{open}");
    assert!(open.contains("# TYPE hearth_build info\n"), "{open}");
    assert!(open.ends_with("# EOF\n"), "{open}");
}

#[tokio::test]
async fn stalled_clients_shut_nobody_out() {
    let probe = Running::start(|config| {
        config.max_connections = 8;
        config.header_timeout = Duration::from_secs(600);
        config.connection_timeout = Duration::from_secs(600);
    })
    .await;
    let mut stalled = Vec::new();
    for _ in 0..40 {
        let mut stream = probe.connect().await;
        stream.write_all(b"GET /live HTT").await.unwrap();
        stalled.push(stream);
        assert!(probe.get("/live").await.starts_with("HTTP/1.1 200"));
    }
    let mut rest = Vec::new();
    assert!(stalled[0].read_to_end(&mut rest).await.is_err() || rest.is_empty(), "it gave way");
}

#[tokio::test]
async fn half_a_request_costs_its_place_for_a_moment() {
    let probe = Running::start(|config| config.header_timeout = Duration::from_millis(200)).await;
    let mut stalled = probe.connect().await;
    stalled.write_all(b"GET /live HTT").await.unwrap();
    let mut rest = Vec::new();
    let _ = stalled.read_to_end(&mut rest).await;
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{rest:?}");
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
