// The page of the inbox: a list that refreshes itself and a reader. Whatever came from outside becomes text nodes, never
// markup; a mail's HTML is shown in a frame that may run nothing and load nothing.
"use strict";

const WORDS = {
  en: {
    inbox: "Inbox", messages: "Messages", clear: "Clear", all: "All", email: "Email", slack: "Slack", teams: "Teams",
    webhook: "Webhook", search: "Search in messages", live: "up to date", lost: "no connection", none: "No message yet. Alerts and events that the lab sends appear here by themselves.",
    nothing: "Nothing matches.", choose: "Choose a message to read it.", from: "From", to: "To", received: "Received",
    path: "Path", conversation: "Answers", verified: "Signature is valid", unverified: "Signature is wrong", unknown: "No secret to check with",
    refused: "Refused", preview: "Preview", text: "Text", source: "Source", headers: "Headers", sureClear: "Remove all messages?",
    id: "Message id", app: "App", signature: "Signature",
  },
  pt: {
    inbox: "Caixa de entrada", messages: "Mensagens", clear: "Limpar", all: "Todas", email: "E-mail", slack: "Slack", teams: "Teams",
    webhook: "Webhook", search: "Buscar nas mensagens", live: "atualizado", lost: "sem conexão", none: "Nenhuma mensagem ainda. Os alertas e eventos que o laboratório envia aparecem aqui sozinhos.",
    nothing: "Nada encontrado.", choose: "Escolha uma mensagem para ler.", from: "De", to: "Para", received: "Recebida",
    path: "Caminho", conversation: "Responde a", verified: "Assinatura válida", unverified: "Assinatura inválida", unknown: "Sem segredo para conferir",
    refused: "Recusada", preview: "Visualização", text: "Texto", source: "Fonte", headers: "Cabeçalhos", sureClear: "Remover todas as mensagens?",
    id: "Id da mensagem", app: "App", signature: "Assinatura",
  },
};
const CHANNELS = ["email", "slack", "teams", "webhook"];
const SHAPES = {
  email: ["M3 6l9 7 9-7", "M3 5h18v14H3z"],
  slack: ["M9 3v18", "M15 3v18", "M3 9h18", "M3 15h18"],
  teams: ["M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M2 21c0-4 3-7 7-7s7 3 7 7", "M16 4a3.5 3.5 0 0 1 0 7", "M18 14c2.500 1 4 3.500 4 7"],
  webhook: ["M8 8a4 4 0 1 1 6 3.500l3 5", "M17 21a4 4 0 1 0-3.500-6H8", "M8.500 11L6 15a4 4 0 1 0 3.500 4.500"],
};
const state = { language: localLanguage(), channel: "", search: "", messages: [], chosen: null, view: "preview", drawn: "" };
const byId = (id) => document.getElementById(id);
const word = (name) => WORDS[state.language][name] ?? name;

function localLanguage() {
  let kept = null;
  try { kept = localStorage.getItem("language"); } catch { /* storage may be off */ }
  return kept in WORDS ? kept : (navigator.language || "en").startsWith("pt") ? "pt" : "en";
}

function element(name, options = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (key in made && key !== "list") made[key] = value; else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

function badge(channel) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  for (const shape of SHAPES[channel]) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", shape);
    svg.append(path);
  }
  return element("span", { className: `badge ${channel}` }, svg);
}

function chips(message) {
  const made = [];
  if (message.refused) made.push(element("span", { className: "chip bad" }, word("refused")));
  if (message.verified === "true") made.push(element("span", { className: "chip good" }, `✓ ${word("verified")}`));
  if (message.verified === "false") made.push(element("span", { className: "chip bad" }, `✗ ${word("unverified")}`));
  if (message.verified === "unknown") made.push(element("span", { className: "chip unsure" }, word("unknown")));
  return made;
}

function timeOf(message, long) {
  const at = new Date(message.received_at);
  const style = long ? { dateStyle: "medium", timeStyle: "medium" } : { timeStyle: "medium" };
  return element("time", { dateTime: message.received_at },
    new Intl.DateTimeFormat(state.language === "pt" ? "pt-BR" : "en-GB", style).format(at));
}

// ---- list ---------------------------------------------------------------------------------------------------------

function drawList() {
  const shown = state.messages.filter((message) => !state.channel || message.channel === state.channel);
  const tabs = ["", ...CHANNELS].map((channel) => {
    const count = state.messages.filter((message) => !channel || message.channel === channel).length;
    const tab = element("button", { type: "button", "aria-pressed": String(state.channel === channel) },
      `${word(channel || "all")} ${count}`);
    tab.addEventListener("click", () => { state.channel = channel; drawList(); });
    return tab;
  });
  byId("tabs").replaceChildren(...tabs);
  byId("messages").replaceChildren(...shown.map((message) => element("li", {}, entry(message))));
  byId("empty").hidden = shown.length > 0;
  byId("empty").textContent = word(state.search || state.channel ? "nothing" : "none");
}

