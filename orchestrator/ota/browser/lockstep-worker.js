// The service worker of the web client: it serves each page from one version, brings new versions in whole, and goes
// back where a new one does not start. docs/web-client.md describes it.
"use strict";

importScripts("lockstep-rules.js", "lockstep-store.js", "lockstep-download.js");

const { FORM, CONTRACT, RefusedError, readToken, readEpoch, readVersion, find, decide, kindOf } = lockstepRules;
const { ask, download, fetchFile } = lockstepDownload;

// The scope is the app's mount path.
const MOUNT = new URL(self.registration.scope).pathname;
const store = new LockstepStore(MOUNT, FORM);

// How long a new version may take to say that it has started; how many of its pages may be left before they did, and
// how old a page is that was left: a browser that opens many at once has not left any.
const START_MS = 30 * 1000;
const LEFT = 2;
const LEFT_MS = 5 * 1000;
// While a fleet flips, the document may come from a frontend that is behind the one that named the token.
const ASKS = 5;
const ASK_AGAIN_MS = 100;
const CLIENT = { Accept: "application/json", "OutSystems-client-env": "browser" };

// --- life ---

self.addEventListener("install", (event) => {
  event.waitUntil(install());
});

self.addEventListener("activate", (event) => {
  event.waitUntil(activate());
});

// The first version comes with the worker, or there is none yet. Where one is held already, its worker is only replaced.
async function install() {
  if ((await store.state()).active === null) {
    const outcome = await check();
    if (outcome.state !== "new") throw new Error(outcome.reason || `no version could be installed: ${outcome.state}`);
  }
}

async function activate() {
  const { active } = await store.state();
  for (const client of await pages()) {
    // It came from the network, and so does the rest of it; which version that was is a guess good enough for messages.
    if (active !== null && (await store.client(client.id)) === null) await store.setClient(client.id, active.token, true);
  }
  await self.clients.claim();
  if (active !== null) await tell("installed", active);
}

// --- serving ---

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (url.origin !== self.location.origin || !url.pathname.startsWith(MOUNT)) return;
  const below = url.pathname.slice(MOUNT.length);
  if (/^(moduleservices\/|precache\.manifest$|-\/)/.test(below)) return;
  const { method, mode } = event.request;
  if (method !== "GET" && method !== "HEAD") event.respondWith(callServer(event));
  else if (method === "GET") event.respondWith(mode === "navigate" ? openPage(event, url) : part(event, url));
});

// A page: of the version that is active now, all of it, whatever becomes active later.
async function openPage(event, url) {
  const version = await choose();
  const name = version === null ? undefined : find(version, url.pathname, MOUNT, true);
  if (name === undefined) return fetch(event.request);
  if (event.resultingClientId) await store.setClient(event.resultingClientId, version.token, false);
  event.waitUntil(start(version.token, event.resultingClientId));
  event.waitUntil(check());
  return serve(version.files[name], event.request);
}

// A part of a page, from the page's version. What that does not have comes from the network, but never from another
// version: a frontend names the activation that it answers from.
async function part(event, url) {
  const client = await store.client(event.clientId);
  if (client === null || client.network) return fetch(event.request);
  // A worker of the page belongs to the page's version, and so does what it loads.
  if (event.resultingClientId) await store.setClient(event.resultingClientId, client.token, false);
  const version = await store.version(client.token);
  const name = version === null ? undefined : find(version, url.pathname, MOUNT, false);
  if (name !== undefined) return serve(version.files[name], event.request);
  if (version === null) return Response.error();
  const response = await fetch(event.request);
  if (!response.headers.has("Lockstep-Activation")) return response;
  return new Response("This version of the app has no such file.\n", { status: 404, statusText: "Not Found" });
}

// A call of a server action: it is also the moment to look for a new version. A page whose version can't make the call
// any more is told so instead.
async function callServer(event) {
  event.waitUntil(check());
  if ((await kindFor(event.clientId)) !== "attention") return fetch(event.request);
  const { active } = await store.state();
  await tellOne(event.clientId, "attention", active);
  const body = JSON.stringify({ error: "upgrade-required", token: active.token, epoch: active.epoch });
  return new Response(body, { status: 409, headers: { "Content-Type": "application/json" } });
}

