//! Notices that the one whose life a replica is bound to has ended.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::PidfdFlags;
use tokio::sync::oneshot;

use super::process_id::raw;
use super::{Binding, ProcessId};

/// How often a process is looked at where the kernel has no descriptor for it.
const LOOK: Duration = Duration::from_millis(200);

/// A thread waits, for a read of standard input can't be given up.
pub(super) struct Owner {
    gone: Option<oneshot::Receiver<()>>,
}

impl Owner {
    pub(super) fn watch(binding: &Binding) -> io::Result<Self> {
        let wait: Box<dyn FnOnce() + Send> = match binding.clone() {
            Binding::None => return Ok(Self { gone: None }),
            Binding::Stdin => Box::new(wait_for_end_of_input),
            Binding::Process(owner) => Box::new(move || wait_for(&owner)),
        };
        let (tell, gone) = oneshot::channel();
        std::thread::Builder::new().name("owner".to_owned()).spawn(move || {
            wait();
            let _ = tell.send(());
        })?;
        Ok(Self { gone: Some(gone) })
    }

    /// Waits for its end; for ever where there is no owner, or it was told already.
    pub(super) async fn gone(&mut self) {
        match &mut self.gone {
            Some(gone) => drop(gone.await),
            None => std::future::pending().await,
        }
        self.gone = None;
    }
}

fn wait_for_end_of_input() {
    let mut input = io::stdin().lock();
    let mut ignored = [0; 256];
    loop {
        match input.read(&mut ignored) {
            Ok(count) if count > 0 => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

fn wait_for(owner: &ProcessId) {
    let opened = raw(owner.pid).map(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()));
    if let Some(Ok(fd)) = opened
        && owner.runs()
    {
        wait_readable(&fd);
    }
    while owner.runs() {
        std::thread::sleep(LOOK);
    }
}

fn wait_readable(fd: &OwnedFd) {
    while let Err(Errno::INTR) = rustix::event::poll(&mut [PollFd::new(fd, PollFlags::IN)], None) {}
}
