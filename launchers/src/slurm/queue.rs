//! What `squeue` says of tasks, and what that means where their shims say nothing. Pure.

use std::collections::BTreeMap;

/// The fields that [`parse`] reads: array job, task, state, reason, host.
pub(super) const FORMAT: &str = "%F|%K|%T|%N|%r";

/// One task of an array as Slurm has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) state: State,
    /// The host it runs or ran on.
    pub(super) host: Option<String>,
}

/// Where Slurm has a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It waits; why, where that is more than its turn.
    Waits(Option<String>),
    /// It runs, or is about to.
    Runs,
    /// Its node clears away what is left of it.
    Clears,
    /// Somebody cancelled it.
    Cancelled,
    /// It is over; a shim that could would have said more.
    Over(String),
}

impl Task {
    /// Whether it waits or runs by Slurm's word: it can't be so once its replica has ended.
    pub(super) fn is_open(&self) -> bool {
        match self.state {
            State::Waits(_) | State::Runs => true,
            State::Clears | State::Cancelled | State::Over(_) => false,
        }
    }
}

/// Tasks by array job and index.
pub(super) type Tasks = BTreeMap<(u32, u32), Task>;

/// Reads the lines of `squeue --noheader --array --states=all --format FORMAT`.
pub(super) fn parse(output: &str) -> Tasks {
    output.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<((u32, u32), Task)> {
    let mut fields = line.trim().splitn(5, '|').map(str::trim);
    let job = fields.next()?.parse().ok()?;
    let index = fields.next()?.parse().ok()?;
    let (state, host, reason) = (fields.next()?, fields.next()?, fields.next()?);
    let host = (!host.is_empty() && host != "(null)").then(|| host.to_owned());
    Some(((job, index), Task { state: meaning(state, reason), host }))
}

/// Slurm's job states, by what they are for a replica.
fn meaning(state: &str, reason: &str) -> State {
    match state {
        "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "RESV_DEL_HOLD"
        | "SPECIAL_EXIT" => {
            let usual = ["", "None", "(null)", "Priority", "Resources", "Prolog", "Cleaning"];
            State::Waits((!usual.contains(&reason)).then(|| format!("Slurm: {reason}")))
        }
        "CANCELLED" => State::Cancelled,
        "COMPLETED" | "FAILED" | "BOOT_FAIL" | "DEADLINE" | "NODE_FAIL" | "OUT_OF_MEMORY"
        | "PREEMPTED" | "REVOKED" | "TIMEOUT" | "LAUNCH_FAILED" => State::Over(why(state, reason)),
        "COMPLETING" => State::Clears,
        // RUNNING, CONFIGURING, SUSPENDED, STOPPED, SIGNALING, STAGE_OUT, RESIZING.
        _ => State::Runs,
    }
}

fn why(state: &str, reason: &str) -> String {
    let known = match state {
        "OUT_OF_MEMORY" => return "out of memory".to_owned(),
        "TIMEOUT" | "DEADLINE" => "ran longer than Slurm allows it",
        "NODE_FAIL" => "its node failed",
        "BOOT_FAIL" | "LAUNCH_FAILED" => "its node could not start it",
        "PREEMPTED" => "other work took its place",
        "COMPLETED" => "ended without a report",
        _ => "failed",
    };
    match reason {
        "" | "None" | "(null)" => format!("{known} (Slurm: {state})"),
        _ => format!("{known} (Slurm: {state}, {reason})"),
    }
}

/// Indexes as Slurm writes them in `JOB_[…]`: sorted ones, neighbours as ranges.
pub(super) fn ranges(indexes: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for &index in indexes {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => parts.push((index, index)),
        }
    }
    let text = |&(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    parts.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_read() {
        let output = "7|0|RUNNING|n1|None\n7|1|PENDING||Resources\n7|2|PENDING||(PartitionDown)\n\
                      7|3|CANCELLED||None\n7|4|NODE_FAIL|n2|NodeDown\n7|5|COMPLETING|n1|None\n\
                      8|N/A|RUNNING|n1|None\nslurm_load_jobs error: something\n";
        let tasks = parse(output);
        let state = |index| &tasks[&(7, index)].state;
        assert_eq!(tasks[&(7, 0)], Task { state: State::Runs, host: Some("n1".into()) });
        assert_eq!(*state(1), State::Waits(None));
        assert_eq!(*state(2), State::Waits(Some("Slurm: (PartitionDown)".into())));
        assert_eq!(*state(3), State::Cancelled);
        assert_eq!(*state(4), State::Over("its node failed (Slurm: NODE_FAIL, NodeDown)".into()));
        assert_eq!(*state(5), State::Clears);
        assert_eq!(tasks.len(), 6);
    }

    #[test]
    fn indexes_are_written_as_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(ranges(&[4]), "4");
    }
}
