/** Several posts: asked a few at a time, shown as a table, taken away as a file. */

import { analyse } from "./api.js";
import { byId, make, share, show } from "./dom.js";
import { cell } from "./posts.js";

const AT_ONCE = 4;
const SHOWN = 200; // rows of the table; the files have all

/** Posts of a file and what was said about them. */
export class Batch {
  /**
   * @param {string} name of the file
   * @param {string[]} posts
   * @param {import("./answers.js").Words} words
   */
  constructor(name, posts, words) {
    this.name = name;
    this.posts = posts;
    this.words = words;
    this.results = [];
    this.resources = null;
  }

  /** Ask about all; what was answered stays where it is stopped.
   *
   * @param {object} options fields of the request but the texts
   * @param {string} key
   * @param {AbortSignal} signal
   * @param {(done: number) => void} told
   */
  async run(options, key, signal, told) {
    while (this.results.length < this.posts.length) {
      const texts = this.posts.slice(this.results.length, this.results.length + AT_ONCE);
      const answer = await analyse({ ...options, texts }, key, signal);
      this.results.push(...answer.results);
      this.resources ??= answer.resources;
      share(byId("bar").firstElementChild, this.results.length / this.posts.length);
      told(this.results.length);
      this.show();
    }
  }

  /** How many posts have no answers. */
  get failed() {
    return this.results.filter((one) => one.error).length;
  }

  show() {
    const asked = this.results.find((one) => !one.error)?.answers ?? [];
    const head = make(
      "tr",
      {},
      ...["#", "Post", ...asked.map((one) => this.words.title(one))].map((text) =>
        make("th", { scope: "col", text }),
      ),
    );
    const rows = this.results.slice(0, SHOWN).map((result, place) => this.#row(result, place, asked.length));
    const all = this.results.length <= SHOWN ? "" : ` The first ${SHOWN} are shown.`;
    byId("batch").replaceChildren(
      make("h3", { text: `${this.results.length} of ${this.posts.length} posts of ${this.name}` }),
      make(
        "div",
        { class: "downloads" },
        make("button", { type: "button", text: "Download CSV", onclick: () => this.#save("csv") }),
        make("button", { type: "button", text: "Download JSON lines", onclick: () => this.#save("jsonl") }),
      ),
      make("p", { class: "hint", text: `The files hold explanations and evidence too.${all}` }),
      make(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": "Labels of all posts" },
        make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)),
      ),
    );
    show(byId("batch"));
  }

  #row(result, place, questions) {
    const cells = result.error
      ? [make("td", { class: "failed", colspan: questions || 1, text: result.error.message })]
      : result.answers.map((answer) =>
          make("td", {
            class: answer.abstained || answer.probability < 0.6 ? "number unsure" : "number",
            text:
              `${answer.abstained ? "Undecided: " : ""}${this.words.label(answer, answer.candidate)}, ` +
              `${Math.round(answer.probability * 100)}%`,
          }),
        );
    return make(
      "tr",
      {},
      make("td", { class: "number", text: String(place + 1) }),
      make("td", { class: "post", text: this.posts[place] }),
      ...cells,
    );
  }

  #save(kind) {
    const text = kind === "csv" ? this.#csv() : this.#jsonl();
    const link = make("a", {
      href: URL.createObjectURL(new Blob([text], { type: "text/plain" })),
      download: `${this.name.replace(/\.[^.]*$/, "")}-answers.${kind}`,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  #csv() {
    const names = ["row", "text", "task", "question", "label", "candidate", "probability", "abstained"];
    const more = ["label_mass", "explanation", "consistency", "error"];
    const rows = this.results.flatMap((result, place) => {
      const begun = { row: place, text: this.posts[place] };
      return result.error
        ? [{ ...begun, error: result.error.code }]
        : result.answers.map((answer) => ({ ...answer, ...begun }));
    });
    const lines = rows.map((row) => [...names, ...more].map((name) => cell(row[name])).join(","));
    return `${[[...names, ...more].join(","), ...lines].join("\r\n")}\r\n`;
  }

  #jsonl() {
    return this.results
      .map((result, place) => `${JSON.stringify({ row: place, text: this.posts[place], ...result })}\n`)
      .join("");
  }
}
