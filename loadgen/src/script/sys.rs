//! What mlua leaves to `unsafe`: a VM with every standard library, and the two calls that are made
//! for each request, which go to Lua's C interface directly, under mlua's lock: one protected call
//! and one copy, no handle to a value of the VM.
//!
//! [`Calls::for_text`] stands for `lua_getglobal`, `lua_call` and `lua_tolstring` in wrk, with the
//! difference that an error is told and not the end of the process. [`Calls::with_response`] makes
//! values, which can fail for want of memory, so it runs in a C function that Lua calls, protected,
//! with a pointer to what the caller lends it for that long. An error leaves such a function
//! without running it to the end, so that nothing in it may need to be dropped.

use mlua::ffi::{self, lua_State};
use mlua::{Function, Lua, LuaOptions, StdLib};
use std::ffi::{CStr, c_int};
use std::slice;

/// A VM with all of LuaJIT's libraries, `ffi` and `debug` included, as wrk's scripts have them.
///
/// Panics of ours are not turned into Lua errors: no function of this crate that Lua calls panics,
/// and turning them would replace `pcall` by one that LuaJIT cannot compile.
pub(super) fn new_vm() -> Lua {
    let options = LuaOptions::new().catch_rust_panics(false);
    // SAFETY: libraries such as `ffi` let a script write anywhere in this process. The script comes
    // from the user, who could run any program instead: whoever names it answers for it, as in wrk.
    unsafe { Lua::unsafe_new_with(StdLib::ALL, options) }
}

/// What came of [`Calls::for_text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    /// A string, or a number, which Lua takes for its text.
    Text,
    /// A value of this type.
    Other(&'static str),
}

/// A function that the registry of a VM keeps, for good: no collection takes it away.
#[derive(Clone, Copy, Debug)]
struct Kept(c_int);

impl Kept {
    fn new(lua: &Lua, function: &Function) -> mlua::Result<Self> {
        let keep = |state: *mut lua_State| {
            // SAFETY: `exec_raw` has pushed the function, which this takes off.
            let reference = unsafe { ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX) };
            // SAFETY: there is room where the function was.
            unsafe { ffi::lua_pushinteger(state, reference as ffi::lua_Integer) };
        };
        // SAFETY: `keep` leaves its result alone on the stack, and has nothing to be dropped where
        // an error leaves it.
        Ok(Self(unsafe { lua.exec_raw(function, keep) }?))
    }

    /// Pushes the function.
    fn push(self, state: *mut lua_State) {
        // SAFETY: called by `Calls` only, with the state of the VM that keeps the function and room
        // on its stack. Reading a table without metamethods neither allocates nor fails.
        unsafe { ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, self.0) };
    }
}

/// The ways into a VM that are taken for each request.
#[derive(Debug)]
pub(super) struct Calls {
    lua: Lua,
    request: Kept,
    response: Kept,
    traceback: Kept,
    tostring: Kept,
}

impl Calls {
    /// `request` returns a text, `response` takes what [`Calls::with_response`] is given, and
    /// `traceback` turns any error into a text.
    pub(super) fn new(
        lua: &Lua,
        request: &Function,
        response: &Function,
        traceback: &Function,
    ) -> mlua::Result<Self> {
        Ok(Self {
            lua: lua.clone(),
            request: Kept::new(lua, request)?,
            response: Kept::new(lua, response)?,
            traceback: Kept::new(lua, traceback)?,
            tostring: Kept::new(lua, &lua.globals().get("tostring")?)?,
        })
    }

    /// Calls `request` and appends the text that it returns to `into`.
    pub(super) fn for_text(&self, into: &mut Vec<u8>) -> mlua::Result<Returned> {
        self.lua.exec_raw_lua(|raw| {
            let state = raw.state();
            self.traceback.push(state);
            self.request.push(state);
            let called = call(state, 0, 1).and_then(|()| self.convert(state));
            let result = called.map(|()| take_text(state, into));
            // SAFETY: the function that makes tracebacks is on top, all else was taken off.
            unsafe { ffi::lua_settop(state, -2) };
            result
        })
    }

    /// Replaces a number on top of the stack by its text, for which Lua takes it everywhere. That
    /// makes a string, which can fail, so it is a call of its own.
    fn convert(&self, state: *mut lua_State) -> mlua::Result<()> {
        // SAFETY: the result of a call is on top of the stack.
        if unsafe { ffi::lua_type(state, -1) } != ffi::LUA_TNUMBER {
            return Ok(());
        }
        self.tostring.push(state);
        // SAFETY: the number and the function are the two on top.
        unsafe { ffi::lua_insert(state, -2) };
        call(state, 1, 1)
    }

