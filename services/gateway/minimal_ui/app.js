// The page that comes with the gateway while no other UI is installed: log in, archive folders, watch jobs. No library, no inline script.
"use strict";

const el = (id) => document.getElementById(id);
const KEY = "cs-archiver-token";
let token = sessionStorage.getItem(KEY);
let socket = null;
let reconnect = null;
const jobs = new Map();

async function call(method, path, body) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error("The gateway does not answer.");
  }
  const data = answer.status === 204 ? null : await answer.json();
  if (answer.ok) return data;
  if (data.type === "password-change-required") show("password");
  else if (answer.status === 401 && token) leave();
  throw new Error(data.detail);
}

function say(text) {
  el("message").textContent = text;
  el("message").hidden = !text;
}

function attempt(action) {
  return async (...given) => {
    say("");
    try {
      await action(...given);
    } catch (error) {
      say(error.message);
    }
  };
}

function show(part) {
  for (const id of ["login", "password", "work"]) el(id).hidden = id !== part;
  el("logout").hidden = part === "login";
  if (part === "login") el("who").textContent = "";
}

function leave() {
  token = null;
  sessionStorage.removeItem(KEY);
  jobs.clear();
  clearTimeout(reconnect);
  if (socket) socket.close();
  show("login");
}

async function enter() {
  const user = await call("GET", "/api/auth/me");
  el("who").textContent = user.username;
  if (user.must_change_password) return show("password");
  show("work");
  follow();
  await Promise.all([listFolders(false), listJobs()]);
}

function node(tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function size(bytes) {
  if (bytes === null || bytes === undefined) return "";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let n = 0;
  while (bytes >= 1024 && n < units.length - 1) { bytes /= 1024; n += 1; }
  return `${bytes.toFixed(n ? 2 : 0)} ${units[n]}`;
}

async function listFolders(refresh) {
  const query = new URLSearchParams({ q: el("search").value, limit: 500, refresh });
  const folders = await call("GET", `/api/folders?${query}`);
  el("no-folders").hidden = folders.length > 0;
  el("folders").replaceChildren(...folders.map((folder) => {
    const item = node("li");
    const words = node("div");
    const where = `${folder.level1} / ${folder.level2} · ${folder.size_human} · ${folder.file_count} files`;
    words.append(node("strong", folder.name), node("small", where));
    const button = node("button", folder.job_id ? "In the queue" : "Archive");
    button.disabled = folder.job_id !== null;
    button.setAttribute("aria-label", `Archive ${folder.name}`);
    button.onclick = attempt(async () => {
      const sentence = `Archive ${folder.path}?\n\nIts content is deleted once it is proven to be at the destination.`;
      if (!window.confirm(sentence)) return;
      await call("POST", "/api/jobs", { folder_path: folder.path });
      await listFolders(false);
    });
    item.append(words, button);
    return item;
  }));
}

async function listJobs() {
  for (const job of await call("GET", "/api/jobs?limit=50")) if (!jobs.has(job.job_id)) jobs.set(job.job_id, { ...job, version: 0 });
  draw();
}

const ENDED = ["completed", "failed", "cancelled"];

function draw() {
  el("no-jobs").hidden = jobs.size > 0;
  const order = [...jobs.values()].sort((a, b) => ENDED.includes(a.status) - ENDED.includes(b.status));
  el("jobs").replaceChildren(...order.map((job) => {
    const item = node("li");
    const words = node("div");
    const rate = job.bytes_per_second ? ` · ${size(job.bytes_per_second)}/s` : "";
    words.append(node("strong", job.folder_name), node("small", `${job.status.replace("_", " ")} · ${job.current_operation}${rate}`));
    if (job.error_message) words.append(node("small", job.error_message, "bad"));
    item.append(words);
    const act = (label, method, path) => {
      const button = node("button", label, "quiet");
      button.setAttribute("aria-label", `${label} ${job.folder_name}`);
      button.onclick = attempt(() => call(method, path));
      item.append(button);
    };
    if (job.status === "failed") act("Retry", "POST", `/api/jobs/${job.job_id}/retry`);
    else if (!ENDED.includes(job.status) && job.status !== "deleting_source") act("Cancel", "DELETE", `/api/jobs/${job.job_id}`);
    const bar = node("progress");
    bar.max = 100;
    bar.value = job.progress_percent;
    bar.setAttribute("aria-label", `Progress of ${job.folder_name}`);
    item.append(bar);
    return item;
  }));
}

let drawing = false;
function drawSoon() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => { drawing = false; draw(); }, 200);
}

function follow() {
  if (socket) return;
  const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/jobs?token=${encodeURIComponent(token)}`;
  socket = new WebSocket(address);
  socket.onopen = () => { el("connection").textContent = "Live"; };
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.type !== "job_update") return;
    jobs.set(message.job_id, { ...jobs.get(message.job_id), ...message });
    drawSoon();
    if (ENDED.includes(message.status)) attempt(listFolders)(false);
  };
  socket.onclose = (event) => {
    socket = null;
    el("connection").textContent = token ? "Reconnecting" : "";
    if (event.code === 4401) leave();
    else if (token) reconnect = setTimeout(follow, 2000);
  };
}

el("login").onsubmit = attempt(async (event) => {
  event.preventDefault();
  const form = new FormData(el("login"));
  const result = await call("POST", "/api/auth/login", Object.fromEntries(form));
  token = result.access_token;
  sessionStorage.setItem(KEY, token);
  el("login").reset();
  await enter();
});

el("password").onsubmit = attempt(async (event) => {
  event.preventDefault();
  await call("POST", "/api/auth/password", Object.fromEntries(new FormData(el("password"))));
  el("password").reset();
  await enter();
});

el("logout").onclick = attempt(async () => {
  await call("POST", "/api/auth/logout");
  leave();
});

el("refresh").onclick = attempt(async () => {
  el("refresh").disabled = true;
  try {
    await listFolders(true);
  } finally {
    el("refresh").disabled = false;
  }
});

let typing = null;
el("search").oninput = () => {
  clearTimeout(typing);
  typing = setTimeout(attempt(() => listFolders(false)), 250);
};

if (token) attempt(enter)();
else show("login");
