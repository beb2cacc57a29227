//! What becomes of orders: models that come and go, sleep and waking, graphs, profiles.

use std::time::Instant;

use hearth_api::{CallError, ErrorKind};

use super::board::Board;
use super::command::{Answer, Command, OrderRequest, Release, Work};
use super::lifecycle::{Arrivals, Stage, about_to_end, sleeping};
use super::loads::Asker;
use super::orders::{Order, OrderId};
use crate::models::{Facts, Model, Reservation, Residency};

/// Takes an order on. None where nothing is to be done for it.
pub(super) fn accept(
    board: &mut Board,
    request: OrderRequest,
    now: Instant,
) -> Result<Option<OrderId>, CallError> {
    if board.life.is_closed() {
        return Err(CallError::new(ErrorKind::Draining, "the worker ends: ask another one"));
    }
    match request {
        OrderRequest::Load { model, added } => load(board, &model, added).map(Some),
        OrderRequest::Unload { model } => unload(board, model),
        OrderRequest::Sleep { level } => sleep(board, level).map(Some),
        OrderRequest::Wake => wake(board).map(Some),
        OrderRequest::Infer { model } => infer(board, model, now).map(Some),
        OrderRequest::Profile { model } => profile(board, model, now).map(Some),
    }
}

fn load(board: &mut Board, name: &str, added: Option<Box<Model>>) -> Result<OrderId, CallError> {
    board.life.check_awake()?;
    board.loads.check_room()?;
    let id = board.orders.number()?;
    let added = match added {
        Some(model) => board.models.add(*model)?,
        None => board.models.check_listed(name).map(|()| false)?,
    };
    if board.models.is_resident(name) {
        board.answer(id, Ok(Answer::Loaded(false)));
        return Ok(id);
    }
    if !board.loads.has(name) {
        board.load(name, None);
    }
    board.loads.ask(name, Asker::Load { order: id, added });
    Ok(id)
}

fn unload(board: &mut Board, model: String) -> Result<Option<OrderId>, CallError> {
    let id = board.orders.number()?;
    if !board.models.reserve(&model, Reservation::Unload)? {
        board.models.unload(&model);
        return Ok(None);
    }
    board.orders.push(id, Order::Unload { model });
    Ok(Some(id))
}

fn sleep(board: &mut Board, level: u8) -> Result<OrderId, CallError> {
    let id = board.orders.number()?;
    board.life.fall_asleep()?;
    board.orders.push(id, Order::Sleep { level });
    Ok(id)
}

fn wake(board: &mut Board) -> Result<OrderId, CallError> {
    let id = board.orders.number()?;
    for (sleep, _) in board.orders.take_all(|order| matches!(order, Order::Sleep { .. })) {
        let message = "the worker was woken before it slept";
        board.answer(sleep, Err(CallError::new(ErrorKind::Cancelled, message)));
    }
    match &mut board.life.stage {
        Stage::Starting(arrivals) | Stage::Waking(arrivals) => arrivals.orders.push(id),
        Stage::Serving | Stage::Ending | Stage::Hung | Stage::Closed => {
            board.answer(id, Ok(Answer::Awake(Vec::new())));
        }
        Stage::Drowsy => {
            board.life.stage = Stage::Serving;
            board.answer(id, Ok(Answer::Awake(Vec::new())));
        }
        Stage::Asleep => {
            let names = board.models.names(is_evicted);
            names.iter().for_each(|name| board.load(name, None));
            let arrivals = Arrivals { orders: vec![id], ..Arrivals::of(names) };
            board.life.stage = Stage::Waking(arrivals);
        }
    }
    Ok(id)
}

fn is_evicted(residency: &Residency) -> bool {
    matches!(residency, Residency::Evicted(_))
}

fn infer(board: &mut Board, model: String, now: Instant) -> Result<OrderId, CallError> {
    board.life.check_open()?;
    let model = board.models.resolve(Some(&model), now)?.name;
    board.loads.check_room()?;
    let id = board.orders.number()?;
    board.orders.push(id, Order::Infer { model });
    Ok(id)
}

