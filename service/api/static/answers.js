/** Answers on one post, as they come: labels as bars, doubts, explanations, evidence. */

import { byId, make, share, show } from "./dom.js";
import { inUnits, pieces } from "./offsets.js";

const MANY = 4; // labels of a question that are shown at once
const LOW_MASS = 0.5;
const LOW_CONSISTENCY = 0.5;

const percent = (value) => {
  const shown = Math.round(value * 100);
  if (shown === 100 && value < 1) return ">99%";
  return shown === 0 && value > 0 ? "<1%" : `${shown}%`;
};

/** The words for questions and labels, from the service's catalogue. */
export class Words {
  /** @param {{id: string, title: string, questions: any[]}[]} tasks */
  constructor(tasks) {
    this.tasks = new Map(tasks.map((task) => [task.id, task]));
    this.questions = new Map(tasks.flatMap((task) => task.questions.map((one) => [one.id, one])));
  }

  /** @param {{task: string, question: string}} answer */
  title({ task, question }) {
    const said = this.tasks.get(task)?.title ?? task;
    const own = question.startsWith(`${task}.`) ? question.slice(task.length + 1) : "";
    const several = (this.tasks.get(task)?.questions.filter((one) => one.asked_by_default).length ?? 0) > 1;
    if (!own || !several) return said;
    return `${said}: ${task === "mental_disorder" ? own.toUpperCase() : own.replaceAll("_", " ")}`;
  }

  /** A label as what stands in the text, never as what somebody has. */
  label({ task, question }, id) {
    const known = this.questions.get(question)?.labels.find((one) => one.id === id);
    if (id === "yes") return "Signs found";
    if (id === "no") return "No signs found";
    if (known?.negative) return "Nothing found";
    const name = known?.name ?? id.replaceAll("_", " ");
    if (task === "mental_disorder") return `Signs of ${name}`;
    return name[0].toUpperCase() + name.slice(1);
  }
}

/** What is doubtful about an answer, in words. */
export function doubts(answer) {
  const found = [];
  if (answer.abstained) found.push("Undecided: the rules of this service leave it open.");
  else if (answer.probability < 0.6) {
    found.push(`Not sure: the label has a probability of ${percent(answer.probability)}.`);
  }
  if (answer.label_mass < LOW_MASS) {
    found.push(
      `The labels hold ${percent(answer.label_mass)} of what the model would say: it would rather ` +
        "have said something else.",
    );
  }
  if (answer.consistency !== null && answer.consistency < LOW_CONSISTENCY) {
    found.push(
      `The explanation does not support the label: read alone, it says so with ` +
        `${percent(answer.consistency)}.`,
    );
  }
  if (answer.finish_reason === "length") found.push("The explanation was cut off: it got too long.");
  if (answer.finish_reason === "repetition") {
    found.push("The explanation was ended: it said the same again and again.");
  }
  return found;
}

/** The answers on one post, on the page. */
export class Answers {
  /**
   * @param {string} text the post
   * @param {Words} words
   */
  constructor(text, words) {
    this.text = text;
    this.words = words;
    this.cards = new Map();
    byId("answers").replaceChildren();
    byId("shown-post").textContent = text;
    show(byId("shown"));
  }

  /** How many questions are answered so far. */
  get size() {
    return this.cards.size;
  }

  /** A question is decided. */
  labelled(answer, explained) {
    const card = make("article", { class: answer.abstained ? "answer undecided" : "answer" });
    const body = make("div", { class: "body" });
    const head = make(
      "header",
      {},
      make("h3", { text: this.words.title(answer) }),
      make("p", { class: "asked", text: `Asked as: ${answer.question_text}` }),
    );
    card.append(...[head, this.#labels(answer), doubtList(answer), body].filter(Boolean));
    if (explained) body.append(make("p", { class: "explanation waiting", text: "Explanation follows …" }));
    byId("answers").append(card);
    this.cards.set(answer.question, { card, body, said: "" });
  }

  /** More of an explanation. */
  said(question, delta) {
    const one = this.cards.get(question);
    if (!one) return;
    one.said += delta;
    one.body.replaceChildren(make("p", { class: "explanation", text: one.said.trimStart() }));
  }

  /** Everything is there. */
  whole(result) {
    const spans = inUnits(this.text, result.answers.flatMap((answer) => answer.evidence));
    this.#post(spans, result.truncated);
    let place = 0;
    for (const answer of result.answers) {
      if (!this.cards.has(answer.question)) this.labelled(answer, false);
      const { card, body } = this.cards.get(answer.question);
      const quotes = answer.evidence.map(({ quote }) => this.#quote(quote, place++));
      body.replaceChildren();
      if (answer.explanation !== null) {
        body.append(make("p", { class: "explanation", text: answer.explanation }));
        if (quotes.length) {
          body.append(make("div", { class: "quotes" }, make("span", { text: "In the post:" }), ...quotes));
        }
        if (answer.consistency !== null) {
          const said = `The explanation, read alone, supports the label with ${percent(answer.consistency)}.`;
          body.append(make("p", { class: "consistency", text: said }));
        }
      }
      card.querySelector(".doubts")?.remove();
      const said = doubtList(answer);
      if (said) body.before(said);
    }
  }

  #labels(answer) {
    const sorted = Object.entries(answer.probabilities).sort(([, a], [, b]) => b - a);
    const first = sorted.findIndex(([id]) => id === answer.candidate);
    sorted.unshift(...sorted.splice(first, 1));
    const row = ([id, probability]) =>
      make(
        "li",
        { class: id === answer.candidate ? "decided" : "" },
        make("span", { class: "name", text: this.words.label(answer, id) }),
        make("span", { class: "track", "aria-hidden": "true" }, share(make("div"), probability)),
        make("span", { class: "share", text: percent(probability) }),
      );
    const list = (entries) => make("ul", { class: "labels" }, ...entries.map(row));
    if (sorted.length <= MANY) return list(sorted);
    return make(
      "div",
      {},
      list(sorted.slice(0, MANY - 1)),
      make(
        "details",
        { class: "more" },
        make("summary", { text: `${sorted.length - MANY + 1} less probable` }),
        list(sorted.slice(MANY - 1)),
      ),
    );
  }

  #post(spans, cuts) {
    const inCuts = inUnits(this.text, cuts);
    byId("shown-post").replaceChildren(
      ...pieces(this.text, spans).map(({ text, spans: inside }) =>
        inside.length ? make("mark", { text, "data-spans": inside.join(" ") }) : text,
      ),
    );
    if (inCuts.length) {
      const left = inCuts.map(({ start, end }) => end - start).reduce((a, b) => a + b, 0);
      byId("shown-post").append(
        make("span", { class: "unsure", text: `\n[${left} characters were too much for the model and not read.]` }),
      );
    }
  }

  #quote(quote, place) {
    const light = (lit) => () => {
      for (const mark of document.querySelectorAll("mark")) {
        if (mark.dataset.spans.split(" ").includes(String(place))) {
          mark.classList.toggle("lit", lit);
          if (lit) mark.scrollIntoView({ block: "nearest" });
        }
      }
    };
    return make("button", {
      type: "button",
      text: `\u201c${quote}\u201d`,
      title: "Show it in the post",
      onmouseenter: light(true),
      onmouseleave: light(false),
      onfocus: light(true),
      onblur: light(false),
    });
  }
}

function doubtList(answer) {
  const said = doubts(answer);
  return said.length ? make("ul", { class: "doubts" }, ...said.map((text) => make("li", { text }))) : null;
}
