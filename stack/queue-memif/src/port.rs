//! A port: one end of a control socket, its thread, and the queues.

use crate::channel::Listener;
use crate::control::Control;
use crate::shared::Shared;
use crate::{Config, Error, MemifQueue, Role};
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// One end of a memif. The link ends, and the socket's file goes, when it is dropped; its queues
/// live on without a peer.
#[derive(Debug)]
pub struct Port {
    shared: Arc<Shared>,
    queues: Vec<MemifQueue>,
    control: Option<JoinHandle<()>>,
}

impl Port {
    /// Opens one end: a server listens from now on, a client looks for its server.
    ///
    /// Needs no privilege but to write to the socket's folder. Starts a thread, which inherits the
    /// signal mask.
    ///
    /// # Errors
    /// [`Error`], whose text names the likely cause and its cure.
    pub fn open(config: &Config) -> Result<Self, Error> {
        config.check()?;
        let shared = Shared::new().map_err(|error| system("make an eventfd", error))?;
        let shared = Arc::new(shared);
        let listener = match config.role {
            Role::Server => Some(listen(&config.socket)?),
            Role::Client => None,
        };
        let control = Control::new(config.clone(), Arc::clone(&shared), listener);
        let control = Builder::new()
            .name("memif-control".to_owned())
            .spawn(move || control.run())
            .map_err(|error| system("start the control thread", error))?;
        let queue = |id| MemifQueue::new(config, usize::from(id), Arc::clone(&shared));
        let queues = (0..config.queue_count).map(queue).collect();
        Ok(Self { shared, queues, control: Some(control) })
    }

    /// The queues, in order, each for one thread. There are none the second time.
    pub fn take_queues(&mut self) -> Vec<MemifQueue> {
        std::mem::take(&mut self.queues)
    }

    /// Waits until there is a peer (`is_up`), or none. False where that takes longer than
    /// `timeout`. Queues notice at their next poll.
    #[must_use]
    pub fn wait_for_link(&self, is_up: bool, timeout: Duration) -> bool {
        self.shared.wait(is_up, timeout)
    }

    /// Why the latest peer left that said so, in its own words, with everything escaped that is not
    /// printable ASCII: a server that refuses a client says here what is wrong.
    #[must_use]
    pub fn farewell(&self) -> Option<String> {
        self.shared.farewell()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(Err(panic)) = self.control.take().map(JoinHandle::join) {
            // A panic of the control thread is ours to show, unless one is on its way already.
            if !std::thread::panicking() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn listen(socket: &str) -> Result<Listener, Error> {
    Listener::bind(socket).map_err(|error| {
        let socket = socket.to_owned();
        match error.kind() {
            io::ErrorKind::AddrInUse if is_listened_on(&socket) => Error::SocketInUse { socket },
            _ => Error::Listen { socket, error },
        }
    })
}

/// Whether somebody takes connections there: then the cure is another one than for a file.
fn is_listened_on(socket: &str) -> bool {
    crate::channel::Channel::connect(socket).is_ok()
}

const fn system(action: &'static str, error: io::Error) -> Error {
    Error::System { action, error }
}
