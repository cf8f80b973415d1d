-- What wrk gives to a script, made anew in each VM.
--
-- The functions that Lua lacks come in as `native`; they return what went wrong instead of raising
-- it, so that every error is raised here, as a string, at the line of the script that caused it.
-- wrk.format is Lua because a call out of Lua would end every trace that LuaJIT compiles.
local native, target, fields = ...

local globals = _G
local error, loadfile, newproxy, pairs, pcall = error, loadfile, newproxy, pairs, pcall
local getmetatable, setmetatable = getmetatable, setmetatable
local tonumber, tostring, type = tonumber, tostring, type
local len, table_remove = string.len, table.remove
local stdout, traceback = io.stdout, debug.traceback
local buffer = require("string.buffer").new(1024)

-- Debian's LuaJIT looks here as well; scripts that `require` its packages keep working.
package.path = package.path .. ";/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua"

local wrk = {
  scheme = target.scheme,
  host = target.host,
  port = target.port,
  path = target.path,
  method = "GET",
  headers = fields,
}

-- Objects that scripts see as userdata: one table of hidden state for each kind.
local function kind(name)
  local prototype = newproxy(true)
  local state_of = setmetatable({}, { __mode = "k" })
  local self = { meta = getmetatable(prototype) }

  function self.new(state)
    local object = newproxy(prototype)
    state_of[object] = state
    return object
  end

  -- The state of an argument; `level` is the caller to blame for a wrong one.
  function self.state(object, level)
    local state = object ~= nil and state_of[object]
    if not state then
      error(("bad argument (%s expected, got %s)"):format(name, type(object)), level + 1)
    end
    return state
  end

  return self
end

-- Addresses. Their state is the address and port as one text, with the brackets of IPv6.

local address = kind("wrk.addr")

function address.meta.__tostring(object)
  return (address.state(object, 2).text:gsub("[%[%]]", ""))
end

function wrk.lookup(host, service)
  local texts, failure = native.lookup(tostring(host), tostring(service))
  if not texts then
    error(failure, 0)
  end
  local found = {}
  for index = 1, #texts do
    found[index] = address.new({ text = texts[index] })
  end
  return found
end

function wrk.connect(object)
  return native.connect(address.state(object, 2).text)
end

function wrk.resolve(host, service)
  local reachable = wrk.lookup(host, service)
  for index = #reachable, 1, -1 do
    if not wrk.connect(reachable[index]) then
      table_remove(reachable, index)
    end
  end
  wrk.addrs = reachable
end

function wrk.time_us()
  return native.time_us()
end

-- Threads. Their state is a table of native functions.

local thread = kind("wrk.thread")
local thread_methods = {}

function thread_methods.get(object, name)
  local value, failure = thread.state(object, 2).get(name)
  if failure then
    error(failure, 2)
  end
  return value
end

function thread_methods.set(object, name, value)
  local failure = thread.state(object, 2).set(name, value)
  if failure then
    error(failure, 2)
  end
end

function thread_methods.stop(object)
  thread.state(object, 2).stop()
end

function thread.meta.__index(object, key)
  local state = thread.state(object, 2)
  if key == "addr" then
    local text = state.address()
    return text and address.new({ text = text })
  end
  -- wrk leaves the key itself where it knows no field of that name.
  return thread_methods[key] or tostring(key)
end

function thread.meta.__newindex(object, key, value)
  local state = thread.state(object, 2)
  if key ~= "addr" then
    error(("cannot set '%s' on thread"):format(type(value)), 2)
  end
  state.set_address(address.state(value, 2).text)
end

-- Statistics. Their state has the figures, and native functions for what takes an argument.

local stats = kind("wrk.stats")

local function percentile(object, percent)
  local state = stats.state(object, 2)
  local number = tonumber(percent)
  if not number then
    local given = percent == nil and "no value" or type(percent)
    error(("bad argument #1 to 'percentile' (number expected, got %s)"):format(given), 2)
  end
  return state.percentile(number)
end

function stats.meta.__index(object, key)
  local state = stats.state(object, 2)
  if state.at and tonumber(key) then
    return state.at(tonumber(key))
  end
  if key == "percentile" then
    return percentile
  end
  local figure = state.figures[key]
  -- As for threads, an unknown key is answered with itself.
  return figure == nil and tostring(key) or figure
end

function stats.meta.__call(object, index)
  return stats.state(object, 2).distinct(tonumber(index) or 0)
end

function stats.meta.__len(object)
  return stats.state(object, 2).len
end

-- Requests and hooks.

function wrk.format(method, path, headers, body)
  method = method or wrk.method
  path = path or wrk.path
  headers = headers or wrk.headers
  body = body or wrk.body

  if not headers.Host then
    headers.Host = wrk.headers.Host
  end
  headers["Content-Length"] = body and len(body)

  buffer:reset():put(tostring(method), " ", tostring(path), " HTTP/1.1\r\n")
  for name, value in pairs(headers) do
    buffer:put(tostring(name), ": ", tostring(value), "\r\n")
  end
  return buffer:put("\r\n", body or ""):get()
end

function wrk.setup(object)
  -- Without addresses, the load goes where the command line says.
  if wrk.addrs then
    object.addr = wrk.addrs[1]
  end
  if type(globals.setup) == "function" then
    globals.setup(object)
  end
end

function wrk.init(args)
  if not wrk.headers.Host then
    local host = wrk.host
    if host:find(":", 1, true) then
      host = "[" .. host .. "]"
    end
    wrk.headers.Host = wrk.port and (host .. ":" .. wrk.port) or host
  end
  if type(globals.init) == "function" then
    globals.init(args)
  end
  local rendered = wrk.format()
  wrk.request = function()
    return rendered
  end
end

globals.wrk = wrk
package.loaded.wrk = wrk

-- What the load generator calls. Globals are looked up at each call, since scripts reassign them.

local entry = {}

-- Runs a script file; returns what went wrong.
function entry.load(path)
  local chunk, cause = loadfile(path)
  if chunk then
    local done
    done, cause = pcall(chunk)
    if done then
      return nil
    end
  end
  return tostring(cause)
end

-- The type of a global.
function entry.kind(name)
  return type(globals[name])
end

function entry.resolve(host, service)
  wrk.resolve(host, service)
  return #wrk.addrs
end

function entry.thread(natives)
  return thread.new(natives)
end

function entry.own_thread(natives)
  wrk.thread = thread.new(natives)
end

function entry.setup(object)
  wrk.setup(object)
end

function entry.init(args)
  wrk.init(args)
end

function entry.request()
  local request = globals.request
  if type(request) ~= "function" then
    request = wrk.request
  end
  return request()
end

-- What an error that was raised in one of the functions above is told as.
function entry.traceback(why)
  return traceback(tostring(why), 2)
end

function entry.response(status, headers, body)
  globals.response(status, headers, body)
end

function entry.delay()
  return tonumber((globals.delay()))
end

function entry.done(summary, latency, requests)
  globals.done(summary, stats.new(latency), stats.new(requests))
end

-- Lua writes through the C library's buffer, the load generator does not.
function entry.flush()
  stdout:flush()
end

return entry
