// Node's http module; the handler reads the body of a request.
const timeouts = {
  connectionsCheckingInterval: 200,
  headersTimeout: 2000,
  requestTimeout: 4000,
  keepAliveTimeout: 3000,
};
require("http").createServer(timeouts, (request, response) => {
  request.on("data", () => {});
  request.on("end", () => {
    const path = request.url.replace(/^http:\/\/[^\/]*/i, "").split("?")[0];
    const known = ["", "/", "/plaintext", "/json", "/echo"].includes(path);
    const method = ["GET", "HEAD", "POST"].includes(request.method);
    response.statusCode = !method ? 405 : known || path.startsWith("/bytes/") ? 200 : 404;
    response.end("Hello, World!");
  });
}).listen(PORT, "127.0.0.1");
