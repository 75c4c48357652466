"""Pure decisions: no I/O, no clock, no logging; `now` is passed in."""
