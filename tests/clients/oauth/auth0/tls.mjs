// Ends TLS before the issuer, as a proxy does: the SDKs of Auth0 speak nothing but https.
//
// node tls.mjs PORT BEHIND CERTIFICATE KEY
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:https";

const [port, behind, cert, key] = process.argv.slice(2);
const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (asked, answered) => {
  const { method, url: path, headers, socket } = asked;
  const on = request({ host: "127.0.0.1", port: behind, method, path, headers: { ...headers, "x-forwarded-for": socket.remoteAddress } });
  on.on("response", (found) => found.pipe(answered.writeHead(found.statusCode, found.headers)));
  on.on("error", (error) => answered.writeHead(502).end(`${error}`));
  asked.pipe(on);
});
server.listen(port, "127.0.0.1", () => console.log("forwarding"));
