// Sarah at a browser, for judges in other languages.
//
// node person.mjs ISSUER WORK URL             goes there, signs in, allows what is asked for, prints where the browser is sent
// node person.mjs ISSUER WORK approve|deny X  decides on the approval on whose page X stands
import { Person } from "./world.mjs";

const sarah = new Person();
const [what, named] = process.argv.slice(4);
if (named) await sarah.decide(named, what);
else console.log((await sarah.goOn(await sarah.browse(what))).url.href);
