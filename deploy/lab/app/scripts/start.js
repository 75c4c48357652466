"use strict";

@FAULT@isPart("scripts/start.js", "@VERSION@");
show();
window.addEventListener("load", () => {
  collectParts();
  // It shows the parts that have been collected.
  if (document.body.dataset.screen === "About") show();
  document.documentElement.dataset.ready = "yes";
});