fn profile(board: &mut Board, model: String, now: Instant) -> Result<OrderId, CallError> {
    board.life.check_open()?;
    board.models.resolve(Some(&model), now)?;
    let id = board.orders.number()?;
    if !board.models.reserve(&model, Reservation::Profile)? {
        let message = format!("model {model:?} is not in memory: hearth load brings it there");
        return Err(CallError::new(ErrorKind::NotReady, message));
    }
    board.orders.push(id, Order::Profile { model });
    Ok(id)
}

/// An order's caller has gone. What serves nobody else is not begun.
pub(super) fn withdraw(board: &mut Board, id: OrderId) {
    board.loads.withdraw(id);
    match board.orders.get(id).cloned() {
        Some(Order::Infer { .. }) => drop(board.orders.remove(id)),
        Some(Order::Profile { model }) => {
            board.orders.remove(id);
            board.models.release(&model);
        }
        Some(Order::Unload { .. } | Order::Sleep { .. }) | None => {}
    }
}

/// Begins the oldest order whose time has come. What takes a model away waits for the items that
/// need it.
pub(super) fn next(board: &mut Board) -> Option<Work> {
    let (items, line, models) = (&board.items, &board.line, &board.models);
    let due = |order: &Order| match order {
        Order::Sleep { .. } => !items.is_busy() && line.is_empty(),
        Order::Unload { model } | Order::Profile { model } => !items.uses(model),
        Order::Infer { model } => models.is_resident(model),
    };
    let (id, order) = board.orders.take(due)?;
    match order {
        Order::Infer { .. } => Some(Work::Infer(id)),
        Order::Unload { model } => {
            // A sleep may have taken it out of memory before.
            let models =
                if board.models.is_resident(&model) { vec![model.clone()] } else { vec![] };
            board.models.unload(&model);
            Some(release(models, Some(id)))
        }
        Order::Profile { model } => {
            board.load(&model, Some(id));
            Some(release(vec![model], None))
        }
        Order::Sleep { level } => Some(fall_asleep(board, level, id)),
    }
}

fn release(models: Vec<String>, order: Option<OrderId>) -> Work {
    Work::Release(Release { models, uncache: Vec::new(), order })
}

fn fall_asleep(board: &mut Board, level: u8, id: OrderId) -> Work {
    if matches!(board.life.stage, Stage::Drowsy) {
        board.life.stage = Stage::Asleep;
    }
    let models = board.models.names(Residency::is_resident);
    models.iter().for_each(|model| board.models.evict(model));
    let asleep = board.models.names(is_evicted);
    let folder = |name: &String| board.models.get(name).map(|model| model.path.clone());
    let uncache = if level > 1 { asleep.iter().filter_map(folder).collect() } else { Vec::new() };
    Work::Release(Release { models, uncache, order: Some(id) })
}

/// Has the models loaded that graphs wait for.
pub(super) fn send_for_models(board: &mut Board, now: Instant) {
    let models = &board.models;
    let lacks = |order: &Order| match order {
        Order::Infer { model } => !models.is_resident(model),
        Order::Unload { .. } | Order::Sleep { .. } | Order::Profile { .. } => false,
    };
    for (id, order) in board.orders.take_all(lacks) {
        let Order::Infer { model } = order else { continue };
        match board.load_on_demand(&model, now) {
            Ok(()) => board.loads.ask(&model, Asker::Infer(id)),
            Err(error) => board.answer(id, Err(error)),
        }
    }
}

