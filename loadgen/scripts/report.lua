-- Prints the result as a line of JSON. Latencies are in microseconds.

function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '{"requests":%d,"duration_us":%d,"bytes":%d,"errors":%d,"latency_mean_us":%.2f,'
      .. '"latency_stdev_us":%.2f,"latency_min_us":%d,"latency_p50_us":%d,"latency_p99_us":%d,'
      .. '"latency_max_us":%d,"thread_rps_max":%d}\n',
    summary.requests, summary.duration, summary.bytes, failed, latency.mean,
    latency.stdev, latency.min, latency:percentile(50), latency:percentile(99),
    latency.max, requests.max
  ))
end
