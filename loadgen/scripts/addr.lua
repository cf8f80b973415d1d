-- Spreads the threads over all addresses of the server's name that answer, in turn.

local addresses, turn = nil, 0

local function reachable()
  local found = {}
  for _, address in ipairs(wrk.lookup(wrk.host, wrk.port or wrk.scheme)) do
    if wrk.connect(address) then
      found[#found + 1] = address
    end
  end
  return found
end

function setup(thread)
  addresses = addresses or reachable()
  turn = turn % #addresses + 1
  thread.addr = addresses[turn]
end

function init()
  print("connecting to " .. tostring(wrk.thread.addr))
end
