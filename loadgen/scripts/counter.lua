-- Numbers the requests of each thread, in the path and in a field.

local number = 0

function request()
  number = number + 1
  wrk.headers["X-Number"] = number
  return wrk.format("GET", "/item/" .. number)
end
