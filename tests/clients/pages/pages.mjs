// Walks through the login pages in Chromium, with an authenticator that Chromium simulates, on a phone and on a desktop.
// Usage: node pages.mjs ISSUER LINK AUTHORIZE [DIRECTORY FOR SCREENSHOTS]
// ISSUER is the issuer's URL, LINK the invitation of a new user, AUTHORIZE a URL that begins an authorization request of a
// client on this machine whose consent is asked for; `{state}` in it stands for a value that is different each time.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:https";
import { chromium } from "playwright-core";
import { shown } from "./served.mjs";

const [issuer, link, authorize, shots] = process.argv.slice(2);
const PASSWORD = "correct horse battery staple";
const PHONE = { width: 390, height: 844 }, DESKTOP = { width: 1280, height: 800 };
if (shots) mkdirSync(shots, { recursive: true });

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: PHONE, deviceScaleFactor: 2 });
const page = await context.newPage();
const wrong = [];
// That a form was not right is said by status 422, which the browser reports and which is meant; so is that a browser without a
// profile has no push service.
page.on("console", (message) => { if (message.type() === "error" && !/ 422 |Push API in incognito mode/.test(message.text())) wrong.push(`${page.url()}: ${message.text()}`); });
page.on("pageerror", (error) => wrong.push(`${page.url()}: ${error}`));
const cdp = await context.newCDPSession(page);
await cdp.send("WebAuthn.enable");
const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", {
  options: {
    protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
    automaticPresenceSimulation: false,
  },
});
// A request that comes while nobody touches waits for ever, as what the page asks on its own is meant to: touch first, then press.
const touch = (on) => cdp.send("WebAuthn.setAutomaticPresenceSimulation", { authenticatorId, enabled: on });

