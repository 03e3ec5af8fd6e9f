// Sarah at a browser, for judges in other languages.
//
// PERSON may name somebody else, who has no second factor.
//
// node person.mjs ISSUER WORK URL             goes there, signs in, allows what is asked for, prints where the browser is sent
// node person.mjs ISSUER WORK approve|deny X  decides on the approval on whose page X stands; several may be said
import { Person } from "./world.mjs";

const sarah = new Person();
sarah.name = process.env.PERSON ?? sarah.name;
const said = process.argv.slice(4);
if (said.length === 1) console.log((await sarah.goOn(await sarah.browse(said[0]))).url.href);
for (; said.length > 1; said.splice(0, 2)) await sarah.decide(said[1], said[0]);
