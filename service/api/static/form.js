/** What is asked: the post or the file, the tasks, the explanations, the key. */

import { byId, make, show } from "./dom.js";

const EXAMPLE =
  "My shifts were changed again and I slept three hours. My hands shake when I open the roster, " +
  "and I snapped at my little brother for nothing. Since the move nobody here knows my name; on " +
  "Sundays I speak to no one until Monday.";

/** @type {HTMLTextAreaElement} */
export const post = byId("post");
/** @type {HTMLInputElement} */
export const key = byId("key");

/** @param {{id: string, title: string, description: string}[]} tasks */
export function offer(tasks) {
  const chosen = new Set(unpicked());
  byId("tasks").replaceChildren(
    ...tasks.map(({ id, title, description }) =>
      make(
        "label",
        { title: description },
        make("input", { type: "checkbox", name: "task", value: id, checked: !chosen.has(id) }),
        make("span", { text: title }),
      ),
    ),
  );
}

const boxes = () => [...document.querySelectorAll('input[name="task"]')];
const unpicked = () => boxes().filter((box) => !box.checked).map((box) => box.value);

/** The request's fields but the text; `tasks` is left out where all are asked. */
export function options() {
  const picked = boxes().filter((box) => box.checked).map((box) => box.value);
  const explain = document.querySelector('input[name="explain"]:checked').value;
  return { ...(picked.length < boxes().length ? { tasks: picked } : {}), explain };
}

/** @param {() => void} changed called whenever something else would be asked */
export function watch(changed) {
  const all = (checked) => () => {
    for (const box of boxes()) box.checked = checked;
    changed();
  };
  byId("all").addEventListener("click", all(true));
  byId("none").addEventListener("click", all(false));
  byId("example").addEventListener("click", () => {
    post.value = EXAMPLE;
    changed();
    post.focus();
  });
  byId("form").addEventListener("input", changed);
  byId("form").addEventListener("change", changed);
}

/** Say how long the post is. */
export function measure() {
  const length = [...post.value].length;
  byId("length").textContent = `${length.toLocaleString("en")} character${length === 1 ? "" : "s"}`;
}

/** Ask for a key. */
export function askForKey() {
  show(byId("key-field"));
  key.focus();
}