    /// Calls `response` with a status, a table of fields, of which the last of each name stays, and
    /// a body.
    pub(super) fn with_response(
        &self,
        status: u16,
        fields: &[(&[u8], &[u8])],
        body: &[u8],
    ) -> mlua::Result<()> {
        let mut job = ResponseJob { status, fields, body };
        self.lua.exec_raw_lua(|raw| {
            let state = raw.state();
            self.traceback.push(state);
            // SAFETY: there is room for it: see `call`.
            unsafe { ffi::lua_pushcfunction(state, with_response) };
            self.response.push(state);
            // SAFETY: as above. The job outlives the call that it is an argument of.
            unsafe { ffi::lua_pushlightuserdata(state, (&raw mut job).cast()) };
            let result = call(state, 2, 0);
            // SAFETY: the function that makes tracebacks is on top, all else was taken off.
            unsafe { ffi::lua_settop(state, -2) };
            result
        })
    }
}

/// Calls the function below so many arguments on top of the stack, which all are taken off; an
/// error is turned into text by the function below them all.
///
/// The caller pushes five values at most onto the stack of a VM in which nothing runs; Lua
/// guarantees room for `LUA_MINSTACK`, 20, there.
fn call(state: *mut lua_State, arguments: c_int, results: c_int) -> mlua::Result<()> {
    // SAFETY: `Calls` has pushed what is called, its arguments, and the handler below; the call is
    // protected, so that no error passes through here.
    let status = unsafe { ffi::lua_pcall(state, arguments, results, -2 - arguments) };
    if status == ffi::LUA_OK {
        return Ok(());
    }
    let mut text = Vec::new();
    let message = match take_text(state, &mut text) {
        Returned::Text => String::from_utf8_lossy(&text).into_owned(),
        Returned::Other(kind) => format!("a {kind} was raised as an error"),
    };
    Err(mlua::Error::RuntimeError(message))
}

/// Takes the value off the top of the stack; if it is a string, appends it to `into`.
fn take_text(state: *mut lua_State, into: &mut Vec<u8>) -> Returned {
    // SAFETY: `Calls` has a value on top of the stack: the result of a call, or its error.
    let kind = unsafe { ffi::lua_type(state, -1) };
    let returned = if kind == ffi::LUA_TSTRING {
        let mut len = 0;
        // SAFETY: as above. The value is a string, which is neither converted nor copied.
        let text = unsafe { ffi::lua_tolstring(state, -1, &raw mut len) };
        // SAFETY: the string is on the stack, which keeps it, and has `len` bytes.
        into.extend_from_slice(unsafe { slice::from_raw_parts(text.cast(), len) });
        Returned::Text
    } else {
        // SAFETY: `kind` is what `lua_type` has returned.
        let name = unsafe { ffi::lua_typename(state, kind) };
        // SAFETY: names of types are constants of the library that end with a zero.
        let name: &'static CStr = unsafe { CStr::from_ptr(name) };
        Returned::Other(name.to_str().unwrap_or("value"))
    };
    // SAFETY: as above.
    unsafe { ffi::lua_settop(state, -2) };
    returned
}

struct ResponseJob<'a> {
    status: u16,
    fields: &'a [(&'a [u8], &'a [u8])],
    body: &'a [u8],
}

/// Lua's side of [`Calls::with_response`]: the function, then a pointer to a [`ResponseJob`].
unsafe extern "C-unwind" fn with_response(state: *mut lua_State) -> c_int {
    // SAFETY: `Calls::with_response` has passed a pointer as the second argument.
    let job = unsafe { ffi::lua_touserdata(state, 2) }.cast::<ResponseJob<'_>>();
    // SAFETY: the job lives on the stack of `Calls::with_response` until this function has
    // returned, and is only read.
    let job = unsafe { &*job };
    let count = c_int::try_from(job.fields.len()).unwrap_or(0);
    // SAFETY: there are two arguments; the first, which stays, is the function.
    unsafe { ffi::lua_settop(state, 1) };
    // SAFETY: a C function has room for 20 values; at most five are pushed here.
    unsafe { ffi::lua_pushinteger(state, job.status.into()) };
    // SAFETY: as above.
    unsafe { ffi::lua_createtable(state, 0, count) };
    for (name, value) in job.fields {
        push(state, name);
        push(state, value);
        // SAFETY: the table lies below the name and the value, which this takes off.
        unsafe { ffi::lua_rawset(state, -3) };
    }
    push(state, job.body);
    // SAFETY: the function and its three arguments are on top.
    unsafe { ffi::lua_call(state, 3, 0) };
    0
}

