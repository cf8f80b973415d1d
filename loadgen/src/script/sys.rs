//! What mlua leaves to `unsafe`: a VM with every standard library, and the two calls that are made
//! for each request, with one copy and no handle to a value of the VM.
//!
//! Both calls are C functions that Lua calls with a pointer to what the caller lends them for that
//! long. An error leaves them without running them to the end, so that nothing in them may need to
//! be dropped.

use mlua::ffi::{self, lua_State};
use mlua::{Function, LightUserData, Lua, LuaOptions, StdLib};
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

/// The ways into a VM that are taken for each request.
#[derive(Debug)]
pub(super) struct Calls {
    for_text: Function,
    with_response: Function,
}

impl Calls {
    /// Makes the C functions, once for a VM.
    pub(super) fn new(lua: &Lua) -> mlua::Result<Self> {
        // SAFETY: both functions keep to Lua's rules for C functions, and only this type, which
        // knows what they expect, ever calls them.
        let make = |function| unsafe { lua.create_c_function(function) };
        Ok(Self { for_text: make(for_text)?, with_response: make(with_response)? })
    }

    /// Calls `function` without arguments and appends the text that it returns to `into`.
    pub(super) fn for_text(
        &self,
        function: &Function,
        into: &mut Vec<u8>,
    ) -> mlua::Result<Returned> {
        let mut job = TextJob { into, returned: Returned::Text };
        let pointer = LightUserData((&raw mut job).cast());
        self.for_text.call::<()>((function, pointer))?;
        Ok(job.returned)
    }

    /// Calls `function` with a status, a table of fields, of which the last of each name stays, and
    /// a body.
    pub(super) fn with_response(
        &self,
        function: &Function,
        status: u16,
        fields: &[(&[u8], &[u8])],
        body: &[u8],
    ) -> mlua::Result<()> {
        let mut job = ResponseJob { status, fields, body };
        let pointer = LightUserData((&raw mut job).cast());
        self.with_response.call((function, pointer))
    }
}

struct TextJob<'a> {
    into: &'a mut Vec<u8>,
    returned: Returned,
}

struct ResponseJob<'a> {
    status: u16,
    fields: &'a [(&'a [u8], &'a [u8])],
    body: &'a [u8],
}

/// Lua's side of [`Calls::for_text`]: the function, then a pointer to a [`TextJob`].
unsafe extern "C-unwind" fn for_text(state: *mut lua_State) -> c_int {
    // SAFETY: `Calls::for_text` has passed a pointer as the second argument.
    let job = unsafe { ffi::lua_touserdata(state, 2) }.cast::<TextJob<'_>>();
    // SAFETY: the job lives on the stack of `Calls::for_text`, which nobody else can see, until
    // this function has returned.
    let job = unsafe { &mut *job };
    // SAFETY: there are two arguments; the first, which stays, is the function.
    unsafe { ffi::lua_settop(state, 1) };
    // SAFETY: the function is on top.
    unsafe { ffi::lua_call(state, 0, 1) };
    let mut len = 0;
    // SAFETY: the call has left exactly one result, so that index -1 is valid.
    let text = unsafe { ffi::lua_tolstring(state, -1, &raw mut len) };
    if text.is_null() {
        // SAFETY: as above.
        let kind = unsafe { ffi::lua_type(state, -1) };
        // SAFETY: `kind` is what `lua_type` has returned.
        let name = unsafe { ffi::lua_typename(state, kind) };
        // SAFETY: names of types are constants of the library that end with a zero.
        let name: &'static CStr = unsafe { CStr::from_ptr(name) };
        job.returned = Returned::Other(name.to_str().unwrap_or("value"));
    } else {
        // SAFETY: the string is on the stack, which keeps it, and has `len` bytes.
        job.into.extend_from_slice(unsafe { slice::from_raw_parts(text.cast(), len) });
    }
    0
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
    use super::{Calls, Returned, new_vm};
    use mlua::Function;

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
        let calls = Calls::new(&lua).unwrap();
        let check = |expression: &str, expect: Result<&str, &'static str>| {
            let function: Function =
                lua.load(format!("return function() return {expression} end")).eval().unwrap();
            let mut into = b">".to_vec();
            let returned = calls.for_text(&function, &mut into).unwrap();
            let (text, kind) = match expect {
                Ok(text) => (text, Returned::Text),
                Err(kind) => ("", Returned::Other(kind)),
            };
            assert_eq!((into.as_slice(), returned), (format!(">{text}").as_bytes(), kind));
        };
        check("'a\\0b'", Ok("a\0b"));
        check("''", Ok(""));
        check("5, 'second'", Ok("5"));
        check("", Err("nil"));
        check("{}", Err("table"));
        check("io.stdout", Err("userdata"));
        check("1LL", Err("cdata"));
    }

    #[test]
    fn errors_inside_leave_the_stack_as_it_was() {
        let lua = new_vm();
        let calls = Calls::new(&lua).unwrap();
        let fail: Function = lua.load("return function() error('no', 0) end").eval().unwrap();
        let pass: Function = lua.load("return function() return 'yes' end").eval().unwrap();
        // Many more times than a stack could take, were anything left on it.
        for _ in 0..10_000 {
            let mut into = Vec::new();
            assert!(calls.for_text(&fail, &mut into).is_err());
            assert!(calls.with_response(&fail, 200, &[(b"a", b"b")], b"").is_err());
            calls.for_text(&pass, &mut into).unwrap();
            assert_eq!(into, b"yes");
        }
    }

    #[test]
    fn as_many_fields_as_there_are_arrive() {
        let lua = new_vm();
        let calls = Calls::new(&lua).unwrap();
        let count: Function = lua
            .load(
                "return function(status, fields, body)
                     seen = status .. ' ' .. #body .. ' ' .. fields['399'] n = 0
                     for _ in pairs(fields) do n = n + 1 end
                 end",
            )
            .eval()
            .unwrap();
        let names: Vec<String> = (0..400).map(|number| number.to_string()).collect();
        let fields: Vec<_> = names.iter().map(|name| (name.as_bytes(), name.as_bytes())).collect();
        calls.with_response(&count, 599, &fields, &[0; 70_000]).unwrap();
        let seen: String = lua.load("return seen .. ' ' .. n").eval().unwrap();
        assert_eq!(seen, "599 70000 399 400");
    }
}
