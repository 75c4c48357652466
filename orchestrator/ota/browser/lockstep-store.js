// What the web client keeps in the browser, in two caches of the app: its files by their SHA-256, and its records.
// A record is replaced whole by one write, so what was decided is there or not, never in part.
//
// Records: `state` {form, seen, active, previous, trial, refused}; `version/<token>`, never changed; `client/<id>`: the
// version that a page was opened with, and whether the network served it.
"use strict";

(function (root) {
  const EMPTY = { seen: 0, active: null, previous: null, trial: null, refused: null };
  // A page that the browser keeps aside (back and forward) looks as if it were gone. So many of those are remembered.
  const MOST_GONE = 32;

  class Store {
    constructor(mount, form) {
      this._form = form;
      this._mount = mount;
      this._base = new URL(mount, root.location.origin);
      this._versions = new Map();
      this._clients = new Map();
      this._changes = Promise.resolve();
    }

    async state() {
      const found = await this._read("state");
      // What another form of this library kept is not understood: begin anew.
      return found !== null && found.form === this._form ? found : { form: this._form, ...EMPTY };
    }

    // Replace the state by what `step` makes of it; null leaves it as it is. One after the other: a step sees what the
    // one before it wrote. Returns the state that stands, and whether this step changed it.
    change(step) {
      const next = this._changes.then(async () => {
        const before = await this.state();
        const after = step(before);
        if (after !== null) await this._write("state", after);
        return { state: after === null ? before : after, changed: after !== null };
      });
      this._changes = next.catch(() => null);
      return next;
    }

    async version(token) {
      if (!this._versions.has(token)) {
        const found = await this._read(`version/${token}`);
        if (found === null) return null;
        this._versions.set(token, found);
      }
      return this._versions.get(token);
    }

    async addVersion(version) {
      await this._write(`version/${version.token}`, version);
      this._versions.set(version.token, version);
    }

    // {token, network}, or null where the page is not known.
    async client(id) {
      if (!id) return null;
      if (!this._clients.has(id)) {
        const found = await this._read(`client/${id}`);
        if (found === null) return null;
        this._clients.set(id, found);
      }
      return this._clients.get(id);
    }

    async setClient(id, token, network) {
      const client = { token, network, since: Date.now() };
      await this._write(`client/${id}`, client);
      this._clients.set(id, client);
    }

    async file(file) {
      return (await this._files()).match(this._key(file.integrity));
    }

    async addFile(file, response) {
      await (await this._files()).put(this._key(file.integrity), response);
    }

    // Those of a version's files, as [path, file], that are not here.
    async missing(version) {
      const keys = await (await this._files()).keys();
      const held = new Set(keys.map((request) => request.url));
      return Object.entries(version.files).filter(([, file]) => !held.has(this._key(file.integrity)));
    }

    // Forget what no page and no version needs any more. `isOpen` says whether a page of that id is there.
    async clean(isOpen) {
      const records = await this._records();
      const names = await this._names(records);
      const clients = await this._cleanClients(records, names, isOpen);
      const state = await this.state();
      const kept = [state.active, state.previous, ...clients].filter((each) => each !== null);
      const tokens = new Set(kept.map((each) => each.token));
      const keys = new Set();
      for (const name of names.filter((each) => each.startsWith("version/"))) {
        const version = await this._read(name);
        if (tokens.has(version.token)) {
          Object.values(version.files).forEach((file) => keys.add(this._key(file.integrity)));
        } else {
          await records.delete(this._url(name));
          this._versions.delete(version.token);
        }
      }
      const files = await this._files();
      for (const request of await files.keys()) {
        if (!keys.has(request.url)) await files.delete(request);
      }
    }

    // The pages that are open, and the last of those that are gone.
    async _cleanClients(records, names, isOpen) {
      const [open, gone] = [[], []];
      for (const name of names.filter((each) => each.startsWith("client/"))) {
        const id = name.slice("client/".length);
        const client = { id, name, ...(await this._read(name)) };
        ((await isOpen(id)) ? open : gone).push(client);
      }
      gone.sort((one, other) => other.since - one.since);
      for (const client of gone.slice(MOST_GONE)) {
        await records.delete(this._url(client.name));
        this._clients.delete(client.id);
      }
      return [...open, ...gone.slice(0, MOST_GONE)];
    }

    async _read(name) {
      const found = await (await this._records()).match(this._url(name));
      return found === undefined ? null : found.json();
    }

    async _write(name, record) {
      await (await this._records()).put(this._url(name), new Response(JSON.stringify(record)));
    }

    async _names(records) {
      const prefix = this._url("").length;
      return (await records.keys()).map((request) => decodeURIComponent(request.url.slice(prefix)));
    }

    // The URLs are names of entries; nothing is ever fetched from them.
    _url(name) {
      return `${this._base}-/lockstep/records/${name.split("/").map(encodeURIComponent).join("/")}`;
    }

    _key(integrity) {
      return `${this._base}-/lockstep/files/${encodeURIComponent(integrity)}`;
    }

    _records() {
      return root.caches.open(`lockstep ${this._mount} records`);
    }

    _files() {
      return root.caches.open(`lockstep ${this._mount} files`);
    }
  }

  root.LockstepStore = Store;
})(globalThis);
