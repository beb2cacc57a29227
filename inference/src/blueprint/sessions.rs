//! The sessions of a folder's graphs, opened side by side where there are cores for it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, available_parallelism};

use crate::model::Error;
use crate::session::{self, Graph, Runtime, Session};

/// Opened sessions, each taken by the component that runs it.
pub(crate) struct Sessions {
    runtime: Runtime,
    opened: BTreeMap<String, Session>,
}

impl Sessions {
    /// Opens every graph, as many at a time as there are cores.
    ///
    /// # Errors
    /// That of the first graph, in their order, that can't be opened; none is begun after it.
    pub(crate) fn open(runtime: &Runtime, graphs: &[Arc<Graph>]) -> Result<Self, Error> {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let opened = Mutex::new(BTreeMap::new());
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            while !failed.load(Ordering::SeqCst) {
                let index = next.fetch_add(1, Ordering::SeqCst);
                let Some(graph) = graphs.get(index) else { break };
                let session = Session::load(runtime, graph);
                if session.is_err() {
                    failed.store(true, Ordering::SeqCst);
                }
                opened.lock().unwrap_or_else(PoisonError::into_inner).insert(index, session);
            }
        };
        thread::scope(|scope| {
            // This thread is one of them.
            (1..cores.min(graphs.len())).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        let opened = opened.into_inner().unwrap_or_else(PoisonError::into_inner);
        // By the order of the graphs, so that the same folder fails with the same error.
        let sessions: Result<Vec<Session>, session::Error> = opened.into_values().collect();
        let named = |session: Session| (session.name().to_owned(), session);
        let opened = sessions?.into_iter().map(named).collect();
        Ok(Self { runtime: runtime.clone(), opened })
    }

    /// The session of the graph of that name.
    ///
    /// # Errors
    /// [`Error::Model`] if the blueprint didn't have it opened, or it was taken already.
    pub(crate) fn take(&mut self, component: &str) -> Result<Session, Error> {
        self.opened.remove(component).ok_or_else(|| Error::Model {
            place: component.to_owned(),
            reason: "its graph was not opened".to_owned(),
        })
    }

    /// Where further sessions of the same model are opened.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}
