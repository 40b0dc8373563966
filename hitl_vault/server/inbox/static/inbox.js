// What the inbox does beside plain forms and links: it stays fresh, counts down, and takes keys.
// Nothing here decides anything; without it every page works, and is fresh when it is loaded.
"use strict";

const told = document.getElementById("told");
const tell = (text) => { if (told) told.textContent = text; };

// staying fresh

const state = document.getElementById("link-state");
let polling = 0;
let away = false;

function warn(text) {
  if (!state) return;
  state.hidden = !text;
  if (state.textContent !== text) {
    state.textContent = text;
    tell(text);
  }
}

let soon = 0;

function news() { // what happens in one moment is fetched once
  soon ||= setTimeout(() => {
    soon = 0;
    document.body.dispatchEvent(new CustomEvent("news"));
  }, 100);
}

function follow(address) {
  const stream = new EventSource(address);
  stream.addEventListener("open", () => {
    clearInterval(polling);
    polling = 0;
    away = false;
    warn("");
    news(); // what happened while it was not connected, or since the page was made
  });
  stream.addEventListener("news", news);
  stream.addEventListener("error", () => {
    away = true;
    warn("Not connected; trying again. What you see may be old.");
    if (stream.readyState === EventSource.CLOSED && !polling) {
      polling = setInterval(() => { clearInterval(polling); polling = 0; follow(address); news(); }, 5000);
    }
  });
  addEventListener("pagehide", () => stream.close(), { once: true });
}

function isTouched(card) {
  if (card.contains(document.activeElement)) return true;
  return [...card.querySelectorAll("[data-keep]")].some((field) => field.value !== field.defaultValue);
}

// Bring a card up to date around its form, so that what is typed and where the cursor is stay.
function update(card, fresh) {
  const form = card.querySelector("form.answer");
  const freshForm = fresh.querySelector("form.answer");
  if (!form || !freshForm) {
    const focused = card.contains(document.activeElement);
    card.replaceWith(fresh);
    if (focused) fresh.focus({ preventScroll: true });
    return fresh;
  }
  const changed = card.dataset.payload !== fresh.dataset.payload;
  const focusedOutside = card.contains(document.activeElement) && !form.contains(document.activeElement) && document.activeElement !== card;
  for (const { name, value } of fresh.attributes) if (name !== "tabindex") card.setAttribute(name, value);
  const article = form.parentElement;
  for (const child of [...article.children]) if (child !== form) child.remove();
  for (const child of [...freshForm.parentElement.children]) if (child !== freshForm) form.before(child);
  form.elements.payload_sha256.value = freshForm.elements.payload_sha256.value;
  if (focusedOutside) card.querySelector("h3 a").focus({ preventScroll: true });
  if (changed) {
    const line = document.createElement("p");
    line.className = "problem";
    line.textContent = "The details were changed just now: look again before you answer.";
    card.querySelector("h3").after(line);
    tell(`${card.querySelector("h3").textContent}: ${line.textContent}`);
    const buttons = form.querySelectorAll(".buttons button");
    buttons.forEach((button) => { button.disabled = true; });
    setTimeout(() => buttons.forEach((button) => { button.disabled = false; }), 2000);
  }
  return card;
}

