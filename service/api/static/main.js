/** The page: what is asked goes out, what is answered is shown. Nothing is kept. */

import { Answers, Words } from "./answers.js";
import { catalogue, stream } from "./api.js";
import { Batch } from "./batch.js";
import { byId, make, share, show } from "./dom.js";
import { explained } from "./errors.js";
import * as form from "./form.js";
import { FileError, postsOf } from "./posts.js";
import * as snippets from "./snippets.js";

let words = new Words([]);
let file = null; // {name, posts}
let running = null; // AbortController
let language = "curl";
let keyed = false;

const base = new URL(".", document.baseURI).href.replace(/\/$/, "");
const say = (text) => {
  byId("status").textContent = text;
};

/** Learn what can be asked; ask for a key where there has to be one. */
async function load() {
  try {
    const found = await catalogue(form.key.value);
    words = new Words(found.tasks);
    form.offer(found.tasks);
    changed();
    return true;
  } catch (error) {
    byId("tasks").replaceChildren(make("p", { class: "hint", text: "They are shown when the service answers." }));
    refused(explained(error), load);
    return false;
  }
}

function request() {
  const options = form.options();
  return file ? { texts: file.posts, ...options } : { text: form.post.value, ...options };
}

function changed() {
  form.measure();
  const said = request();
  if (said.texts?.length > 3) said.texts = said.texts.slice(0, 3);
  byId("snippet").textContent = snippets[language](said, base, keyed);
  byId("go").textContent = file ? `Analyse ${file.posts.length} posts` : "Analyse";
}

/** Show an error, with what can be done about it. */
function refused(error, again) {
  const box = byId("error");
  if (error.status === 401 || error.status === 403) {
    keyed = true;
    form.askForKey();
  }
  const said = [make("strong", { text: "That did not work. " }), error.message];
  if (error.requestId) said.push(make("p", { class: "hint", text: `Request ${error.requestId}` }));
  box.replaceChildren(...said);
  if (again && error.status !== 422 && error.status !== 413) box.append(retry(error.retryAfter, again));
  show(box);
}

/** A button that can be pressed once the service wants to be asked again. */
function retry(seconds, again) {
  const button = make("button", { type: "button", text: "Try again", onclick: again });
  const shown = (left) => {
    if (!button.isConnected && left < seconds) return;
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left > 0) setTimeout(() => shown(left - 1), 1000);
  };
  shown(seconds);
  return make("div", {}, button);
}

function clear() {
  for (const id of ["error", "urgent", "shown", "batch"]) show(byId(id), false);
  byId("answers").replaceChildren();
}

function urgent(resources) {
  byId("urgent").replaceChildren(
    make("strong", { text: "This text may speak of suicide or self-harm. " }),
    resources ?? "A person should read it now.",
  );
  show(byId("urgent"));
}

async function one(signal) {
  const options = form.options();
  const text = form.post.value;
  const answers = new Answers(text, words);
  let explaining = false;
  for await (const { event, data } of stream({ ...options, text }, form.key.value, signal)) {
    if (event === "label") {
      const { answer } = data;
      const negative = words.questions.get(answer.question)?.labels.find((l) => l.id === answer.candidate);
      const explain = options.explain === "always" || (options.explain === "positive" && !negative?.negative);
      answers.labelled(answer, explain && !answer.abstained);
      if (answer.urgent) urgent(null);
      if (!explaining) say(`${answers.size} label${answers.size === 1 ? "" : "s"} read …`);
    } else if (event === "explanation") {
      if (!explaining) say(`${answers.size} labels read. Explaining …`);
      explaining = true;
      answers.said(data.question, data.delta);
    } else if (event === "result") {
      answers.whole(data.results[0]);
      if (data.resources) urgent(data.resources);
    }
  }
  return `${answers.size} question${answers.size === 1 ? "" : "s"} answered`;
}