/// A model came, or did not.
pub(super) fn loaded(
    board: &mut Board,
    model: &str,
    outcome: Result<Facts, CallError>,
    now: Instant,
) {
    let askers = board.loads.done(model);
    let added = askers.iter().any(|asker| matches!(asker, Asker::Load { added: true, .. }));
    let outcome = match outcome {
        Ok(facts) if board.life.is_asleep() => {
            board.models.set(model, Residency::Evicted(facts));
            board.unwanted.push(model.to_owned());
            Err(sleeping())
        }
        Ok(facts) => {
            board.models.set(model, Residency::Ready(facts));
            Ok(())
        }
        Err(error) if added => {
            board.models.forget(model);
            Err(error)
        }
        Err(error) => {
            board.models.set_failed(model, error.clone(), now);
            Err(error)
        }
    };
    let mut graphs = Vec::new();
    for asker in askers {
        match (asker, &outcome) {
            (Asker::Load { order, .. }, Ok(())) => board.answer(order, Ok(Answer::Loaded(true))),
            (Asker::Infer(order), Ok(())) => {
                graphs.push((order, Order::Infer { model: model.to_owned() }));
            }
            (asker, Err(error)) => board.answer(asker.order(), Err(error.clone())),
        }
    }
    board.orders.push_front(graphs.into_iter());
    for id in board.line.waiting_for(model) {
        board.items.clock(id, |times| {
            let since = times.loading_since.take();
            times.model_load += since.map(|since| now - since).unwrap_or_default();
        });
        match &outcome {
            Ok(()) => {
                if let Some(lane) = board.lane_of(id) {
                    board.place(id, lane, now);
                }
            }
            // Another worker's copy may be whole.
            Err(error) => board.fail(id, CallError { retryable: true, ..error.clone() }, now),
        }
    }
    arrived(board, model, &outcome);
}

/// Notes a model that a stage waits for.
fn arrived(board: &mut Board, model: &str, outcome: &Result<(), CallError>) {
    let starting = matches!(board.life.stage, Stage::Starting(_));
    let Some(arrivals) = board.life.arrivals() else { return };
    if !arrivals.left.remove(model) {
        return;
    }
    match outcome {
        Ok(()) => arrivals.arrived.push(model.to_owned()),
        Err(error) => arrivals.error = Some(error.clone()),
    }
    if starting && outcome.is_err() {
        board.loads.clear();
        board.command(Command::Abort);
    }
}

/// Goes on to serving once all models are there that a start or a waking waits for.
pub(super) fn complete(board: &mut Board) {
    let Some(arrivals) = board.life.arrivals().filter(|arrivals| arrivals.left.is_empty()) else {
        return;
    };
    let Arrivals { arrived, error, orders, .. } = std::mem::take(arrivals);
    let starting = matches!(board.life.stage, Stage::Starting(_));
    if starting && error.is_some() {
        return;
    }
    board.life.stage = Stage::Serving;
    // The models of the start have not been brought back.
    let back = if starting { Vec::new() } else { arrived };
    let answer = error.map_or(Ok(Answer::Awake(back)), Err);
    orders.into_iter().for_each(|order| board.answer(order, answer.clone()));
    if starting {
        board.command(Command::Started);
    }
}

/// This run is about to end: nobody falls asleep or wakes up any more.
pub(super) fn end(board: &mut Board) {
    let sleeps = board.orders.take_all(|order| matches!(order, Order::Sleep { .. }));
    let wakes = board.life.arrivals().map(|arrivals| std::mem::take(&mut arrivals.orders));
    let orders = sleeps.into_iter().map(|(id, _)| id).chain(wakes.unwrap_or_default());
    orders.for_each(|id| board.answer(id, Err(about_to_end())));
    if !board.life.is_closed() {
        board.life.stage = Stage::Ending;
    }
}

/// A run of a graph doesn't end: nothing is begun any more.
pub(super) fn hang(board: &mut Board) {
    if !board.life.is_closed() {
        end(board);
        board.life.stage = Stage::Hung;
        refuse_orders(board);
    }
}

/// All is over: orders that have not begun get their answer.
pub(super) fn close(board: &mut Board) {
    end(board);
    board.life.stage = Stage::Closed;
    refuse_orders(board);
}

fn refuse_orders(board: &mut Board) {
    let waiting = board.orders.take_all(|_| true).into_iter().map(|(id, _)| id);
    let orders: Vec<OrderId> = waiting.chain(board.loads.clear()).collect();
    for id in orders {
        let message = "the worker ended first: ask another one";
        board.answer(id, Err(CallError::new(ErrorKind::Draining, message)));
    }
}
