// The conformance suite of the Model Context Protocol's owners, as it judges authorization servers: it prints where a person
// has to go, and Sarah goes there.
//
// node mcp.mjs ISSUER WORK, as `run` calls it; NODE24 and SUITE say what runs it
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { Person, api, issuer, step } from "./world.mjs";

const free = createServer().listen(0, "127.0.0.1");
await new Promise((ready) => free.on("listening", ready));
const { port } = free.address();
await new Promise((closed) => free.close(closed));

const options = ["--url", issuer, "--client-id", "mcp", "--resource", api, "--port", String(port)];
const suite = spawn(process.env.NODE24, [process.env.SUITE, "authorization", ...options], { stdio: ["ignore", "pipe", "pipe"] });
let said = "";
let gone;
const sarah = new Person();
for (const stream of [suite.stdout, suite.stderr]) {
  stream.on("data", (bytes) => {
    said += bytes;
    const url = said.match(new RegExp(`${issuer}/authorize\\S+`))?.[0];
    if (url && !gone) {
      gone = sarah.browse(url).then((at) => sarah.goOn(at)).then(({ url: to }) => fetch(to));
      gone.catch(() => suite.kill()); // it would wait for minutes
    }
  });
}
const status = await new Promise((ended) => suite.on("exit", ended));
assert.ok(gone, said);
await gone;
assert.equal(status, 0, said);
const [, total] = said.match(/Total: (.*)/) ?? [null, said];
step(`the MCP conformance suite of authorization servers: ${total}`);
