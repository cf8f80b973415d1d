//! The script in one thread: what is sent, and what is told of the answers.

use super::sys::{Calls, Returned};
use super::transfer::transfer;
use super::verify;
use super::vm::{Vm, failure, plain};
use crate::source::{Source, SourceError};
use mlua::{Function, Lua, Table, Value};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What both VMs know of a thread: the state behind `thread` and `wrk.thread`.
#[derive(Debug, Default)]
pub(super) struct Handle {
    address: Mutex<Option<SocketAddr>>,
    stop: AtomicBool,
}

impl Handle {
    fn address(&self) -> Option<SocketAddr> {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before a thread runs, `stop` has no effect, as in wrk.
    pub(super) fn forget_stop(&self) {
        self.stop.store(false, Ordering::Relaxed);
    }

    /// The functions behind a thread object in `lua`. `other` is the thread's VM; a thread that
    /// looks at itself has none, so that no VM keeps itself alive.
    pub(super) fn natives(self: &Arc<Self>, lua: &Lua, other: Option<&Lua>) -> mlua::Result<Table> {
        let table = lua.create_table()?;
        let vm = other.cloned();
        let get = move |lua: &Lua, name: Value| {
            let value: Value = vm.as_ref().unwrap_or(lua).globals().get(key(&name))?;
            Ok(match transfer(&value, lua) {
                Ok(value) => (value, None),
                Err(why) => (Value::Nil, Some(why)),
            })
        };
        table.set("get", lua.create_function(get)?)?;
        let vm = other.cloned();
        let set = move |lua: &Lua, (name, value): (Value, Value)| {
            let vm = vm.as_ref().unwrap_or(lua);
            Ok(match transfer(&value, vm) {
                Ok(value) => {
                    vm.globals().set(key(&name), value)?;
                    None
                }
                Err(why) => Some(why),
            })
        };
        table.set("set", lua.create_function(set)?)?;
        let handle = Arc::clone(self);
        let stop = move |_: &Lua, ()| {
            handle.stop.store(true, Ordering::Relaxed);
            Ok(())
        };
        table.set("stop", lua.create_function(stop)?)?;
        let handle = Arc::clone(self);
        let address = move |_: &Lua, ()| Ok(handle.address().map(|address| address.to_string()));
        table.set("address", lua.create_function(address)?)?;
        let handle = Arc::clone(self);
        let set_address = move |_: &Lua, text: String| {
            *handle.address.lock().unwrap_or_else(PoisonError::into_inner) = text.parse().ok();
            Ok(())
        };
        table.set("set_address", lua.create_function(set_address)?)?;
        Ok(table)
    }
}

/// The name of a global: Lua takes a number for its text.
fn key(name: &Value) -> String {
    name.to_string().unwrap_or_default()
}

/// What a script has, seen once on thread 0 and held for every thread, as in wrk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    depth: usize,
    renders: bool,
    delays: bool,
    responses: bool,
}

/// The script in the VM of one thread.
#[derive(Debug)]
pub struct ThreadScript {
    /// Keeps the VM alive, which functions do not.
    _vm: Vm,
    handle: Arc<Handle>,
    shape: Shape,
    fixed: Option<Vec<u8>>,
    calls: Calls,
    delay: Function,
}

impl ThreadScript {
    /// The thread's side of the script once `init` has run; `shape` is that of thread 0, `None`
    /// for thread 0 itself.
    pub(super) fn new(
        vm: Vm,
        handle: Arc<Handle>,
        shape: Option<Shape>,
    ) -> Result<Self, SourceError> {
        let [request, response, traceback] = ["request", "response", "traceback"];
        let calls = Calls::new(
            vm.lua(),
            &vm.function(request)?,
            &vm.function(response)?,
            &vm.function(traceback)?,
        );
        let calls = calls.map_err(|error| plain(&error))?;
        let shape = match shape {
            Some(shape) => shape,
            None => first_shape(&vm, &calls)?,
        };
        let mut thread =
            Self { handle, shape, fixed: None, calls, delay: vm.function("delay")?, _vm: vm };
        if !shape.renders {
            let mut batch = Vec::new();
            thread.render(&mut batch)?;
            thread.fixed = Some(batch);
        }
        Ok(thread)
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Whether the script has a `delay`.
    pub(super) fn delays(&self) -> bool {
        self.shape.delays
    }

    #[cfg(test)]
    pub(super) fn vm(&self) -> &Vm {
        &self._vm
    }

    /// Where the thread connects to: what `setup` has left in `thread.addr`. `None` where it has
    /// left nothing.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.handle.address()
    }
}

/// Verifies the first request and looks which hooks there are.
fn first_shape(vm: &Vm, calls: &Calls) -> Result<Shape, SourceError> {
    let mut batch = Vec::new();
    let returned = calls.for_text(&mut batch);
    let returned = returned.map_err(|error| failure(&error, Some("request")))?;
    let refuse = |refused: verify::Refused| match returned {
        Returned::Text => SourceError(refused.to_string()),
        Returned::Other(kind) => SourceError(format!("{refused}: {}", not_a_string(kind))),
    };
    Ok(Shape {
        depth: verify::count(&batch).map_err(refuse)?,
        renders: vm.has("request")?,
        delays: vm.has("delay")?,
        responses: vm.has("response")?,
    })
}

fn not_a_string(kind: &str) -> String {
    let article = if kind == "nil" { "" } else { "a " };
    format!("request() returned {article}{kind}, not a string")
}

impl Source for ThreadScript {
    fn depth(&self) -> usize {
        self.shape.depth
    }

    fn delay(&mut self) -> Result<Option<Duration>, SourceError> {
        if !self.shape.delays {
            return Ok(None);
        }
        let wanted: Option<f64> =
            self.delay.call(()).map_err(|error| failure(&error, Some("delay")))?;
        // wrk takes what is no number for 0, a negative one has no effect, and a fraction is cut.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, and what is not a number becomes 0"
        )]
        let delay_ms = wanted.unwrap_or(0.0) as u64;
        Ok(Some(Duration::from_millis(delay_ms)))
    }

    fn fixed(&self) -> Option<&[u8]> {
        self.fixed.as_deref()
    }

    fn render(&mut self, into: &mut Vec<u8>) -> Result<(), SourceError> {
        into.clear();
        let returned = self.calls.for_text(into);
        match returned.map_err(|error| failure(&error, Some("request")))? {
            Returned::Text => Ok(()),
            // A script that stops its thread in `request` need not return one more.
            Returned::Other(_) if self.stopped() => Ok(()),
            Returned::Other(kind) => Err(SourceError(not_a_string(kind))),
        }
    }

    fn wants_responses(&self) -> bool {
        self.shape.responses
    }

    fn response(
        &mut self,
        status: u16,
        fields: &[(&[u8], &[u8])],
        body: &[u8],
    ) -> Result<(), SourceError> {
        self.calls
            .with_response(status, fields, body)
            .map_err(|error| failure(&error, Some("response")))
    }

    fn stopped(&self) -> bool {
        self.handle.stop.load(Ordering::Relaxed)
    }
}
