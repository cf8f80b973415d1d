-- Takes the method and the body from the command line:
--   loadgen -s args.lua http://127.0.0.1:8080/echo -- POST "some text"
-- There is no request(), so what init() leaves in `wrk` is rendered once and sent each time.

function init(args)
  wrk.method = args[1] or "GET"
  wrk.body = args[2]
end
