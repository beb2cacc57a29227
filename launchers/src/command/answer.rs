//! What the programs print, which is anybody's until it has been read: JSON of one form, with each
//! replica that was asked for and no other. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use hearth_base::text::escape_line;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::config::NAME;
use crate::{Error, Replica, Status};

/// Bytes that a launch or a poll may print: some hundred for each of 4096 replicas.
pub(super) const MAX_ANSWER: usize = 4 << 20;
/// Bytes of one handle.
const MAX_HANDLE: usize = 4096;
/// Characters of a host's name, and of an error.
const MAX_HOST: usize = 255;
const MAX_ERROR: usize = 1000;
/// Characters of a malformed answer that are shown.
const MAX_SHOWN: usize = 80;

/// Fields of a spec that a program may say are wrong.
const FIELDS: [&str; 14] = [
    "name",
    "replicas",
    "program",
    "args",
    "env",
    "working_dir",
    "files",
    "cpus",
    "memory",
    "gpus",
    "pool",
    "hosts",
    "labels",
    "image",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer<T> {
    replicas: Vec<T>,
}

/// What a launch says of a replica.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LaunchEntry {
    rank: u32,
    #[serde(default)]
    handle: Value,
}

/// What a poll says of a replica.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PollEntry {
    rank: u32,
    status: Word,
    #[serde(default)]
    pid: Option<u32>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    exit_code: Option<i32>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Pending,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Unknown,
}

/// The handles of a launch, by rank: what its program calls each replica.
pub(super) fn handles(printed: &[u8], replicas: u32) -> Result<BTreeMap<u32, Value>, String> {
    let answer: Answer<LaunchEntry> = parse(printed)?;
    let asked: Vec<u32> = (0..replicas).collect();
    let named = answer.replicas.into_iter().map(|one| (one.rank, one.handle));
    let handles = by_rank(named, &asked)?;
    let long = |handle: &&Value| handle.to_string().len() > MAX_HANDLE;
    match handles.values().find(long) {
        Some(_) => Err(format!("a handle has more than {MAX_HANDLE} bytes")),
        None => Ok(handles),
    }
}

/// Where the replicas of these ranks are; none for those that the service knows nothing of.
pub(super) fn replicas(
    printed: &[u8],
    asked: &[u32],
) -> Result<BTreeMap<u32, Option<Replica>>, String> {
    let answer: Answer<PollEntry> = parse(printed)?;
    by_rank(answer.replicas.into_iter().map(|one| (one.rank, replica(one))), asked)
}

/// What a refusal names: `{"field": "gpus", "remedy": "ask for one"}`. None where it names nothing.
pub(super) fn refusal(printed: &[u8], program: &Path) -> Option<Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Refusal {
        field: String,
        remedy: String,
    }
    let Refusal { field, remedy } = parse(printed).ok()?;
    let field = FIELDS.into_iter().find(|known| *known == field)?;
    let remedy = escape_line(&cut(&remedy, MAX_ERROR)).into_owned();
    Some(match field {
        "program" => Error::Program { program: program.to_owned(), remedy },
        _ => Error::Unsupported { launcher: NAME, field, remedy },
    })
}

fn parse<T: DeserializeOwned>(printed: &[u8]) -> Result<T, String> {
    serde_json::from_slice(printed).map_err(|error| {
        let text = String::from_utf8_lossy(printed);
        let start = cut(text.trim(), MAX_SHOWN);
        format!("printed {:?}, which is not what it should: {error}", escape_line(&start))
    })
}

fn by_rank<T>(
    found: impl Iterator<Item = (u32, T)>,
    asked: &[u32],
) -> Result<BTreeMap<u32, T>, String> {
    let mut all = BTreeMap::new();
    for (rank, one) in found {
        if !asked.contains(&rank) {
            return Err(format!("named rank {rank}, which it was not asked for"));
        }
        if all.insert(rank, one).is_some() {
            return Err(format!("named rank {rank} twice"));
        }
    }
    match asked.iter().find(|rank| !all.contains_key(rank)) {
        Some(rank) => Err(format!("named no rank {rank}")),
        None => Ok(all),
    }
}

