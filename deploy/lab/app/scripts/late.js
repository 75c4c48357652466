"use strict";

isPart("scripts/late.js", "@VERSION@");
