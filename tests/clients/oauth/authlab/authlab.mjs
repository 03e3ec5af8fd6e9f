// mcp-authlab against an MCP server of ours and its issuer: it signs in, where Sarah goes for it, tries what a thief would, and
// grades both.
//
// node authlab.mjs ISSUER WORK, as `run` calls it; AUTHLAB is the program
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { Person, api, issuer, step, work } from "../world.mjs";

const server = `${issuer}mcp/documents`;
const sarah = new Person();

/** Runs it, and goes where it says; answers what it printed. */
async function run(...options) {
  const env = { ...process.env, HOME: work, XDG_CONFIG_HOME: work }; // it keeps tokens there
  const lab = spawn(process.env.AUTHLAB, [...options, server], { env, stdio: ["ignore", "pipe", "pipe"] });
  let [said, printed] = ["", ""];
  const gone = new Map();
  const look = (bytes) => {
    said += bytes;
    for (const [url] of said.matchAll(/https:\S+\/authorize\?\S+(?=\s)/g)) {
      if (gone.has(url)) continue;
      const went = sarah.browse(url).then((at) => sarah.goOn(at)).then((at) => fetch(at.url));
      went.catch(() => lab.kill());
      gone.set(url, went);
    }
  };
  lab.stdout.on("data", (bytes) => look(bytes) ?? (printed += bytes));
  lab.stderr.on("data", look);
  const status = await new Promise((ended) => lab.on("close", ended));
  await Promise.all(gone.values());
  assert.equal(status, 0, said);
  return printed;
}
await run("login", "--client-id", "lab", "--foreign-resource", api, "--timeout", "30", "--no-color");
const graded = JSON.parse(await run("scan", "--format", "json"));
assert.deepEqual(
  [graded.grade, graded.must_failures, graded.critical_failures, graded.warnings, graded.counts.error],
  ["A", [], [], [], 0],
  JSON.stringify(graded.results.filter(({ status }) => !["pass", "skip"].includes(status)), null, 1),
);
assert.equal(graded.coverage.ran, graded.coverage.applicable);
step(`mcp-authlab: grade ${graded.grade}, ${graded.counts.pass} checks passed`);