// Somebody is at a request that no longer waits: it stays, and says what became of it.
async function settle(card) {
  const answer = await fetch(`/inbox/cards/${encodeURIComponent(card.dataset.id)}`, { headers: { "HX-Request": "true" } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".card");
  if (!fresh || fresh.dataset.open === "1") return;
  const reason = card.querySelector("[name=reason]");
  if (reason && reason.value) {
    const kept = document.createElement("p");
    kept.className = "meta";
    kept.textContent = `Your words were not sent: ${reason.value}`;
    fresh.querySelector("article").append(kept);
  }
  const made = update(card, document.adoptNode(fresh));
  tell(`${made.querySelector("h3").textContent}: ${made.querySelector(".decision").textContent}`);
}

function merge(queue, fresh) {
  const list = queue.querySelector("#cards");
  const known = new Map([...list.children].map((node) => [node.id, node]));
  const target = [];
  let added = 0;
  for (const node of [...fresh.querySelector("#cards").children]) {
    const old = known.get(node.id);
    if (!old) {
      target.push(node);
      added += node.matches(".card") ? 1 : 0;
      htmx.process(node);
    } else {
      const made = old.dataset.rev === node.dataset.rev ? old : update(old, node);
      if (made !== old) htmx.process(made);
      target.push(made);
      known.delete(node.id);
    }
  }
  let gone = 0;
  [...known.values()].forEach((node) => {
    if (!node.matches(".card")) return;
    const settled = node.classList.contains("settled");
    // one's own answer is on its way: its own answer shows what became of it
    const sent = node.matches(".htmx-request") || node.querySelector(".htmx-request");
    if (!isTouched(node) && !sent) { gone += settled ? 0 : 1; return; }
    target.splice(Math.min([...list.children].indexOf(node), target.length), 0, node);
    if (!settled && !sent) settle(node);
  });
  place(list, target);
  queue.querySelector(".empty").hidden = target.length > 0;
  queue.querySelector("#unclear").replaceWith(fresh.querySelector("#unclear"));
  queue.querySelector(".paging").replaceWith(fresh.querySelector(".paging"));
  queue.dataset.waiting = fresh.dataset.waiting;
  if (added || gone) {
    tell([added ? `${added} new.` : "", gone ? `${gone} no longer waiting.` : "", `${queue.dataset.waiting} waiting.`].join(" "));
  }
}

// Put nodes in order without moving the one that holds the focus: moving it would lose it.
function place(list, target) {
  const wanted = new Set(target);
  for (const node of [...list.children]) if (!wanted.has(node)) node.remove();
  let next = list.firstElementChild;
  for (const node of target) {
    if (node.contains(document.activeElement)) {
      while (next && next !== node) {
        const after = next.nextElementSibling;
        list.append(next);
        next = after;
      }
    }
    if (node === next) next = next.nextElementSibling;
    else list.insertBefore(node, next);
  }
}

function count(fragment) {
  const badge = document.getElementById("waiting");
  const waiting = Number((fragment || badge).dataset.waiting || 0);
  const plain = document.title.replace(/^\([\d,]+\) /, "");
  document.title = waiting ? `(${waiting}) ${plain}` : plain;
}

// The same thing in a newer text of the page: of its kind, the first one in its section.
function placeOf(one) {
  const section = one.closest("section");
  return section ? `section[aria-labelledby="${section.getAttribute("aria-labelledby")}"] ${one.localName}` : one.localName;
}

// A request's page: what was answered meanwhile is shown; what is being typed stays.
function freshen(live, fresh) {
  const made = fresh.querySelector("#live");
  if (!made || made.dataset.rev === live.dataset.rev) return;
  const stale = document.getElementById("stale");
  const before = live.dataset.payload;
  const open = live.querySelector("details.exactly");
  if (open) made.querySelector("details.exactly").open = open.open;
  const held = live.contains(document.activeElement) ? placeOf(document.activeElement) : "";
  for (const { name, value } of made.attributes) live.setAttribute(name, value);
  live.replaceChildren(...made.childNodes);
  if (held) (live.querySelector(held) || live.querySelector("h1")).focus({ preventScroll: true });
  const standing = live.querySelector("#standing [class*=status-]").textContent;
  tell(`This request was brought up to date: ${standing}.`);
  if (!stale) return;
  if (live.dataset.payload !== before) {
    stale.hidden = false;
    stale.textContent = "The details were changed since you opened this page. Load it again before you answer; an answer sent now is refused.";
  } else if (live.dataset.open === "0") {
    stale.hidden = false;
    stale.textContent = "It was answered meanwhile; an answer sent now changes nothing.";
    document.querySelectorAll("form.answer button").forEach((button) => { button.disabled = true; });
  }
}

document.addEventListener("htmx:configRequest", (event) => {
  const csrf = document.querySelector("input[name=csrf]");
  if (csrf) event.detail.headers["X-CSRF-Token"] = csrf.value;
});
// Only parts of pages are put into a page: a whole one says that something is wrong.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, serverResponse } = event.detail;
  const signedOut = new URL(xhr.responseURL, location.href).pathname.startsWith("/sign-in");
  const isPart = (xhr.getResponseHeader("content-type") || "").startsWith("text/html") && !/^\s*<!doctype/i.test(serverResponse);
  if (!signedOut && isPart) return;
  event.detail.shouldSwap = false;
  const alert = isPart ? null : new DOMParser().parseFromString(serverResponse, "text/html").querySelector("[role=alert]");
  warn(signedOut ? "You are signed out: sign in in another window, then go on here."
    : alert ? alert.textContent : "That did not work; nothing was sent. Load the page again.");
});
// A plain form leaves the page, and what was typed with it: not while nobody may answer.
let asking = null;
async function answers() {
  try {
    const answer = await fetch("/inbox/static/icon.svg", { cache: "no-store", signal: AbortSignal.timeout(10000) });
    return answer.status < 500;
  } catch {
    return false;
  }
}
document.addEventListener("submit", async (event) => {
  const { target: form, submitter } = event;
  if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("hx-post") || form === asking) return;
  if (!away && navigator.onLine) return;
  event.preventDefault();
  if (asking) return;
  asking = form;
  if (await answers()) {
    form.requestSubmit(submitter);
  } else {
    warn("Not connected: nothing was sent. What you typed stays here.");
    if (submitter) submitter.focus();
  }
  asking = null;
});
document.addEventListener("htmx:sendError", () => warn("Not connected: nothing was sent."));
document.addEventListener("htmx:afterSwap", () => count());
document.addEventListener("htmx:afterSettle", (event) => {
  const card = event.detail.elt;
  if (!card.matches || !card.matches(".card")) return;
  const said = card.querySelector(".problem, .decision");
  card.focus({ preventScroll: true });
  if (said) tell(`${card.querySelector("h3").textContent}: ${said.textContent}`);
});
htmx.defineExtension("keep", {
  isInlineSwap: (style) => style === "keep",
  handleSwap: (style, target, fragment) => {
    if (style !== "keep") return false;
    merge(target, fragment.querySelector("#queue"));
    return [];
  },
});
htmx.defineExtension("fresh", {
  isInlineSwap: (style) => style === "fresh",
  handleSwap: (style, target, fragment) => {
    if (style !== "fresh") return false;
    freshen(target, fragment);
    return [];
  },
});

