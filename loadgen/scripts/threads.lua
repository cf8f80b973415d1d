-- Gives each thread a number and adds up what the threads have counted.
-- Each thread has globals of its own; thread:set and thread:get copy values in and out.

local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
  thread:set("id", #threads)
end

function init()
  statuses = {}
  wrk.headers["X-Thread"] = id
end

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
end

function done()
  for number, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses")) do
      print(string.format("thread %d: %d times %d", number, count, status))
    end
  end
end