fn replica(one: PollEntry) -> Option<Replica> {
    let status = match one.status {
        Word::Unknown => return None,
        Word::Pending => Status::Pending,
        Word::Running => Status::Running,
        Word::Succeeded => Status::Succeeded,
        Word::Failed => Status::Failed,
        Word::Cancelled => Status::Cancelled,
    };
    Some(Replica {
        rank: one.rank,
        status,
        pid: one.pid,
        host: one.host.map(|host| cut(&host, MAX_HOST)),
        exit_code: one.exit_code,
        error: one.error.map(|error| cut(&error, MAX_ERROR)),
    })
}

fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(value: &Value) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    #[test]
    fn handles_are_whatever_json_the_program_likes() {
        let answer = json!({"replicas": [{"rank": 1, "handle": {"id": [7]}}, {"rank": 0}]});
        let handles = handles(&bytes(&answer), 2).unwrap();
        assert_eq!(handles[&0], Value::Null);
        assert_eq!(handles[&1], json!({"id": [7]}));
    }

    #[test]
    fn a_launch_in_part_or_of_others_is_no_launch() {
        let refused = |answer: &Value, part: &str| {
            let why = handles(&bytes(answer), 2).unwrap_err();
            assert!(why.contains(part), "{why}");
        };
        refused(&json!({"replicas": [{"rank": 0}]}), "no rank 1");
        refused(&json!({"replicas": [{"rank": 0}, {"rank": 0}]}), "rank 0 twice");
        refused(&json!({"replicas": [{"rank": 0}, {"rank": 2}]}), "rank 2");
        let long = "x".repeat(MAX_HANDLE);
        refused(&json!({"replicas": [{"rank": 0, "handle": long}, {"rank": 1}]}), "4096 bytes");
        refused(&json!({"replicas": [{"rank": -1}]}), "invalid value");
        refused(&json!({"handles": []}), "unknown field `handles`");
        refused(&json!("\u{1b}[2J"), "not what it should");
        assert!(handles(b"", 1).unwrap_err().contains("EOF"));
        let nested = format!("{}1", "[".repeat(5000));
        assert!(handles(nested.as_bytes(), 1).unwrap_err().chars().count() < 300);
    }

    #[test]
    fn a_poll_is_read_and_bounded() {
        let answer = json!({"replicas": [
            {"rank": 3, "status": "failed", "exit_code": 2, "host": "h".repeat(999), "error": "e"},
            {"rank": 0, "status": "unknown"},
            {"rank": 1, "status": "running", "pid": 7},
        ]});
        let seen = replicas(&bytes(&answer), &[0, 1, 3]).unwrap();
        assert_eq!(seen[&0], None);
        let failed = seen[&3].as_ref().unwrap();
        assert_eq!((failed.status, failed.exit_code), (Status::Failed, Some(2)));
        assert_eq!(failed.host.as_ref().unwrap().chars().count(), MAX_HOST + 1);
        let running = Replica { status: Status::Running, pid: Some(7), ..Replica::pending(1) };
        assert_eq!(seen[&1], Some(running));
        for (one, part) in [
            (json!({"rank": 0, "status": "done"}), "unknown variant `done`"),
            (json!({"rank": 0}), "missing field `status`"),
            (json!({"rank": 0, "status": "failed", "exitcode": 1}), "unknown field `exitcode`"),
        ] {
            let why = replicas(&bytes(&json!({"replicas": [one]})), &[0]).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn a_refusal_names_a_field_of_the_spec() {
        let of = |value: &Value| refusal(&bytes(value), Path::new("/bin/x"));
        let program = of(&json!({"field": "program", "remedy": "there is none on n1"})).unwrap();
        let said = program.to_string();
        assert!(matches!(program, Error::Program { .. }) && said.contains("/bin/x"), "{said}");
        let gpus = of(&json!({"field": "gpus", "remedy": "ask for one\n"})).unwrap().to_string();
        assert!(gpus.contains("gpus") && gpus.contains("ask for one\\n"), "{gpus}");
        assert!(of(&json!({"field": "moon", "remedy": "x"})).is_none());
        assert!(refusal(b"", Path::new("x")).is_none());
    }
}