function entry(message) {
  const made = element("button", { type: "button", className: "entry", "aria-current": String(message.id === state.chosen) },
    badge(message.channel),
    element("span", { className: "meta" }, word(message.channel), ...chips(message), timeOf(message, false)),
    element("span", { className: "title" }, message.title),
    element("span", { className: "snippet" }, message.snippet || message.path || ""));
  made.addEventListener("click", () => { location.hash = message.id; });
  return made;
}

// ---- reader -------------------------------------------------------------------------------------------------------

async function read() {
  const id = decodeURIComponent(location.hash.slice(1));
  state.chosen = id || null;
  document.body.classList.toggle("reading", Boolean(id));
  drawList();
  if (!id) return byId("reader").replaceChildren(element("p", { className: "nothing" }, word("choose")));
  const answer = await fetch(`/api/messages/${encodeURIComponent(id)}`);
  if (!answer.ok) return byId("reader").replaceChildren(element("p", { className: "nothing" }, word("nothing")));
  return drawMessage(await answer.json());
}

function drawMessage(message) {
  const names = viewsOf(message);
  const view = names.includes(state.view) ? state.view : names[0];
  const buttons = names.map((name) => {
    const button = element("button", { type: "button", "aria-pressed": String(name === view) }, word(name));
    button.addEventListener("click", () => { state.view = name; drawMessage(message); });
    return button;
  });
  byId("reader").replaceChildren(
    element("a", { className: "back", href: "#" }, `← ${word("inbox")}`),
    element("h2", {}, message.title),
    about(message),
    ...(message.refused ? [element("div", { className: "refused" }, `${word("refused")}: ${message.refused}`)] : []),
    element("div", { className: "views", role: "group" }, ...buttons),
    VIEWS[view](message));
}

function viewsOf(message) {
  if (message.channel === "email") return message.mail?.html ? ["preview", "text", "headers", "source"] : ["text", "headers", "source"];
  if (message.payload === null) return ["source", "headers"];
  return message.channel === "webhook" ? ["source", "headers"] : ["preview", "source", "headers"];
}

function about(message) {
  const rows = [];
  if (message.mail) {
    rows.push(["from", message.mail.sender], ["to", message.mail.recipients.join(", ")]);
    if (message.mail.in_reply_to) rows.push(["conversation", message.mail.in_reply_to]);
  } else {
    rows.push(["path", message.path]);
  }
  if (message.headers["webhook-id"]) rows.push(["id", message.headers["webhook-id"]]);
  const terms = rows.flatMap(([name, value]) => [element("dt", {}, word(name)), element("dd", {}, value ?? "")]);
  const seal = message.verified ? [element("dt", {}, word("signature")), element("dd", {}, ...chips(message))] : [];
  return element("dl", { className: "about" }, element("dt", {}, word("received")), element("dd", {}, timeOf(message, true)), ...terms, ...seal);
}

const VIEWS = {
  preview: (message) => {
    if (message.channel === "slack") return slackMessage(message);
    if (message.channel === "teams") return teamsMessage(message);
    const frame = element("iframe", { title: word("preview") });
    frame.setAttribute("sandbox", "");
    frame.src = `/api/messages/${encodeURIComponent(message.id)}/html`;
    return frame;
  },
  text: (message) => element("pre", {}, message.mail.text),
  source: (message) => element("pre", {}, ...(message.payload === null ? [message.body] : coloured(JSON.stringify(message.payload, null, 2)))),
  headers: (message) => element("pre", {}, ...Object.entries(message.headers).flatMap(([name, value]) =>
    [element("span", { className: "key" }, name), `: ${value}\n`])),
};

function coloured(json) {
  const pieces = json.split(/("(?:[^"\\]|\\.)*"\s*:|"(?:[^"\\]|\\.)*"|\b(?:-?\d[\d.eE+-]*|true|false|null)\b)/);
  return pieces.map((piece, index) => {
    if (index % 2 === 0) return piece;
    const kind = piece.endsWith(":") ? "key" : piece.startsWith('"') ? "text" : "number";
    return element("span", { className: kind }, piece);
  });
}

