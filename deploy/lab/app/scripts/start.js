"use strict";

@FAULT@isPart("scripts/start.js", "@VERSION@");
show();
window.addEventListener("load", () => {
  collectParts();
  document.documentElement.dataset.ready = "yes";
});