// The file, from what is held; fetched again where the browser has thrown it away.
async function serve(file, request) {
  const held = (await store.file(file)) || (await fetchAgain(file));
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("Range") || "");
  return range === null || held.type === "error" ? held : slice(held, Number(range[1]), range[2]);
}

async function fetchAgain(file) {
  try {
    const response = await fetchFile(file, false);
    await store.addFile(file, response.clone());
    return response;
  } catch {
    return Response.error();
  }
}

// Sound and video are asked for in pieces.
async function slice(response, begin, last) {
  const bytes = await response.blob();
  const end = last === "" ? bytes.size : Math.min(Number(last) + 1, bytes.size);
  if (begin >= end) return new Response(null, { status: 416, headers: { "Content-Range": `bytes */${bytes.size}` } });
  const headers = new Headers(response.headers);
  headers.set("Content-Range", `bytes ${begin}-${end - 1}/${bytes.size}`);
  return new Response(bytes.slice(begin, end), { status: 206, headers });
}

// --- a new version ---

// Look for a new version and bring it in. One at a time, in all of this worker. Who asks while one looks is answered by
// what that finds; where it finds nothing, by one look more: it may have asked before there was what the caller means.
let looking = null;
let queued = null;

function check() {
  if (looking === null) {
    looking = navigator.locks.request(`lockstep ${MOUNT}`, look).finally(() => {
      looking = null;
    });
    return looking;
  }
  queued = queued || looking.then((found) => {
    queued = null;
    return found.state === "current" ? check() : found;
  });
  return queued;
}

// What came of it: {state, token, epoch, reason}. `state` is what `decide` says, or `unknown` where nobody could tell.
async function look() {
  try {
    const asked = await ask(`${MOUNT}moduleservices/moduleversioninfo?${Date.now()}`, CLIENT);
    const [token, epoch] = [readToken(asked.text), readEpoch(asked.activation)];
    const verdict = decide(await store.state(), token, epoch);
    if (epoch !== null) await store.change((state) => saw(state, token, epoch));
    return verdict === "new" ? await bring(token) : { state: verdict, token, epoch };
  } catch (error) {
    return { state: "unknown", token: null, epoch: null, reason: String(error.message || error) };
  }
}

function saw(state, token, epoch) {
  if (epoch <= state.seen) return null;
  const { active } = state;
  return { ...state, seen: epoch, active: active !== null && active.token === token ? { token, epoch } : active };
}

async function bring(token) {
  try {
    const { verdict, version, epoch } = await askVersion(token);
    if (verdict !== "new") return { state: verdict, token: version.token, epoch };
    await download(store, version, (done, total) => tell("progress", { done, total }));
    return await switchTo(version, epoch);
  } catch (error) {
    const reason = String(error.message || error);
    await tell("failed", { reason, path: error.path || null, token });
    return { state: "failed", token, epoch: null, reason };
  }
}

// The version of the token, or another one where the fleet has moved on; never one that is behind what was seen.
async function askVersion(token) {
  for (let asks = 1; ; asks += 1) {
    const answer = await ask(`${MOUNT}precache.manifest?${Date.now()}`, CLIENT);
    const version = readVersion(answer.text, MOUNT);
    const [state, epoch] = [await store.state(), readEpoch(answer.activation)];
    const verdict = decide(state, version.token, epoch);
    // Without epochs, only the token says whether it is the one that was named.
    const fits = epoch === null ? version.token === token : verdict !== "stale";
    if (fits) return { verdict, version, epoch: epoch === null ? state.seen : epoch };
    if (asks === ASKS) throw new RefusedError("the fleet serves different versions at the moment");
    await new Promise((resolve) => { setTimeout(resolve, ASK_AGAIN_MS * asks); });
  }
}

// All or nothing: one record says which version is active. Until a new version has started it is on trial, and the last
// one that did start is kept.
async function switchTo(version, epoch) {
  await store.addVersion(version);
  const active = { token: version.token, epoch };
  await store.change((state) => {
    const last = state.trial === null ? state.active : state.previous;
    const proven = last === null || last.token === active.token;
    const trial = proven ? null : { ...active, pages: [] };
    return { ...state, seen: Math.max(state.seen, epoch), active, previous: proven ? null : last, trial };
  });
  await store.clean(isOpen);
  for (const client of await pages()) {
    const kind = await kindFor(client.id);
    if (kind !== "same") await tellOne(client.id, "updated", { kind, ...active });
    if (kind === "attention") await tellOne(client.id, "attention", active);
  }
  return { state: "new", ...active };
}

