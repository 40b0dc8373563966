"use strict";
// The code stands behind the #, which no browser sends: not to a log, not to a preview of the link.
const field = document.getElementById("code");
const code = location.hash.slice(1);
if (field && code) {
  field.value = code;
  history.replaceState(null, "", location.pathname + location.search);
}
