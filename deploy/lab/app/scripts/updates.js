// The app's side of updates: it starts the web client, where the app has one, and notes what that says.
"use strict";

isPart("scripts/updates.js", "@VERSION@");

window.updates = [];

if ("lockstep" in window) {
  const names = ["installed", "progress", "updated", "attention", "applied", "failed", "rolledback"];
  for (const name of names) {
    lockstep.addEventListener(name, (event) => window.updates.push({ name, detail: event.detail }));
  }
  lockstep.start({ app: "@APP@", mount: "@MOUNT@" });
}