/// Pushes a copy of `bytes`.
fn push(state: *mut lua_State, bytes: &[u8]) {
    // SAFETY: called by the function above only, with the state that Lua has handed to it and room
    // on its stack.
    unsafe { ffi::lua_pushlstring_(state, bytes.as_ptr().cast(), bytes.len()) };
}

#[cfg(test)]
mod tests {
    use super::{Calls, Returned, ffi, new_vm};
    use mlua::{Function, Lua};

    /// Ways to `request` and `response`, which are functions in Lua.
    fn calls(lua: &Lua, request: &str, response: &str) -> Calls {
        let function = |text: &str| lua.load(format!("return {text}")).eval::<Function>().unwrap();
        let traceback = function("function(why) return debug.traceback(tostring(why)) end");
        Calls::new(lua, &function(request), &function(response), &traceback).unwrap()
    }

    const NOTHING: &str = "function() end";

    #[test]
    fn the_libraries_of_luajit_are_all_there_and_traces_are_compiled() {
        let lua = new_vm();
        for name in
            ["bit", "coroutine", "debug", "io", "jit", "math", "os", "package", "string", "table"]
        {
            let kind: String = lua.load(format!("return type({name})")).eval().unwrap();
            assert_eq!(kind, "table", "{name}");
        }
        let size: u32 = lua.load("return require('ffi').sizeof('int')").eval().unwrap();
        assert_eq!(size, 4);
        let compiles: bool = lua.load("return (jit.status())").eval().unwrap();
        assert!(compiles);
    }

    #[test]
    fn texts_are_appended_and_other_values_named() {
        let lua = new_vm();
        let check = |expression: &str, expect: Result<&str, &'static str>| {
            let calls = calls(&lua, &format!("function() return {expression} end"), NOTHING);
            let mut into = b">".to_vec();
            let returned = calls.for_text(&mut into).unwrap();
            let (text, kind) = match expect {
                Ok(text) => (text, Returned::Text),
                Err(kind) => ("", Returned::Other(kind)),
            };
            assert_eq!((into.as_slice(), returned), (format!(">{text}").as_bytes(), kind));
        };
        check("'a\\0b'", Ok("a\0b"));
        check("''", Ok(""));
        check("5, 'second'", Ok("5"));
        check("0.5", Ok("0.5"));
        check("", Err("nil"));
        check("{}", Err("table"));
        check("io.stdout", Err("userdata"));
        check("1LL", Err("cdata"));
    }

    #[test]
    fn errors_inside_leave_the_stack_as_it_was() {
        let lua = new_vm();
        let fails = calls(&lua, "function() error('no', 0) end", "function() error({}) end");
        let passes = calls(&lua, "function() return 'yes' end", NOTHING);
        // Many more times than a stack could take, were anything left on it.
        for _ in 0..10_000 {
            let mut into = Vec::new();
            let why = fails.for_text(&mut into).unwrap_err().to_string();
            assert!(why.starts_with("runtime error: no\nstack traceback:"), "{why}");
            let why = fails.with_response(200, &[(b"a", b"b")], b"").unwrap_err().to_string();
            assert!(why.starts_with("runtime error: table: 0x"), "{why}");
            passes.for_text(&mut into).unwrap();
            passes.with_response(200, &[(b"a", b"b")], b"").unwrap();
            assert_eq!(into, b"yes");
        }
        let depth = lua.exec_raw_lua(|raw| {
            // SAFETY: the state is that of a VM that is alive.
            unsafe { ffi::lua_gettop(raw.state()) }
        });
        assert_eq!(depth, 0);
    }

    #[test]
    fn an_error_that_cannot_be_told_is_an_error_all_the_same() {
        let lua = new_vm();
        let object = "setmetatable({}, {__tostring = function() error('again') end})";
        let calls = calls(&lua, &format!("function() error({object}) end"), NOTHING);
        let why = calls.for_text(&mut Vec::new()).unwrap_err().to_string();
        assert!(why.contains("error in error handling"), "{why}");
    }

    #[test]
    fn as_many_fields_as_there_are_arrive() {
        let lua = new_vm();
        let count = "function(status, fields, body)
                         seen = status .. ' ' .. #body .. ' ' .. fields['399'] n = 0
                         for _ in pairs(fields) do n = n + 1 end
                     end";
        let calls = calls(&lua, NOTHING, count);
        let names: Vec<String> = (0..400).map(|number| number.to_string()).collect();
        let fields: Vec<_> = names.iter().map(|name| (name.as_bytes(), name.as_bytes())).collect();
        calls.with_response(599, &fields, &[0; 70_000]).unwrap();
        let seen: String = lua.load("return seen .. ' ' .. n").eval().unwrap();
        assert_eq!(seen, "599 70000 399 400");
    }
}
