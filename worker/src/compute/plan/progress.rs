//! How an item goes on after what its hands have done.

use std::time::{Duration, Instant};

use hearth_api::CallError;
use hearth_protocol::message::Phase;

use super::board::Board;
use super::command::{Command, PreparationFacts, RunError, RunStatus};
use super::entry::Stage;
use super::line::Turn;
use crate::items::{ItemId, Outcome, PreviewImage};

/// A run has begun, or taken a step.
pub(super) fn advanced(
    board: &mut Board,
    id: ItemId,
    outcome: Result<RunStatus, RunError>,
    now: Instant,
) {
    if board.line.is_abandoned(id) {
        board.command(Command::Leave(id));
        return match outcome {
            Ok(_) => board.line.remove(id),
            Err(_) => board.line.remove_run(id),
        };
    }
    let RunStatus { step, steps, batch_key, is_done } = match outcome {
        Ok(status) => status,
        Err(error) => return board.end_run(id, error, now),
    };
    board.items.progress(id, Phase::Generation, step, steps);
    board.line.reached(id, step);
    if is_done {
        board.line.ready(id, Stage::Finish, Turn::First);
    } else if step > 0 && board.items.wants_preview(id, step) {
        board.line.ready(id, Stage::Preview(batch_key), Turn::First);
    } else {
        board.line.ready(id, Stage::Step(batch_key), Turn::Last);
    }
    end_if_stopping(board, id, now);
}

/// Items have taken a step: how long that took is kept, unless one was stopped or failed.
pub(super) fn measured(
    board: &mut Board,
    outcomes: &[(ItemId, Result<RunStatus, RunError>)],
    took: Duration,
    now: Instant,
) {
    if let Some((first, _)) = outcomes.first()
        && let Some(key) = board.line.key(*first)
        && outcomes.iter().all(|(_, outcome)| outcome.is_ok())
    {
        board.rates.note(key, outcomes.len(), took, now);
    }
}

/// A picture of an unfinished item was made, if there is a way.
pub(super) fn previewed(
    board: &mut Board,
    id: ItemId,
    preview: Option<PreviewImage>,
    now: Instant,
) {
    let Some(Stage::Preview(key)) = board.line.stage(id).cloned() else { return };
    if let Some(preview) = preview {
        board.items.preview(id, preview);
    }
    board.line.ready(id, Stage::Step(key), Turn::Last);
    end_if_stopping(board, id, now);
}

/// An item has left compute.
pub(super) fn finished(board: &mut Board, id: ItemId, outcome: Result<(), RunError>, now: Instant) {
    if let Err(error) = outcome {
        return board.end_run(id, error, now);
    }
    if board.items.is_stopping(id) {
        return board.end_run(id, RunError::Interrupted, now);
    }
    let steps = board.items.view(id).map_or(0, |view| view.steps as usize);
    board.items.progress(id, Phase::OutputPostprocessing, steps, steps);
    board.line.encode(id);
    board.command(Command::Encode(id));
}

/// A request was prepared. Its item may wait, have a slot, or have ended meanwhile.
pub(super) fn prepared(
    board: &mut Board,
    id: ItemId,
    outcome: Result<PreparationFacts, CallError>,
    now: Instant,
) {
    board.preparing.remove(&id);
    let has_slot = board.line.stage(id) == Some(&Stage::Preparation);
    if !has_slot && !board.items.is_waiting(id) {
        return;
    }
    match outcome {
        Ok(prepared) => {
            board.prepared.insert(id, prepared);
            if let Some(lane) = board.lane_of(id).filter(|_| has_slot) {
                board.place(id, lane, now);
            }
        }
        Err(error) => board.fail(id, error, now),
    }
}

/// An item became a file. It may have ended meanwhile.
pub(super) fn encoded(board: &mut Board, id: ItemId, outcome: Outcome, now: Instant) {
    board.line.encoded();
    if board.line.stage(id) == Some(&Stage::Encoding) {
        board.line.remove(id);
        board.items.end(id, outcome, now);
    }
}

fn end_if_stopping(board: &mut Board, id: ItemId, now: Instant) {
    if board.items.is_stopping(id) {
        board.end_stopped(id, now);
    }
}