const address = document.body.dataset.live;
if (address) follow(address);

// counting down

function left(seconds) {
  const round = Math.max(0, Math.floor(seconds));
  if (round < 120) return `${round} s left`;
  if (round < 7200) return `${Math.floor(round / 60)} min left`;
  if (round < 172800) return `${Math.floor(round / 3600)} h ${Math.floor((round % 3600) / 60)} min left`;
  return `${Math.floor(round / 86400)} days left`;
}

function tick() {
  for (const time of document.querySelectorAll("time[data-until]")) {
    const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
    const text = seconds > 0 ? left(seconds) : "its time is over";
    if (time.textContent !== text) time.textContent = text;
    time.classList.toggle("now", seconds < 300);
    time.classList.toggle("soon", seconds >= 300 && seconds < 900);
  }
}
tick();
setInterval(tick, 1000);

// the name on a service that asks nobody to sign in

const NAME = "hitl-name";
document.querySelectorAll("[data-name]").forEach((field) => { field.value ||= localStorage.getItem(NAME) || ""; });
document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-name]")) return;
  localStorage.setItem(NAME, event.target.value);
  document.querySelectorAll("[data-name]").forEach((field) => { if (!field.value) field.value = event.target.value; });
});

// keys

const OFF = "hitl-keys-off";
const help = document.getElementById("help");
const off = document.getElementById("keys-off");
const keysButton = document.getElementById("keys");
if (off) {
  off.checked = localStorage.getItem(OFF) === "1";
  off.addEventListener("change", () => localStorage.setItem(OFF, off.checked ? "1" : "0"));
}
if (keysButton) {
  keysButton.hidden = false;
  keysButton.addEventListener("click", () => help.showModal());
}

const rows = () => [...document.querySelectorAll(".card, tr.row")];
const current = () => document.activeElement && document.activeElement.closest(".card, tr.row");

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(current());
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1)];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

function press(selector) {
  const within = current() || (document.querySelector(".request") ? document : null);
  const button = within && within.querySelector(selector);
  if (button) button.focus();
  else if (within && within !== document) open(within);
}

function open(row) {
  const link = row && row.querySelector("h3 a, td a");
  if (link) link.click();
}

function go(selector, hash) {
  const field = document.querySelector(selector);
  if (document.querySelector(".request")) {
    const box = field && field.closest("details");
    if (box) box.open = true;
    if (field) field.focus();
    else tell("This request takes no changes.");
    return;
  }
  const link = current() && current().querySelector("h3 a, td a");
  if (link) location.assign(`${link.href}${hash}`);
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  a: () => press("button.approve:not([value=edit])"),
  r: () => press("button.reject"),
  c: () => go("#comment", "#comment"),
  e: () => go("#details", "#edit"),
  "/": () => document.getElementById("search").focus(),
  "?": () => help.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
  const at = event.target;
  const typing = at.closest && at.closest("input, textarea, select, [contenteditable]");
  if (event.key === "Escape") {
    if (typing || current()) document.activeElement.blur();
    return;
  }
  if (typing || !help || help.open || (off && off.checked)) return;
  if (event.key === "Enter") {
    if (at.matches(".card, tr.row")) { event.preventDefault(); open(at); }
    return;
  }
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

if (location.hash === "#edit" || location.hash === "#comment") {
  const field = document.querySelector(location.hash === "#edit" ? "#details" : "#comment");
  const box = field && field.closest("details");
  if (box) box.open = true;
  if (field) field.focus();
}

// a field grows with what is typed
document.addEventListener("input", (event) => {
  if (!event.target.matches("textarea:not(.code)")) return;
  event.target.rows = Math.min(8, Math.max(Number(event.target.dataset.rows ||= event.target.rows), event.target.value.split("\n").length));
});
