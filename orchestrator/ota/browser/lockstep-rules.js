// The rules of the web client, without I/O: how documents are read, which version may follow which, what kind of update
// it is. docs/web-client.md says why. Everything that comes from a server is hostile until it is checked here.
"use strict";

(function (root) {
  // The form of what is kept in the browser, and of what the files of this library say to each other.
  const FORM = 1;

  const TOKEN = /^[A-Za-z0-9+/_=-]{1,64}$/;
  const OTA = /^\?[A-Za-z0-9+_]{22}$/;
  const INTEGRITY = /^sha256-[A-Za-z0-9+/]{43}=$/;
  const ACTIVATION = /^(0|[1-9][0-9]{0,9})-[0-9a-f]{16}$/;
  const CONTRACT = "contract.json";

  class RefusedError extends Error {
    constructor(what, path) {
      super(what);
      this.name = "RefusedError";
      this.path = path || null;
    }
  }

  function isObject(value) {
    return typeof value === "object" && value !== null && !Array.isArray(value);
  }

  // A path as files are looked up by: the browser and the manifest may encode it differently.
  function decoded(path) {
    try {
      return decodeURIComponent(path);
    } catch {
      return path;
    }
  }

  // JSON, from the first brace on: the file may have text before it.
  function readJson(text) {
    const begin = text.indexOf("{");
    if (begin < 0) throw new RefusedError("not JSON: there is no {");
    let document;
    try {
      document = JSON.parse(text.slice(begin));
    } catch (error) {
      throw new RefusedError(`not JSON: ${error.message}`);
    }
    if (!isObject(document)) throw new RefusedError("not a JSON object");
    return document;
  }

  function readToken(text) {
    const token = readJson(text).versionToken;
    if (typeof token !== "string" || !TOKEN.test(token)) throw new RefusedError("no version token");
    return token;
  }

  // The epoch in `Lockstep-Activation`; null where no frontend of Lockstep answered.
  function readEpoch(header) {
    if (header === null) return null;
    const found = ACTIVATION.exec(header);
    if (found === null) throw new RefusedError(`not an activation: ${header.slice(0, 80)}`);
    return Number(found[1]);
  }

  function checkPath(path, mount) {
    const plain = decoded(path);
    const below = plain.slice(mount.length).split("/");
    const odd = below.some((segment) => segment === "" || segment === "." || segment === "..");
    if (!plain.startsWith(mount) || odd || /[?#]/.test(path) || /[\0-\x1f\x7f]/.test(plain)) {
      throw new RefusedError(`not a path below ${mount}`, path.slice(0, 200));
    }
    return plain;
  }

  // A version: its token and, by decoded path, where each file is fetched from and the SHA-256 that it must have.
  function readVersion(text, mount) {
    const document = readJson(text);
    const { urlVersions, integrity } = document;
    if (!isObject(urlVersions) || !isObject(integrity)) throw new RefusedError("urlVersions or integrity is missing");
    const files = {};
    for (const [path, version] of Object.entries(urlVersions)) {
      const plain = checkPath(path, mount);
      if (typeof version !== "string" || !OTA.test(version)) throw new RefusedError("not a hash", path);
      const sum = Object.hasOwn(integrity, path) ? integrity[path] : null;
      if (typeof sum !== "string" || !INTEGRITY.test(sum)) throw new RefusedError("no SHA-256", path);
      files[plain] = { url: path + version, integrity: sum };
    }
    if (Object.keys(files).length === 0) throw new RefusedError("a version without files");
    return { token: readToken(text), files };
  }

  // The file of a version that answers for a path; undefined where it has none. As the frontends do it: a directory's
  // index, and for navigation to what names no file the app's own page.
  function find(version, path, mount, navigation) {
    const plain = decoded(path);
    const has = (name) => (Object.hasOwn(version.files, name) ? name : undefined);
    if (plain.endsWith("/")) return has(`${plain}index.html`) || (navigation ? has(`${mount}index.html`) : undefined);
    const last = plain.slice(plain.lastIndexOf("/") + 1);
    return has(plain) || (navigation && !last.includes(".") ? has(`${mount}index.html`) : undefined);
  }

  // What to do about the version that a server names. `state` is what is kept: see lockstep-store.js.
  function decide(state, token, epoch) {
    if (epoch !== null && epoch < state.seen) return "stale";
    if (state.active !== null && state.active.token === token) return "current";
    const { refused } = state;
    if (refused !== null && refused.token === token && (epoch === null || epoch <= refused.epoch)) return "refused";
    return "new";
  }

  // "attention" where something that the old version relies on is gone or has changed, else "seamless".
  function kindOf(before, after) {
    for (const group of ["screens", "actions"]) {
      const old = isObject(before) && isObject(before[group]) ? before[group] : {};
      const now = isObject(after) && isObject(after[group]) ? after[group] : {};
      for (const [name, signature] of Object.entries(old)) {
        if (!Object.hasOwn(now, name) || now[name] !== signature) return "attention";
      }
    }
    return "seamless";
  }

  root.lockstepRules = Object.freeze({
    FORM, CONTRACT, RefusedError, readToken, readEpoch, readVersion, find, decide, kindOf, decoded,
  });
})(globalThis);
