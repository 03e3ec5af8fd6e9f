// What a server of a judge's own shows on this machine: the certificate by the authority of the run (authority.sh).
import { readFileSync } from "node:fs";
import { join } from "node:path";

const read = (file) => readFileSync(join(process.env.AUTHORITY, file));
/** For `createServer` of node:https. */
export const shown = () => ({ cert: read("server.pem"), key: read("server.key") });
