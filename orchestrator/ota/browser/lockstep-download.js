// Fetching what a version lacks: a few files at once, each within its time, with a bounded number of tries for all of
// them together. What has arrived and is right stays, so that the next attempt has less to fetch.
"use strict";

(function (root) {
  const { RefusedError } = root.lockstepRules;

  const PARALLEL = 5;
  const FILE_MS = 30 * 1000;
  const ASK_MS = 10 * 1000;
  const MOST_DOCUMENT = 64 * 1024 * 1024;

  // No cookies: the pin belongs to the pages that the network serves, and asking must not move it under them. No
  // redirects: a login page is not a file.
  const PLAIN = { credentials: "omit", redirect: "error" };

  function retries(files) {
    return Math.max(10, Math.ceil(files * 0.2));
  }

  // A document, fresh from a server: its text, and the activation's name in the header, if any.
  async function ask(url, headers) {
    const response = await fetch(url, { ...PLAIN, cache: "no-store", headers, signal: AbortSignal.timeout(ASK_MS) });
    if (response.status !== 200) throw new RefusedError(`the answer is ${response.status}`, url);
    const bytes = await response.arrayBuffer();
    if (bytes.byteLength > MOST_DOCUMENT) throw new RefusedError("the document is too large", url);
    return { text: new TextDecoder().decode(bytes), activation: response.headers.get("Lockstep-Activation") };
  }

  function base64(buffer) {
    return btoa(String.fromCharCode(...new Uint8Array(buffer)));
  }

  // One file, checked. `again`: past the browser's own cache, which may hold what was wrong.
  async function fetchFile(file, again) {
    const response = await fetch(file.url, {
      ...PLAIN, cache: again ? "reload" : "default", signal: AbortSignal.timeout(FILE_MS),
    });
    if (response.status !== 200) throw new RefusedError(`the answer is ${response.status}`, file.url);
    const bytes = await response.arrayBuffer();
    const sum = `sha256-${base64(await crypto.subtle.digest("SHA-256", bytes))}`;
    if (sum !== file.integrity) {
      throw new RefusedError(`the checksum is wrong: expected ${file.integrity}, found ${sum}`, file.url);
    }
    const headers = new Headers();
    const type = response.headers.get("Content-Type");
    if (type !== null) headers.set("Content-Type", type);
    return new Response(bytes, { headers });
  }

  // Bring all files that `version` lacks into the store. Throws the last fault where the tries are used up.
  async function download(store, version, onProgress) {
    const missing = (await store.missing(version)).map(([, file]) => file);
    const waiting = [...new Map(missing.map((file) => [file.integrity, file])).values()];
    const total = waiting.length;
    let left = retries(total);
    let done = 0;
    let failure = null;

    async function bring(file) {
      for (let again = false; failure === null; again = true) {
        try {
          await store.addFile(file, await fetchFile(file, again));
          done += 1;
          onProgress(done, total);
          return;
        } catch (error) {
          left -= 1;
          if (left < 0) failure = failure || error;
        }
      }
    }

    async function work() {
      while (failure === null && waiting.length > 0) await bring(waiting.shift());
    }

    await Promise.all(Array.from({ length: PARALLEL }, work));
    if (failure !== null) throw failure;
    const lacking = await store.missing(version);
    if (lacking.length > 0) throw new RefusedError("the browser did not keep a file", lacking[0][0]);
    return total;
  }

  root.lockstepDownload = Object.freeze({ ask, download, fetchFile });
})(globalThis);
