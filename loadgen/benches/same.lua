-- The least that a request() can do.

local batch

function init()
  batch = wrk.format()
end

function request()
  return batch
end
