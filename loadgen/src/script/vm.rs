//! One VM: wrk's globals in place, the script run, its hooks ready to be called.

use super::{resolve, session::Setup, sys};
use crate::source::SourceError;
use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, Table};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The Lua side of this module.
const PRELUDE: &str = include_str!("prelude.lua");

/// What the prelude is called in positions of errors.
const PRELUDE_NAME: &str = "wrk";

/// A VM and the functions that the prelude offers.
#[derive(Debug)]
pub(super) struct Vm {
    lua: Lua,
    entry: Table,
    /// Why the last `wrk.connect` failed.
    connect_error: Arc<Mutex<Option<io::Error>>>,
}

impl Vm {
    /// A VM in which the script has run; the second value says why it has not.
    pub(super) fn new(setup: &Setup) -> Result<(Self, Option<String>), SourceError> {
        let lua = sys::new_vm();
        let connect_error = Arc::new(Mutex::new(None));
        let entry = install(&lua, setup, &connect_error).map_err(|error| plain(&error))?;
        let vm = Self { lua, entry, connect_error };
        let cause: Option<String> = vm.call("load", None, setup.script.as_str())?;
        Ok((vm, cause.map(|cause| format!("{}: {cause}", setup.script))))
    }

    pub(super) fn lua(&self) -> &Lua {
        &self.lua
    }

    /// A function of the prelude, to be kept where it is called often.
    pub(super) fn function(&self, name: &str) -> Result<Function, SourceError> {
        self.entry.get(name).map_err(|error| plain(&error))
    }

    /// Calls a function of the prelude; `hook` is what the script is told to be in, if it fails.
    pub(super) fn call<R: FromLuaMulti>(
        &self,
        name: &str,
        hook: Option<&str>,
        args: impl IntoLuaMulti,
    ) -> Result<R, SourceError> {
        self.function(name)?.call(args).map_err(|error| failure(&error, hook))
    }

    /// The type of a global, in Lua's words.
    pub(super) fn kind(&self, global: &str) -> Result<String, SourceError> {
        self.call("kind", None, global)
    }

    /// Whether a hook is defined.
    pub(super) fn has(&self, hook: &str) -> Result<bool, SourceError> {
        Ok(self.kind(hook)? == "function")
    }

    /// The text of the error that the last `wrk.connect` failed with.
    pub(super) fn connect_error(&self) -> String {
        let last = self.connect_error.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = io::Error::from_raw_os_error(libc::EADDRNOTAVAIL);
        resolve::strerror(last.as_ref().unwrap_or(&missing))
    }
}

/// Runs the prelude.
fn install(
    lua: &Lua,
    setup: &Setup,
    connect_error: &Arc<Mutex<Option<io::Error>>>,
) -> mlua::Result<Table> {
    let target = lua.create_table()?;
    target.set("scheme", setup.scheme.as_str())?;
    target.set("host", setup.host.as_str())?;
    target.set("port", setup.port.as_deref())?;
    target.set("path", setup.path.as_str())?;
    let fields = lua.create_table()?;
    for (name, value) in &setup.fields {
        fields.set(name.as_str(), value.as_str())?;
    }
    let native = natives(lua, connect_error)?;
    lua.load(PRELUDE).set_name(format!("={PRELUDE_NAME}")).call((native, target, fields))
}

fn natives(lua: &Lua, connect_error: &Arc<Mutex<Option<io::Error>>>) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    let lookup = |_: &Lua, (host, service): (String, String)| {
        Ok(match resolve::lookup(&host, &service) {
            Ok(addresses) => {
                let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                (Some(texts), None)
            }
            Err(why) => (None, Some(why)),
        })
    };
    native.set("lookup", lua.create_function(lookup)?)?;
    let last = Arc::clone(connect_error);
    let connect = move |_: &Lua, address: String| {
        let result = resolve::connect(&address);
        let connected = result.is_ok();
        if let Err(error) = result {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
        Ok(connected)
    };
    native.set("connect", lua.create_function(connect)?)?;
    native.set("time_us", lua.create_function(|_, ()| Ok(time_us()))?)?;
    Ok(native)
}

/// The time of day in microseconds; exact in a double until the year 2255.
#[expect(clippy::cast_precision_loss, reason = "a Lua number is a double")]
fn time_us() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_micros() as f64
}

/// An error that no script has caused.
pub(super) fn plain(error: &mlua::Error) -> SourceError {
    SourceError(error.to_string())
}

/// An error inside a script: message, position and hook in one line.
pub(super) fn failure(error: &mlua::Error, hook: Option<&str>) -> SourceError {
    let text = match error {
        mlua::Error::RuntimeError(text) | mlua::Error::MemoryError(text) => text.clone(),
        other => other.to_string(),
    };
    SourceError(explain(&text, hook))
}

/// Turns a message with a traceback into one line.
///
/// A message that has no position, or one in the prelude, gets the innermost one that the traceback
/// has in the script.
fn explain(text: &str, hook: Option<&str>) -> String {
    let (message, traceback) = text.split_once("\nstack traceback:").unwrap_or((text, ""));
    let message = message.strip_prefix("runtime error: ").unwrap_or(message);
    let (own, message) = match split_position(message) {
        Some((PRELUDE_NAME, rest)) => (None, rest),
        Some((position, _)) => (Some(position), message),
        None => (None, message),
    };
    let script_line = || {
        let frames = traceback.lines().map(str::trim_start);
        frames.filter_map(frame_position).next().map(|position| format!("{position}: "))
    };
    let position = if own.is_some() { String::new() } else { script_line().unwrap_or_default() };
    match hook {
        Some(hook) => format!("{position}{message} (in {hook}())"),
        None => message.to_owned(),
    }
}

/// Splits `file:12: message` into the file and the message.
fn split_position(message: &str) -> Option<(&str, &str)> {
    let (at, _) = message.match_indices(':').find(|(at, _)| {
        let rest = &message[at + 1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits > 0 && rest[digits..].starts_with(": ")
    })?;
    let (file, rest) = message.split_at(at);
    let (_, message) = rest[1..].split_once(": ")?;
    Some((file, message))
}

/// `file:12` from a line of a traceback that is about a script.
fn frame_position(frame: &str) -> Option<&str> {
    let (position, _) = frame.split_once(": ")?;
    let (file, line) = position.rsplit_once(':')?;
    let in_script = file != PRELUDE_NAME && line.bytes().all(|byte| byte.is_ascii_digit());
    in_script.then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, hook: Option<&str>, expect: &str) {
        assert_eq!(explain(text, hook), expect);
    }

    #[test]
    fn errors_say_where_the_script_is_wrong() {
        check("a.lua:3: boom\nstack traceback:\n\ta.lua:3: x", Some("init"), {
            "a.lua:3: boom (in init())"
        });
        check(
            "wrk:9: bad argument\nstack traceback:\n\t[C]: in function 'len'\n\twrk:9: in function \
             'format'\n\ta.lua:7: in function <a.lua:6>",
            Some("request"),
            "a.lua:7: bad argument (in request())",
        );
        check("boom", Some("done"), "boom (in done())");
        check("unable to resolve x:80 y", None, "unable to resolve x:80 y");
        check("runtime error: c:/x/a.lua:12: boom", Some("init"), {
            "c:/x/a.lua:12: boom (in init())"
        });
    }
}