async function several(signal) {
  const batch = new Batch(file.name, file.posts, words);
  const all = file.posts.length;
  try {
    await batch.run(form.options(), form.key.value, signal, (done) => {
      if (done % 20 === 0 || done === all) say(`${done} of ${all} posts read …`);
    });
  } finally {
    if (batch.results.length) batch.show();
    if (batch.resources) urgent(batch.resources);
  }
  return `${all} posts read${batch.failed ? `, ${batch.failed} of them could not be` : ""}`;
}

async function go() {
  if (running) return;
  if (!file && !form.post.value.trim()) {
    clear();
    refused({ message: "There is no post yet. Write or paste one first.", status: 422 });
    form.post.focus();
    return;
  }
  if (!words.tasks.size && !(await load())) return;
  if (form.options().tasks?.length === 0) {
    clear();
    refused({ message: "No task is chosen. Choose at least one.", status: 422 });
    return;
  }
  clear();
  running = new AbortController();
  busy(true);
  if (innerWidth < 960) byId("results-heading").scrollIntoView(); // below the form there
  const begun = performance.now();
  try {
    const done = await (file ? several(running.signal) : one(running.signal));
    say(`${done}, in ${((performance.now() - begun) / 1000).toFixed(1)} seconds.`);
  } catch (error) {
    for (const waiting of document.querySelectorAll(".explanation.waiting")) {
      waiting.textContent = "No explanation came.";
    }
    if (error.name === "AbortError") say("Cancelled. What is shown is not all.");
    else {
      say("Not finished.");
      refused(explained(error), go);
    }
  } finally {
    running = null;
    busy(false);
  }
}

function busy(yes) {
  byId("go").disabled = yes;
  show(byId("cancel"), yes);
  show(byId("bar"), yes && file !== null);
  share(byId("bar").firstElementChild, 0);
  byId("answers").setAttribute("aria-busy", String(yes));
  if (yes) say(file ? "Reading the posts …" : "Reading the post …");
}

/** Take a file of posts in place of the one in the box. */
async function take(chosen) {
  show(byId("error"), false);
  try {
    const { posts, column } = postsOf(chosen.name, await chosen.text());
    file = { name: chosen.name, posts };
    const where = column === null ? "a line each" : `column ${column}`;
    byId("file-said").replaceChildren(
      make("span", { text: `${posts.length} posts, ${where}` }),
      make("button", { type: "button", class: "link", text: "Remove", onclick: drop }),
    );
    show(byId("file-said"));
  } catch (error) {
    drop();
    if (!(error instanceof FileError)) throw error;
    refused({ message: error.message, status: 422 });
  }
  form.post.disabled = file !== null;
  changed();
}

function drop() {
  file = null;
  byId("file").value = "";
  form.post.disabled = false;
  show(byId("file-said"), false);
  changed();
}

function dropZone(zone) {
  const mark = (yes) => (event) => {
    event.preventDefault();
    zone.classList.toggle("dragged", yes);
  };
  zone.addEventListener("dragover", mark(true));
  zone.addEventListener("dragleave", mark(false));
  zone.addEventListener("drop", (event) => {
    mark(false)(event);
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
}

function theme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").textContent = dark ? "Light" : "Dark";
}

function speak(chosen) {
  language = chosen;
  for (const name of ["curl", "python"]) {
    byId(`as-${name}`).setAttribute("aria-pressed", String(name === chosen));
  }
  changed();
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
theme(prefersDark.matches);
prefersDark.addEventListener("change", () => theme(prefersDark.matches));
byId("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme !== "dark"));
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  go();
});
byId("cancel").addEventListener("click", () => running?.abort());
byId("file").addEventListener("change", (event) => event.target.files.length && take(event.target.files[0]));
byId("as-curl").addEventListener("click", () => speak("curl"));
byId("as-python").addEventListener("click", () => speak("python"));
byId("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(byId("snippet").textContent);
  byId("copy").textContent = "Copied";
  setTimeout(() => (byId("copy").textContent = "Copy"), 1500);
});
dropZone(byId("drop"));
form.watch(changed);
changed();
load();