// What the active version means to a page: "same", "seamless" or "attention".
async function kindFor(id) {
  const [state, client] = [await store.state(), await store.client(id)];
  if (client === null || state.active === null || client.token === state.active.token) return "same";
  return kindOf(await contract(client.token), await contract(state.active.token));
}

async function contract(token) {
  const version = await store.version(token);
  const file = version === null ? undefined : version.files[`${lockstepRules.decoded(MOUNT)}${CONTRACT}`];
  if (file === undefined) return {};
  const response = (await store.file(file)) || (await fetchAgain(file));
  try {
    return await response.json();
  } catch {
    return {};
  }
}

// --- trial ---

// The version for a new page. One on trial, of which several pages were left before they had started, gets no other.
async function choose() {
  const { trial } = await store.state();
  if (trial !== null) {
    const old = trial.pages.filter((page) => Date.now() - page.since > LEFT_MS);
    const open = await Promise.all(old.map((page) => isOpen(page.id)));
    if (open.filter((each) => !each).length >= LEFT) await goBack(trial.token, "it did not start");
  }
  const { active } = await store.state();
  return active === null ? null : store.version(active.token);
}

// A page of a version on trial was opened: it has its time to start.
async function start(token, id) {
  const { changed } = await store.change(({ trial, ...rest }) => {
    if (trial === null || trial.token !== token) return null;
    return { ...rest, trial: { ...trial, pages: [...trial.pages, { id, since: Date.now() }] } };
  });
  if (!changed) return;
  await new Promise((resolve) => { setTimeout(resolve, START_MS); });
  const { trial } = await store.state();
  const waits = trial !== null && trial.pages.some((page) => page.id === id);
  if (waits && (await isOpen(id))) await goBack(token, `it did not start within ${START_MS / 1000} s`);
}

// A page says that it has started. Returns whether it is the first of its version.
async function started(id) {
  const client = await store.client(id);
  if (client === null || client.network) return false;
  const { state, changed } = await store.change((before) => {
    if (before.trial === null || before.trial.token !== client.token) return null;
    return { ...before, previous: null, trial: null };
  });
  if (changed) await tellOne(id, "applied", state.active);
  return changed;
}

// Back to the last version that did start. The one that did not is not taken again until a newer epoch brings it.
async function goBack(token, reason) {
  const { changed } = await store.change((state) => {
    if (state.trial === null || state.trial.token !== token) return null;
    return { ...state, active: state.previous, previous: null, trial: null, refused: { token, epoch: state.seen } };
  });
  if (!changed) return false;
  for (const page of await pages()) {
    const client = await store.client(page.id);
    await tellOne(page.id, "rolledback", { token, reason });
    if (client !== null && !client.network && client.token === token) await page.navigate(page.url).catch(() => null);
  }
  return true;
}

// --- messages ---

self.addEventListener("message", (event) => {
  const { data, source, ports } = event;
  if (typeof data !== "object" || data === null || typeof data.lockstep !== "string" || source === null) return;
  event.waitUntil(reply(data, source.id).then((answer) => ports.length > 0 && ports[0].postMessage(answer)));
});

async function reply(data, id) {
  if (data.lockstep === "check") return check();
  if (data.lockstep === "status") return status(id);
  if (data.lockstep === "started") return started(id);
  if (data.lockstep === "broken") {
    const client = await store.client(id);
    if (client === null || client.network) return false;
    return goBack(client.token, String(data.reason).slice(0, 200));
  }
  return null;
}

async function status(id) {
  const [state, client] = [await store.state(), await store.client(id)];
  const version = client === null ? null : { token: client.token, network: client.network };
  return { ...state, version, kind: await kindFor(id) };
}

function pages() {
  return self.clients.matchAll({ includeUncontrolled: true, type: "window" }).then((all) =>
    all.filter((client) => new URL(client.url).pathname.startsWith(MOUNT)));
}

async function isOpen(id) {
  return (await self.clients.get(id)) !== undefined;
}

async function tell(name, detail) {
  for (const client of await pages()) client.postMessage({ lockstep: name, detail });
}

async function tellOne(id, name, detail) {
  const client = await self.clients.get(id);
  if (client !== undefined) client.postMessage({ lockstep: name, detail });
}
