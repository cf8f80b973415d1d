-- Asks for the paths on the command line in turn:
--   loadgen -s paths.lua http://127.0.0.1:8080/ -- /plaintext /json
-- Rendering happens once, in init(), so that request() costs next to nothing.

local requests, turn = {}, 0

function init(args)
  for index = 1, #args do
    requests[index] = wrk.format("GET", args[index])
  end
  if #requests == 0 then
    requests[1] = wrk.format()
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
