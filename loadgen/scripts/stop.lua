-- Stops each thread after a number of responses:
--   loadgen -s stop.lua http://127.0.0.1:8080/ -- 1000

local wanted
local responses = 0

function init(args)
  wanted = tonumber(args[1]) or 100
end

function response()
  responses = responses + 1
  if responses == wanted then
    wrk.thread:stop()
  end
end
