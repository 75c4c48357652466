// The web client in a page: it registers the service worker, looks for new versions when the app opens and when it
// navigates, tells the app what happens, and shows a bar. docs/web-client.md describes it.
//
//   <script src="lockstep.js"></script>
//   <script>lockstep.start({ mount: "/ToDo/" });</script>
//
// It stands before the app's own scripts: whatever fails before the page has started counts against its version.
"use strict";

(function (root) {
  const REPLY_MS = 60 * 1000;
  const NAMES = ["installed", "progress", "updated", "attention", "applied", "failed", "rolledback"];
  const TEXTS = {
    applied: "Updated to the latest version.",
    attention: "Tap to update. Unsaved form data will be lost.",
    rolledback: "The update did not start. The last version is back.",
    close: "Close",
  };

  const events = new EventTarget();
  let options = null;
  let outdated = false;
  let broken = null;

  // --- the worker ---

  async function worker() {
    const registration = await navigator.serviceWorker.getRegistration(options.mount);
    return navigator.serviceWorker.controller || (registration && registration.active) || null;
  }

  // Ask the worker; null where there is none, or none that answers.
  async function ask(message) {
    const target = options === null || !supported() ? null : await worker();
    if (target === null) return null;
    return new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = (event) => resolve(event.data);
      setTimeout(() => resolve(null), REPLY_MS);
      target.postMessage(message, [port2]);
    });
  }

  function supported() {
    return "serviceWorker" in navigator && root.isSecureContext;
  }

  function hear(event) {
    const { data } = event;
    if (typeof data !== "object" || data === null || !NAMES.includes(data.lockstep)) return;
    if (data.lockstep === "updated") outdated = true;
    events.dispatchEvent(new CustomEvent(data.lockstep, { detail: data.detail }));
    if (options.bar) show(data.lockstep);
  }

  // --- start ---

  async function start(given) {
    if (options !== null) throw new Error("lockstep.start was called before");
    options = { mount: "/", worker: "lockstep-worker.js", manual: false, bar: true, texts: {}, ...given };
    if (!supported()) return false;
    navigator.serviceWorker.addEventListener("message", hear);
    navigator.serviceWorker.startMessages();
    watchStart();
    watchNavigation();
    try {
      await navigator.serviceWorker.register(`${options.mount}${options.worker}`, {
        scope: options.mount, updateViaCache: "none",
      });
    } catch (error) {
      // Without a worker the page is served by the network, as any page is.
      events.dispatchEvent(new CustomEvent("failed", { detail: { reason: String(error), path: null, token: null } }));
      return false;
    }
    catchUp();
    return true;
  }

  // What became active while the page was being loaded.
  async function catchUp() {
    const now = await status();
    if (now === null || now.kind === "same" || outdated) return;
    const detail = { kind: now.kind, ...now.active };
    hear({ data: { lockstep: "updated", detail } });
    if (now.kind === "attention") hear({ data: { lockstep: "attention", detail: now.active } });
  }

  // Whether the page starts: `started` from the app, or by itself once all has loaded without an error.
  function watchStart() {
    if (broken !== null) ask({ lockstep: "broken", reason: broken });
    if (options.manual) return;
    if (document.readyState === "complete") started();
    else root.addEventListener("load", () => setTimeout(started, 0));
  }

  let ended = false;

  function fault(reason) {
    if (ended || broken !== null) return;
    broken = String(reason);
    if (options !== null) ask({ lockstep: "broken", reason: broken });
  }

  // Errors of scripts, and scripts that could not be loaded.
  root.addEventListener("error", (event) => {
    if (event.target === root) fault(event.message);
    else if (event.target instanceof HTMLScriptElement) fault(`${event.target.src} could not be loaded`);
  }, true);
  root.addEventListener("unhandledrejection", (event) => fault(event.reason));

  async function started() {
    if (broken !== null || ended) return false;
    ended = true;
    return (await ask({ lockstep: "started" })) === true;
  }

  // --- navigation ---

  // A new version is applied at the next navigation. Within the app that is a change of screen without a new page: the
  // page is opened anew at the new screen.
  function watchNavigation() {
    const push = root.history.pushState;
    root.history.pushState = function pushState(...words) {
      push.apply(this, words);
      navigated();
    };
    root.addEventListener("popstate", navigated);
    root.addEventListener("hashchange", navigated);
  }

  function navigated() {
    if (outdated) root.location.reload();
    else check();
  }

  function check() {
    return ask({ lockstep: "check" });
  }

  function status() {
    return ask({ lockstep: "status" });
  }

  // --- the bar ---

  function show(name) {
    if (!Object.hasOwn(TEXTS, name)) return;
    const texts = { ...TEXTS, ...options.texts };
    const bar = element("div", { position: "fixed", left: "0", right: "0", bottom: "0", zIndex: "2147483647",
      display: "flex", background: "#1b2733", color: "#fff", font: "16px/1.4 system-ui, sans-serif" });
    bar.id = "lockstep-bar";
    bar.dataset.kind = name;
    bar.setAttribute("role", name === "attention" ? "alert" : "status");
    const button = element("button", { flex: "1", padding: "14px 16px", border: "0", background: "none",
      color: "inherit", font: "inherit", textAlign: "left", cursor: "pointer" });
    button.type = "button";
    button.textContent = texts[name];
    button.addEventListener("click", () => (name === "attention" ? root.location.reload() : bar.remove()));
    bar.append(button);
    if (name !== "attention") bar.append(closer(bar, texts.close));
    document.getElementById("lockstep-bar")?.remove();
    document.body.append(bar);
  }

  function closer(bar, text) {
    const cross = element("button", { padding: "14px 16px", border: "0", background: "none", color: "inherit",
      font: "inherit", cursor: "pointer" });
    cross.type = "button";
    cross.textContent = "\u00d7";
    cross.setAttribute("aria-label", text);
    cross.addEventListener("click", () => bar.remove());
    return cross;
  }

  function element(name, style) {
    const made = document.createElement(name);
    Object.assign(made.style, style);
    return made;
  }

  root.lockstep = Object.freeze({
    start, started, check, status,
    addEventListener: events.addEventListener.bind(events),
    removeEventListener: events.removeEventListener.bind(events),
  });
})(globalThis);