// The page as it is on a phone and a desktop, by day and by night. It must not be wider than the screen, and what can be
// pressed must be as large as a finger.
async function look(name) {
  for (const [place, size] of [["phone", PHONE], ["desktop", DESKTOP]]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(wide, 0, `${name} is wider than the ${place}`);
      if (shots) await page.screenshot({ path: `${shots}/${name}-${place}-${colorScheme}.png`, fullPage: true });
    }
  }
  await page.setViewportSize(PHONE);
  await page.emulateMedia({ colorScheme: "light" });
  const small = await page.evaluate(() => [...document.querySelectorAll("button, input:not([type=hidden], [type=checkbox]), a.button")]
    .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 44).map((e) => e.outerHTML));
  assert.deepEqual(small, [], `too small to press on ${name}`);
  const unnamed = await page.evaluate(() => [...document.querySelectorAll("input:not([type=hidden])")]
    .filter((e) => e.checkVisibility() && !e.labels.length).map((e) => e.outerHTML));
  assert.deepEqual(unnamed, [], `fields without a label on ${name}`);
}
const shows = async (text) => {
  const body = await page.locator("main").innerText();
  assert.ok(body.includes(text), `"${text}" is not on ${page.url()}:\n${body}`);
};
const press = async (name) => {
  await Promise.all([page.waitForEvent("framenavigated"), page.getByRole("button", { name, exact: true }).click()]);
  await page.waitForLoadState();
};
function code(secret, at = Date.now()) {
  const bits = [...secret].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
  const mac = createHmac("sha1", key).update(step).digest();
  const number = (mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1_000_000;
  return String(number).padStart(6, "0");
}

// A new user follows a link and adds a passkey.
const first = await page.goto(link);
assert.deepEqual(await first.securityDetails().then(({ issuer, protocol }) => [issuer, protocol]), ["ca", "TLS 1.3"]);
assert.ok(await page.evaluate(() => isSecureContext));
await shows("Welcome");
await look("link");
await press("Continue");
await shows("Add a passkey");
await look("add-passkey");
await touch(true);
await page.getByRole("button", { name: "Add a passkey" }).click();
await page.waitForURL(/account/);
await touch(false);
await shows("your only way in");
await look("account-new");
const cookies = await context.cookies(issuer);
assert.ok(cookies.length > 0);
for (const { name, secure, httpOnly, sameSite, path, domain } of cookies) {
  const told = { prefix: name.slice(0, 10), secure, httpOnly, sameSite, path, domain };
  assert.deepEqual(told, { prefix: "__Host-bw-", secure: true, httpOnly: true, sameSite: "Lax", path: "/", domain: "localhost" });
}

// Signs out, and in again with the passkey.
await press("Sign out");
await shows("You are signed out");
await look("signed-out");
await page.getByRole("link", { name: "Sign in again" }).click();
await page.getByRole("button", { name: "Use a passkey" }).waitFor();
await look("sign-in");
await touch(true);
await page.getByRole("button", { name: "Use a passkey" }).click();
await page.waitForURL(/account/);
await touch(false);

// Adds a password and an app.
await page.goto(`${issuer}/account/password`);
await look("password");
await page.getByLabel("New password").fill("too short");
await page.getByLabel("Once more").fill("too short");
await page.evaluate(() => document.querySelector("form").noValidate = true);
await press("Set the password");
await shows("at least 15 characters");
await look("password-wrong");
await page.getByLabel("New password").fill(PASSWORD);
await page.getByLabel("Once more").fill(PASSWORD);
await press("Set the password");
await shows("The password was set");
await page.getByRole("link", { name: "Add an authenticator app" }).click();
await page.waitForURL(/totp/);
await look("totp");
const secret = (await page.locator("p.mono").innerText()).replace(/\s/g, "");
const used = code(secret);
await page.getByLabel("Six-digit code").fill(used);
await press("Turn it on");
await shows("never again");
await look("recovery-codes");
const recovery = await page.locator(".codes li").allInnerTexts();
assert.equal(recovery.length, 10);
await page.getByRole("link", { name: "I have kept them" }).click();
await page.waitForURL(/account/);
await look("account");

// Notices: the script of the page starts our worker, under the page's policy. There is no push service here to be asked, which is
// said to the person.
await context.grantPermissions(["notifications"], { origin: new URL(issuer).origin });
await page.getByRole("button", { name: "Show notices in this browser" }).click();
await page.locator("form[data-push] [role=alert]").filter({ hasText: /.+/ }).waitFor();
const scope = await page.evaluate(async (path) => (await navigator.serviceWorker.getRegistration(path))?.scope, `${issuer}/account/x`);
assert.equal(scope, `${issuer}/account/`);
await look("account-notices");

// Signs in with them, in another browser without script.
const plain = await browser.newContext({ viewport: PHONE, deviceScaleFactor: 2, javaScriptEnabled: false });
const other = await plain.newPage();
await other.goto(`${issuer}/login`);
assert.ok(!(await other.getByRole("button", { name: "Use a passkey" }).isVisible()));
if (shots) await other.screenshot({ path: `${shots}/sign-in-without-script.png`, fullPage: true });
const name = await page.locator("h1").innerText();
await other.getByLabel("Name or e-mail address").fill(name);
await other.getByLabel("Password").fill("wrong");
await other.getByRole("button", { name: "Continue with a password" }).click();
await other.getByText("The name or the password is not right.").waitFor();
if (shots) await other.screenshot({ path: `${shots}/sign-in-wrong.png`, fullPage: true });
await other.getByLabel("Password").fill(PASSWORD);
await other.getByRole("button", { name: "Continue with a password" }).click();
await other.getByText("Second step").waitFor();
if (shots) await other.screenshot({ path: `${shots}/code.png`, fullPage: true });
await other.getByLabel("Six-digit code").fill(used);
await other.getByRole("button", { name: "Continue" }).click();
await other.getByText("or it was used").waitFor();
if (shots) await other.screenshot({ path: `${shots}/code-wrong.png`, fullPage: true });
await other.getByRole("link", { name: "Use a recovery code instead" }).click();
await other.getByLabel("Recovery code").fill(recovery[0].toLowerCase());
await other.getByRole("button", { name: "Continue" }).click();
await other.getByText("Where you are signed in").waitFor();

// Is asked whether an application may; says no, and then yes.
const back = new URL(new URL(authorize).searchParams.get("redirect_uri"));
let landed;
const client = createServer(shown(), (request, response) => {
  if (request.url.startsWith(back.pathname)) landed = request.url;
  response.end("back");
}).listen(back.port, back.hostname);
const ask = () => page.goto(authorize.replace("{state}", Math.random().toString(36).slice(2)));
await ask();
await shows("asks for access");
await look("consent");
await press("Refuse");
assert.match(landed, /error=access_denied/);
await ask();
await press("Allow");
assert.match(landed, /code=/);
await ask();
assert.match(landed, /code=/, "what was allowed is not asked again");
await page.goto(`${issuer}/account`);
await look("account-full");
await press("End the session in Chrome on Linux");
await shows("It was ended");
await other.goto(`${issuer}/account`);
await other.getByLabel("Password").waitFor();
await page.getByRole("button", { name: /Withdraw/ }).click();
await page.getByText("It was withdrawn").waitFor();

// Decides what an agent asks for: what is on the page is what was asked, a part can be unticked, who has signed in by less than is
// wanted shows a passkey first, and the agent gets what was approved and no more.
const agent = JSON.parse(readFileSync(process.env.AGENT));
const basic = `Basic ${Buffer.from(`${agent.id}:${agent.client_secret}`).toString("base64")}`;
const agentAsks = async (path, form) => {
  const body = new URLSearchParams(form);
  const heard = await fetch(`${issuer}${path}`, { method: "POST", headers: { authorization: basic }, body });
  return [heard.status, await heard.json()];
};
const proposal = (customer, amount) => ({ type: "proposal", customer, amount, recipients: ["dana@acme.example"] });
const asked = async (...details) => {
  const form = { scope: "openid", login_hint: "sarah@example.com", binding_message: "W4SCT", authorization_details: JSON.stringify(details) };
  const [status, answer] = await agentAsks("/bc-authorize", form);
  assert.equal(status, 200, JSON.stringify(answer));
  return { grant_type: "urn:openid:params:grant-type:ciba", auth_req_id: answer.auth_req_id };
};
await page.goto(`${issuer}/account`);
await press("Sign out");
await page.goto(`${issuer}/login`);
await page.getByLabel("Name or e-mail address").fill(name);
await page.getByLabel("Password").fill(PASSWORD);
await press("Continue with a password");
await page.getByRole("link", { name: "Use a recovery code instead" }).click();
await page.getByLabel("Recovery code").fill(recovery[1]);
await press("Continue");
await page.goto(`${issuer}/approvals`);
await shows("Nothing waits for your decision.");
await look("approvals-none");
const two = await asked(proposal("Acme", "450000"), proposal("Globex", "120.50"));
await page.reload();
await look("approvals");
await page.getByRole("link", { name: /Send Acme the proposal for 450000 USD/ }).click();
await page.waitForURL(/approvals\/./);
for (const text of ["Sales agent asks for your approval", "W4SCT", "Send Globex the proposal for 120.50 USD", "dana@acme.example"]) await shows(text);
assert.ok(!(await page.getByRole("button", { name: "Approve" }).isVisible()), "what needs a passkey is not decided without");
await look("approval-confirm");
await page.getByRole("link", { name: "Confirm who I am" }).click();
await page.getByRole("button", { name: "Use a passkey" }).waitFor();
await touch(true);
await page.getByRole("button", { name: "Use a passkey" }).click();
await page.waitForURL(/approvals\/./);
await touch(false);
await look("approval");
await page.getByLabel("Send Globex the proposal for 120.50 USD").uncheck();
await press("Approve");
await look("approval-done");
const [status, got] = await agentAsks("/token", two);
assert.equal(status, 200, JSON.stringify(got));
const approved = JSON.parse(Buffer.from(got.access_token.split(".")[1], "base64url")).authorization_details;
assert.deepEqual(approved, [proposal("Acme", "450000")], "the part that was ticked, and no more");
const refused = await asked(proposal("Initech", "1"));
await page.goto(`${issuer}/approvals`);
await page.getByRole("link", { name: /Initech/ }).click();
await page.waitForURL(/approvals\/./);
await press("Deny");
assert.deepEqual((await agentAsks("/token", refused)).map((it) => it.error ?? it), [400, "access_denied"]);

// With nobody signed in, the request leads to the page of sign-in and back.
await page.goto(`${issuer}/account`);
await press("Sign out");
await ask();
await shows("to continue to");
await look("sign-in-request");
await press("Cancel");
assert.match(landed, /error=access_denied/);
assert.deepEqual(wrong, [], "the browser complains");
await browser.close();
client.close();
console.log("pages: a link, passkeys, a password, an app, consent, sessions and approvals work in Chromium, on a phone and on a desktop");
