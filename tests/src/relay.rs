//! A relay of datagrams between callers and one worker, which loses what it is told to lose.
//!
//! It needs no privilege, so that loss and partitions are tried wherever the tests run.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

/// How often a thread that hears nothing looks whether the relay has ended.
const LOOK: Duration = Duration::from_millis(200);

/// How long a caller to whom nothing is sent keeps its way back: longer than a connection lives so.
const IDLE: Duration = Duration::from_secs(10);

/// The largest datagram.
const DATAGRAM: usize = 64 << 10;

/// Percent of the datagrams that are lost, by direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    /// Of those to the worker.
    pub to_worker: u8,
    /// Of those from it.
    pub from_worker: u8,
}

impl Loss {
    /// Nothing passes either way.
    pub const PARTITION: Self = Self { to_worker: 100, from_worker: 100 };
}

/// A relay in front of a worker; it ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    rules: Arc<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    to_worker: AtomicU8,
    from_worker: AtomicU8,
    ended: AtomicBool,
}

impl Relay {
    /// Relays between a port of its own and `worker`. The `seed` draws which datagrams are lost.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start(worker: SocketAddr, seed: u64) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").unwrap();
        front.set_read_timeout(Some(LOOK)).unwrap();
        let address = front.local_addr().unwrap();
        let rules = Arc::new(Rules::default());
        let of_thread = Arc::clone(&rules);
        std::thread::spawn(move || of_thread.relay(&front, worker, seed));
        Self { address, rules }
    }

    /// Where callers reach the worker.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loses that much from now on.
    pub fn lose(&self, loss: Loss) {
        self.rules.to_worker.store(loss.to_worker, Ordering::Relaxed);
        self.rules.from_worker.store(loss.from_worker, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.rules.ended.store(true, Ordering::Relaxed);
    }
}

impl Rules {
    /// Passes on what callers send, until the relay ends.
    fn relay(self: &Arc<Self>, front: &UdpSocket, worker: SocketAddr, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut ways: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut buffer = vec![0; DATAGRAM];
        while !self.ended.load(Ordering::Relaxed) {
            let received = front.recv_from(&mut buffer);
            // A way back whose thread has ended is the map's alone.
            ways.retain(|_, way| Arc::strong_count(way) > 1);
            let Ok((len, caller)) = received else { continue };
            let way = match ways.get(&caller) {
                Some(way) => Arc::clone(way),
                None => {
                    let way = self.way_back(front, caller, worker, random.fork()).unwrap();
                    ways.insert(caller, Arc::clone(&way));
                    way
                }
            };
            if random.u8(0..100) >= self.to_worker.load(Ordering::Relaxed) {
                // Nobody listens while the worker is down: lost as well.
                let _ = way.send(&buffer[..len]);
            }
        }
    }

    /// Makes a socket towards the worker for one caller, with a thread that passes on its answers.
    fn way_back(
        self: &Arc<Self>,
        front: &UdpSocket,
        caller: SocketAddr,
        worker: SocketAddr,
        mut random: fastrand::Rng,
    ) -> io::Result<Arc<UdpSocket>> {
        let way = UdpSocket::bind("127.0.0.1:0")?;
        way.connect(worker)?;
        way.set_read_timeout(Some(LOOK))?;
        let (way, front, rules) = (Arc::new(way), front.try_clone()?, Arc::clone(self));
        let answers = Arc::clone(&way);
        std::thread::spawn(move || {
            let mut buffer = vec![0; DATAGRAM];
            let mut silent = Duration::ZERO;
            while silent < IDLE && !rules.ended.load(Ordering::Relaxed) {
                match answers.recv(&mut buffer) {
                    Ok(len) => {
                        silent = Duration::ZERO;
                        if random.u8(0..100) >= rules.from_worker.load(Ordering::Relaxed) {
                            let _ = front.send_to(&buffer[..len], caller);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(_) => silent += LOOK,
                }
            }
        });
        Ok(way)
    }
}
