// What the judges in JavaScript share: where their modules are, the clients of `run`, and a person with a browser that goes as
// far as forms and cookies go.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.env.MODULES, "x.js"));
/** A module of those that were installed once. */
export const load = (name) => import(pathToFileURL(require.resolve(name)));

export const [issuer, work] = process.argv.slice(2);
export const api = "https://api.example/";
export const callback = "http://127.0.0.1:1/cb"; // nobody listens: the browser reads where it is sent
export const user = "sarah@example.com";
const base = issuer.replace(/\/$/, "");

const read = (file) => JSON.parse(readFileSync(join(work, file), "utf8"));
/** A client, as `bailiwick client create --json` printed it. */
export const client = (id) => read(`client.${id}.json`);
/** Sarah's id. */
export const userId = () => read("user.json").id;
/** The private key of the client `keyed`, as a JWK. */
export const key = () => read("keyed.key");

let done = 0;
/** Says that something holds. */
export const step = (text) => console.log(`ok ${++done} ${text}`);

/** The code of an app for a key in Base32, at a time in milliseconds (RFC 6238). */
function totp(base32, now) {
  const bits = [...base32].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const secret = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(now / 30_000)));
  const tag = createHmac("sha1", secret).update(counter).digest();
  const number = tag.readUInt32BE(tag.at(-1) & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}

