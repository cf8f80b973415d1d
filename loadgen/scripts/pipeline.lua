-- Sends several requests at once on each connection:
--   loadgen -s pipeline.lua http://127.0.0.1:8080/plaintext -- 16
-- The depth is found by counting what the first call of request() returns.

local batch

function init(args)
  local depth = tonumber(args[1]) or 1
  batch = wrk.format("GET", args[2]):rep(depth)
end

function request()
  return batch
end