function link(label, address) {
  const safe = /^https?:\/\//i.test(address);
  return safe ? element("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, label) : element("span", {}, label);
}

// ---- Slack --------------------------------------------------------------------------------------------------------

function slackMessage(message) {
  const blocks = Array.isArray(message.payload?.blocks) ? message.payload.blocks : [];
  const drawn = blocks.length ? blocks.map(slackBlock) : [element("p", {}, ...marked(message.payload?.text ?? ""))];
  return element("div", { className: "sheet slack-message" }, element("div", { className: "face" }, "DL"),
    element("div", {}, element("div", { className: "who" }, "DataFlow Lab", element("small", {}, word("app"))), ...drawn));
}

function slackBlock(block) {
  const said = (text) => (text?.type === "mrkdwn" ? marked(text.text) : [text?.text ?? ""]);
  if (block?.type === "header") return element("h3", {}, ...said(block.text));
  if (block?.type === "context") return element("p", { className: "context" }, ...(block.elements ?? []).flatMap(said));
  if (block?.type === "divider") return element("hr");
  if (block?.type === "actions") {
    return element("div", { className: "buttons" }, ...(block.elements ?? []).map((b) => link(b?.text?.text ?? "", b?.url ?? "")));
  }
  const parts = block?.text ? [element("p", {}, ...said(block.text))] : [];
  if (Array.isArray(block?.fields)) {
    parts.push(element("div", { className: "fields" }, ...block.fields.map((field) => element("p", {}, ...said(field)))));
  }
  return element("div", {}, ...parts);
}

function marked(text) {
  const plain = (part) => part.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
  return String(text).split(/(\*[^*\n]+\*|`[^`\n]+`)/).map((part, index) => {
    if (index % 2 === 0) return plain(part);
    return element(part.startsWith("*") ? "strong" : "code", {}, plain(part.slice(1, -1)));
  });
}

// ---- Teams --------------------------------------------------------------------------------------------------------

function teamsMessage(message) {
  const cards = (Array.isArray(message.payload?.attachments) ? message.payload.attachments : []).map((a) => a?.content ?? {});
  return element("div", { className: "sheet teams-message" }, element("div", { className: "face" }, "DL"),
    element("div", {}, ...cards.map((card) => element("div", { className: "card" },
      ...(Array.isArray(card.body) ? card.body : []).map(cardItem), cardActions(card)))));
}

function cardItem(item) {
  const bare = (text) => String(text ?? "").replace(/\\([\\`*_[\]()#~>|!-])/g, "$1");
  if (item?.type === "Container") {
    return element("div", { className: `container ${/^[a-z]+$/.test(item.style ?? "") ? item.style : ""}` }, ...(item.items ?? []).map(cardItem));
  }
  if (item?.type === "FactSet") {
    return element("dl", { className: "facts" }, ...(item.facts ?? []).flatMap((fact) =>
      [element("dt", {}, bare(fact?.title)), element("dd", {}, bare(fact?.value))]));
  }
  const classes = [item?.isSubtle && "subtle", item?.size === "Small" && "small", item?.size === "Large" && "large",
    item?.weight === "Bolder" && "bolder", item?.separator && "ruled"].filter(Boolean).join(" ");
  return element("p", { className: classes }, bare(item?.text));
}

function cardActions(card) {
  if (!Array.isArray(card.actions) || !card.actions.length) return null;
  return element("div", { className: "buttons" }, ...card.actions.map((action) => link(action?.title ?? "", action?.url ?? "")));
}

// ---- keeping up to date -------------------------------------------------------------------------------------------

async function refresh() {
  try {
    const query = new URLSearchParams({ brief: "true", page_size: "300" });
    if (state.search) query.set("contains", state.search);
    const answer = await fetch(`/api/messages?${query}`);
    if (!answer.ok) throw new Error(String(answer.status));
    const text = await answer.text();
    byId("live").className = "live";
    byId("live").textContent = word("live");
    if (text !== state.drawn) {
      state.drawn = text;
      state.messages = JSON.parse(text).messages;
      drawList();
    }
  } catch {
    byId("live").className = "live lost";
    byId("live").textContent = word("lost");
  }
}

function speak(language) {
  state.language = language;
  try { localStorage.setItem("language", language); } catch { /* storage may be off */ }
  document.documentElement.lang = language === "pt" ? "pt-BR" : "en";
  document.title = `${word("inbox")} · DataFlow Lab`;
  for (const found of document.querySelectorAll("[data-word]")) found.textContent = word(found.dataset.word);
  for (const found of document.querySelectorAll("[data-language]")) found.setAttribute("aria-pressed", String(found.dataset.language === language));
  byId("search").placeholder = word("search");
  byId("search").setAttribute("aria-label", word("search"));
  read();
}

byId("search").addEventListener("input", (event) => { state.search = event.target.value.trim(); refresh(); });
byId("clear").addEventListener("click", async () => {
  if (!window.confirm(word("sureClear"))) return;
  await fetch("/api/messages", { method: "DELETE" });
  history.replaceState(null, "", location.pathname);
  await refresh();
  read();
});
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => speak(button.dataset.language));
}
window.addEventListener("hashchange", read);
speak(state.language);
refresh();
setInterval(refresh, 2000);
