-- Asks for a token first and sends it with all requests after it has come.

local path = "/authenticate"

function request()
  return wrk.format("GET", path)
end

function response(status, headers)
  if status == 200 and headers["X-Token"] and not wrk.headers["X-Token"] then
    wrk.headers["X-Token"] = headers["X-Token"]
    path = "/resource"
  end
end
