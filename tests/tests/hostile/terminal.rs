//! A worker whose record, greeting and answers are made for the terminal of whoever looks: no command
//! lets a control character or a turned direction of theirs through, as text or as JSON.

use std::sync::Arc;

use hearth_api::{CallError, ErrorKind, Incarnation};
use hearth_protocol::codec;
use hearth_protocol::frame::FrameKind;
use hearth_protocol::message::{Reply, Request, Trailer};
use hearth_protocol::methods::{LogLevel, LogLine, LogsValue, ModelInfo, ModelList};
use hearth_protocol::record::{ModelRecord, WorkerRecord};
use hearth_protocol::version::Welcome;

use super::client::frame;
use super::fleet;
use super::server::{Answer, RawWorker};

/// Clears the screen, renames the window, begins a line of its own, turns the direction.
const EVIL: &str = "\u{1b}[2J\u{1b}]0;pwned\u{7}\u{9b}31m\r\nerror: forged\u{202e}";

struct EvilWorker(WorkerRecord);

impl Answer for EvilWorker {
    fn answer(&self, kind: FrameKind, payload: &[u8]) -> Vec<u8> {
        if kind == FrameKind::Hello {
            return frame(FrameKind::Welcome, &self.welcome());
        }
        let request: Request = codec::decode(payload).expect("a request");
        let models = ModelList { models: vec![self.model()] };
        let (value, error) = match request.method.as_str() {
            "list_models" => (Some(codec::encode(&models).expect("models").into()), None),
            "logs" => (Some(codec::encode(&self.log()).expect("lines").into()), None),
            _ => (None, Some(self.refusal())),
        };
        let (attempt, incarnation) = (request.attempt, self.0.incarnation);
        let reply = Reply { attempt, incarnation, value, error, attachments: Vec::new() };
        [frame(FrameKind::Reply, &reply), frame(FrameKind::Trailer, &Trailer::default())].concat()
    }
}

impl EvilWorker {
    fn welcome(&self) -> Welcome {
        Welcome {
            minor: hearth_protocol::version::MINOR,
            agent: EVIL.to_owned(),
            capabilities: vec![EVIL.to_owned()],
            worker_id: self.0.worker_id.clone(),
            group: self.0.group.clone(),
            rank: Some(self.0.rank),
            incarnation: self.0.incarnation,
            load: None,
        }
    }

    fn log(&self) -> LogsValue {
        let text = EVIL.to_owned();
        let line = LogLine { number: 1, time_ms: u64::MAX, level: LogLevel::Error, text };
        LogsValue { incarnation: self.0.incarnation, newest: 1, lost: u64::MAX, lines: vec![line] }
    }

    fn refusal(&self) -> CallError {
        let error = CallError::new(ErrorKind::ModelFailed, EVIL);
        CallError { causes: vec![EVIL.to_owned()], param: Some(EVIL.to_owned()), ..error }
    }

    fn model(&self) -> ModelInfo {
        let info = serde_json::json!({
            "name": EVIL, "aliases": [EVIL], "state": "ready", "reason": EVIL, "digest": EVIL,
            "family": EVIL, "tasks": [EVIL], "weight_bytes": 1, "default_width": 1,
            "default_height": 1, "size_factor": 1, "max_size": 1, "default_steps": 1,
            "default_guidance": 1.0, "scheduler": EVIL, "max_prompt_tokens": 1,
        });
        serde_json::from_value(info).expect("a model")
    }
}

/// Characters that a command may not let through: all but those that its own lines and tables have.
fn hazards(text: &str) -> Vec<char> {
    let bad = |c: &char| c.is_control() && *c != '\n' && *c != '\t' || *c == '\u{202e}';
    text.chars().filter(bad).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_shows_what_a_worker_or_a_record_hides() {
    let _turn = hearth_tests::Turn::take();
    let fleet = fleet();
    let change = |record: &mut WorkerRecord| {
        let evil = EVIL.to_owned();
        (record.device, record.version) = (evil.clone(), evil.clone());
        record.models =
            vec![ModelRecord { name: evil.clone(), aliases: vec![evil.clone()], digest: evil }];
        record.incarnation = Incarnation::from_bits(9);
    };
    let _worker = RawWorker::start_as(&fleet, change, |record| Arc::new(EvilWorker(record))).await;

    let commands: [&[&str]; 17] = [
        &["workers"],
        &["models"],
        &["health"],
        &["requests"],
        &["logs", "w1", "-n", "1"],
        &["doctor"],
        &["rpc", "stats"],
        &["rpc", "list_models"],
        &["generate", "x", "--model", EVIL, "--steps", "1", "-o", "x.png"],
        &["attach", "r-1"],
        &["cancel", "r-1"],
        &["drain", "w1"],
        &["resume", "w1"],
        &["sleep", "w1"],
        &["wake", "w1"],
        &["load", "x", "--worker", "w1"],
        &["unload", "x", "--worker", "w1"],
    ];
    let mut shown = 0;
    for command in commands {
        for json in [false, true] {
            let more: &[&str] = if json { &["--json"] } else { &[] };
            let run = fleet.hearth(&[command, more].concat());
            assert!(hazards(&run.stdout).is_empty(), "{command:?} {more:?}: {run:?}");
            assert!(hazards(&run.stderr).is_empty(), "{command:?} {more:?}: {run:?}");
            let forged = |text: &str| text.lines().any(|line| line.starts_with("error: forged"));
            assert!(!forged(&run.stdout) && !forged(&run.stderr), "{command:?}: {run:?}");
            if json && !run.stdout.is_empty() {
                // It says what the worker said, in JSON's own escapes.
                let parsed: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
                shown += usize::from(parsed.to_string().contains("pwned"));
            }
        }
    }
    assert!(shown > 5, "the worker's words are there, escaped: {shown}");
    let table = fleet.hearth(&["workers"]).ok().stdout;
    assert!(table.contains(r"\u{1b}[2J") && table.contains(r"\u{202e}"), "{table}");
}