const plain = (text) =>
  text.replace(/&(#\d+|#x[0-9A-F]+|quot|amp|lt|gt);/gi, (_, code) => {
    const named = { quot: '"', amp: "&", lt: "<", gt: ">" };
    return named[code] ?? String.fromCodePoint(/^#x/i.test(code) ? parseInt(code.slice(2), 16) : Number(code.slice(1)));
  });

/** What a person reads on a page. */
export const words = (page) => plain(page.replace(/<(style|script)[\s\S]*?<\/\1>/g, "").replace(/<[^>]*>/g, " ")).replace(/\s+/g, " ");

/** What every cookie of our issuer must be: of its host and of no script, and where it is https of nothing else (RFC 6265bis 4.1.3.2). */
function judgeCookie(line, name) {
  const attributes = line.split(/; */).slice(1).map((one) => one.toLowerCase());
  const [secure, has] = [base.startsWith("https:"), (one) => attributes.includes(one)];
  const told = [name.startsWith("__Host-bw-"), has("secure"), has("httponly"), has("path=/"), attributes.some((one) => /^domain/.test(one))];
  assert.deepEqual(told, [secure, secure, true, true, false], line);
}

/** Sarah at a browser of her own. Her password and her recovery codes are kept in WORK from one judge to the next. */
export class Person {
  jar = new Map();
  name = user;
  home = base; // where the browser stays
  password = "a password of many words";

  /** Gets a page, or sends a form, and follows; ends at a page, or at a URL for which it would leave the issuer. */
  async browse(url, form) {
    const headers = { cookie: [...this.jar].map(([name, value]) => `${name}=${value}`).join("; ") };
    const answer = await fetch(url, { method: form ? "POST" : "GET", body: form, headers, redirect: "manual" });
    // Where the issuer is https, its host is asked over TLS alone from then on (RFC 6797); `localhost` is everybody's.
    if (`${url}`.startsWith("https:") && `${url}`.startsWith(`${base}/`)) {
      const kept = new URL(url).hostname === "localhost" ? null : "max-age=31536000";
      assert.equal(answer.headers.get("strict-transport-security"), kept, `${url}`);
    }
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
      if (`${url}`.startsWith(`${base}/`)) judgeCookie(line, name);
      if (/max-age=0|expires=Thu, 01 Jan 1970/i.test(line)) this.jar.delete(name);
      else this.jar.set(name, value);
    }
    const to = answer.headers.get("location");
    if (!to) return { url: new URL(url), page: await answer.text(), status: answer.status };
    const next = new URL(to, url);
    return next.href.startsWith(`${this.home}/`) ? this.browse(next) : { url: next, page: "", status: answer.status };
  }

  /** Sends the form in which something stands. */
  submit(at, wanted, values) {
    const form = (at.page.match(/<form[\s\S]*?<\/form>/g) ?? []).find((text) => wanted.test(text));
    assert.ok(form, `no form ${wanted} at ${at.url}: ${words(at.page)}`);
    const body = new URLSearchParams();
    for (const [tag] of form.matchAll(/<input[^>]*>/g)) {
      const of = (name) => plain(tag.match(new RegExp(` ${name}="([^"]*)"`))?.[1] ?? "");
      const unset = /type="(checkbox|radio)"/.test(tag) && !/ checked/.test(tag);
      if (of("name") && !unset) body.append(of("name"), of("value"));
    }
    for (const [name, value] of Object.entries(values)) body.set(name, value);
    return this.browse(new URL(plain(form.match(/action="([^"]*)"/)[1]), at.url), body);
  }

  /** Takes the invitation: a password, once. */
  async join(link = "link.json") {
    let at = await this.browse(read(link).link);
    at = await this.submit(at, /name="code"/, {}); // looking at an invitation changes nothing: a button follows
    if (!/type="password"/.test(at.page)) at = await this.browse(`${base}/login/enrol/password`); // in place of a passkey
    await this.submit(at, /type="password"/, { password: this.password, again: this.password });
    this.jar.clear();
  }

  /** Goes on from a page, with whatever is asked for, until the browser would leave or there is nothing more to answer. */
  async goOn(at, decision = "allow") {
    for (let n = 0; n < 8 && at.page; n++) {
      if (/name="password"/.test(at.page)) at = await this.submit(at, /name="password"/, { name: this.name, password: this.password });
      else if (/type this key into the app/.test(words(at.page))) at = await this.addApp(at);
      else if (/Six-digit code/.test(at.page)) at = await this.browse(new URL(plain(at.page.match(/href="([^"]*recovery=yes)"/)[1]), at.url));
      else if (/name="code"/.test(at.page)) at = await this.submit(at, /name="code"/, { code: this.recoveryCode() });
      else if (/value="allow"/.test(at.page)) at = await this.submit(at, /value="allow"/, { decision });
      else break;
    }
    return at;
  }

  /** Adds an app for codes, and keeps the recovery codes that come with it: an app's code is good once in half a minute. */
  async addApp(at) {
    const shown = words(at.page).match(/type this key into the app ((?:[A-Z2-7]{4} ?){8})/)[1].replaceAll(" ", "");
    const next = await this.submit(at, /name="code"/, { code: totp(shown, Date.now()) });
    const codes = words(next.page).match(/\b[A-Za-z0-9]{4}(-[A-Za-z0-9]{4}){3}\b/g) ?? [];
    if (codes.length > 0) writeFileSync(join(work, "recovery.json"), JSON.stringify(codes));
    return next;
  }

  recoveryCode() {
    assert.ok(existsSync(join(work, "recovery.json")), "no recovery codes");
    const [code, ...rest] = read("recovery.json");
    writeFileSync(join(work, "recovery.json"), JSON.stringify(rest));
    return code;
  }

  /** Has two factors from now on: signs in, and adds an app. */
  async addFactor() {
    await this.goOn(await this.browse(`${base}/login`));
    const at = await this.addApp(await this.browse(`${base}/account/totp`));
    assert.ok(existsSync(join(work, "recovery.json")), words(at.page));
  }

  /** Decides on the approval whose page names something. */
  async decide(what, decision) {
    const list = await this.goOn(await this.browse(`${base}/approvals`));
    const hrefs = [...list.page.matchAll(/href="([^"]*\/approvals\/[^"]*)"/g)].map(([, href]) => plain(href));
    for (const href of hrefs) {
      let at = await this.browse(new URL(href, list.url));
      if (!words(at.page).includes(what)) continue;
      const confirm = at.page.match(/href="([^"]*\/login[^"]*)"/);
      if (confirm) at = await this.goOn(await this.browse(new URL(plain(confirm[1]), at.url)));
      return this.submit(at, /name="decision"/, { decision });
    }
    assert.fail(`no approval with ${what} among ${hrefs.length}: ${words(list.page)}`);
  }
}
