// Puts a token into requests that have none, for judges that cannot say one. What a judge says of `Host` and `Origin` goes on,
// but for our own name, which is the server's. From here on it is https; judges come in the clear, because the suite's scenario of DNS
// rebinding is one of servers without https.
// Usage: open.mjs NAME=URL=TOKEN ... ; prints where it is, and serves each at /NAME. Ends when its input is closed.
import http from "node:http";
import https from "node:https";

const servers = new Map(process.argv.slice(2).map((text) => {
  const [name, url, token] = text.split("=");
  return [`/${name}`, { url: new URL(url), token }];
}));

const front = http.createServer((request, response) => {
  const server = servers.get(request.url.split("?")[0]);
  if (!server) return response.writeHead(404).end();
  const own = `127.0.0.1:${front.address().port}`;
  const headers = { ...request.headers, authorization: `Bearer ${server.token}` };
  if (headers.host === own) headers.host = server.url.host;
  if (headers.origin === `http://${own}`) headers.origin = server.url.origin;
  const { hostname, port, pathname } = server.url;
  const servername = ""; // the certificate is to be our server's, whatever the judge says of `Host`
  const on = https.request({ hostname, port, path: pathname, method: request.method, headers, servername }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  on.on("error", () => response.destroy());
  response.on("close", () => on.destroy());
  request.pipe(on);
});
front.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${front.address().port}`));
process.stdin.on("end", () => process.exit(0)).resume();
