// The keys of the client that shows who it is by a signature: `keyed.jwks` for the issuer, `keyed.key` for the client.
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";

const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const named = { kid: "k1", alg: "ES256" };
writeFileSync("keyed.jwks", JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), ...named, use: "sig" }] }));
writeFileSync("keyed.key", JSON.stringify({ ...privateKey.export({ format: "jwk" }), ...named }));
