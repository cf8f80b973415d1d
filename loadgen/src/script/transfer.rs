//! Values that go from one VM to another: nil, booleans, numbers, strings and tables of those.

use mlua::{Lua, Value};

/// Most tables inside one another. A table that contains itself has no end.
const DEPTH_MAX: usize = 100;

/// Copies a value into another VM.
///
/// # Errors
/// In wrk's words where the value, or one inside it, cannot be transferred.
pub(super) fn transfer(value: &Value, into: &Lua) -> Result<Value, String> {
    copy(value, into, 0)
}

fn copy(value: &Value, into: &Lua, depth: usize) -> Result<Value, String> {
    let failed = |error: mlua::Error| error.to_string();
    match value {
        Value::Nil => Ok(Value::Nil),
        Value::Boolean(flag) => Ok(Value::Boolean(*flag)),
        Value::Integer(number) => Ok(Value::Integer(*number)),
        Value::Number(number) => Ok(Value::Number(*number)),
        Value::String(text) => {
            into.create_string(text.as_bytes()).map(Value::String).map_err(failed)
        }
        Value::Table(_) if depth == DEPTH_MAX => Err(format!(
            "cannot transfer a table with more than {DEPTH_MAX} tables inside one another"
        )),
        Value::Table(table) => {
            let copied = into.create_table().map_err(failed)?;
            for pair in table.pairs::<Value, Value>() {
                let (key, value) = pair.map_err(failed)?;
                copied
                    .raw_set(copy(&key, into, depth + 1)?, copy(&value, into, depth + 1)?)
                    .map_err(failed)?;
            }
            Ok(Value::Table(copied))
        }
        other => Err(format!("cannot transfer '{}' to thread", type_name(other))),
    }
}

/// Lua's name of a type; mlua tells apart what Lua calls userdata.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::LightUserData(_) | Value::UserData(_) => "userdata",
        Value::Other(_) => "cdata",
        other => match other.type_name() {
            "integer" => "number",
            name => name,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::sys::new_vm;

    fn check(expression: &str, expect: Result<&str, &str>) {
        let (source, target) = (new_vm(), new_vm());
        let value: Value = source.load(format!("return {expression}")).eval().unwrap();
        let result = transfer(&value, &target).map(|copied| {
            target.globals().set("copied", copied).unwrap();
            let show = "local function show(v)
                if type(v) ~= 'table' then return type(v) .. ' ' .. tostring(v) end
                local keys = {}
                for k in pairs(v) do keys[#keys + 1] = k end
                table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
                for i, k in ipairs(keys) do keys[i] = show(k) .. '=' .. show(v[k]) end
                return '{' .. table.concat(keys, ', ') .. '}'
            end
            return show(copied)";
            target.load(show).eval::<String>().unwrap()
        });
        assert_eq!(result, expect.map(str::to_owned).map_err(str::to_owned), "{expression}");
    }

    #[test]
    fn values_arrive_as_they_left() {
        check("nil", Ok("nil nil"));
        check("true", Ok("boolean true"));
        check("3", Ok("number 3"));
        check("-0.25", Ok("number -0.25"));
        check("2^53", Ok("number 9.007199254741e+15"));
        check("'a\\0b'", Ok("string a\0b"));
        check("{1, x = {y = 'z'}, [true] = 2}", {
            Ok("{number 1=number 1, boolean true=number 2, string x={string y=string z}}")
        });
    }

    #[test]
    fn what_cannot_be_copied_is_refused_in_the_words_of_wrk() {
        check("print", Err("cannot transfer 'function' to thread"));
        check("{a = {io.stdout}}", Err("cannot transfer 'userdata' to thread"));
        check("newproxy()", Err("cannot transfer 'userdata' to thread"));
        check("coroutine.create(print)", Err("cannot transfer 'thread' to thread"));
        check("1LL", Err("cannot transfer 'cdata' to thread"));
        check(
            "(function() local t = {} t.t = t return t end)()",
            Err("cannot transfer a table with more than 100 tables inside one another"),
        );
    }
}
