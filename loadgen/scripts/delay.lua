-- Lets each connection rest before each of its requests:
--   loadgen -s delay.lua http://127.0.0.1:8080/ -- 20

local rest_ms

function init(args)
  rest_ms = tonumber(args[1]) or 10
end

function delay()
  return rest_ms
end
