-- Posts a form. Content-Length is computed from the body.

wrk.method = "POST"
wrk.body = "name=showdown&mode=epoll"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
