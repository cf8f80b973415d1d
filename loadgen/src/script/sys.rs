//! The one constructor that is `unsafe`: a VM with every standard library.

use mlua::{Lua, LuaOptions, StdLib};

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

#[cfg(test)]
mod tests {
    use super::new_vm;

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
}
