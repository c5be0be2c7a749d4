// The page at "/": it asks /tasks what there is, and /predict what a model answers.
"use strict";

const by = (id) => document.getElementById(id);
let models = [];
let asked = 0; // only the last question's answer is shown

function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const percent = (value) => (value > 0 && value < 0.0005 ? "< 0.1 %" : `${(100 * value).toFixed(1)} %`);
const chosen = () => models[by("model").selectedIndex];
const title = (field) => field.charAt(0).toUpperCase() + field.slice(1).replaceAll("_", " ");

function showModel() {
  const model = chosen();
  const before = by("language").value;
  by("language").replaceChildren(
    ...model.languages.map(({ code, name }) => make("option", { value: code }, `${name} (${code})`)),
  );
  const known = model.languages.some(({ code }) => code === before);
  by("language").value = known ? before : model.trained_on;
  const texts = model.by_word ? ["sentence"] : model.fields;
  by("fields").replaceChildren(
    ...texts.map((field, place) =>
      make("div", { className: "field" },
        make("label", { htmlFor: `field-${place}` }, title(field)),
        make("textarea", { id: `field-${place}`, rows: 2, dir: "auto", required: true, name: field }),
      ),
    ),
  );
  const what = model.by_word ? "Put spaces between words; each gets a tag. " : "";
  by("hint").textContent =
    `${what}Trained on ${nameOf(model, model.trained_on)} by the method ${model.method}, on ${model.backbone}.`;
  by("result").replaceChildren();
  asked += 1;
}

function nameOf(model, code) {
  const found = model.languages.find((each) => each.code === code);
  return found ? found.name : code;
}

function table(probabilities, caption) {
  const rows = Object.entries(probabilities).sort((one, other) => other[1] - one[1]);
  const body = make("tbody");
  rows.forEach(([label, value], place) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("aria-hidden", "true");
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    bar.setAttribute("width", `${100 * value}%`);
    bar.setAttribute("height", "100%");
    svg.append(bar);
    body.append(make("tr", { className: place === 0 ? "likeliest" : "" },
      make("th", { scope: "row" }, label),
      make("td", { className: "number" }, percent(value)),
      make("td", { className: "bar" }, svg),
    ));
  });
  return make("table", {}, make("caption", {}, caption), body);
}

function showWords(words, answer) {
  const details = make("div", { className: "details" });
  const buttons = words.map((word, place) => {
    const label = answer.label[place];
    const button = make("button", { type: "button", dir: "auto", "aria-pressed": "false" },
      word, make("span", { className: "tag" }, `${label} ${percent(answer.probability[place])}`));
    if (label === "O") button.className = "plain";
    button.addEventListener("click", () => {
      for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
      details.replaceChildren(make("h2", {}, word), table(answer.probabilities[place], "Probability of each tag"));
    });
    return button;
  });
  const list = make("ul", { className: "words", dir: "auto" }, ...buttons.map((each) => make("li", {}, each)));
  return [make("p", { className: "hint" }, "Choose a word to see all its probabilities."), list, details];
}

function showAnswer(model, words, answer) {
  const shown = [];
  if (model.by_word) {
    shown.push(...showWords(words, answer));
  } else {
    shown.push(make("p", { className: "answer", dir: "auto" },
      make("strong", {}, answer.label || "(nothing)"), ` ${percent(answer.probability)}`));
    if (model.labels.length) shown.push(table(answer.probabilities, "Probability of each label"));
  }
  if (answer.cut) {
    shown.push(make("p", { className: "hint" }, "The text is longer than the model reads, and was cut."));
  }
  by("result").replaceChildren(...shown);
}

function showError(text) {
  by("result").replaceChildren(make("p", { className: "error", role: "alert" }, text));
}

async function ask(event) {
  event.preventDefault();
  const model = chosen();
  if (!model || by("submit").getAttribute("aria-disabled") === "true") return;
  const texts = [...document.querySelectorAll("#fields textarea")].map((field) => field.value);
  const blank = texts.findIndex((text) => !text.trim());
  if (blank >= 0) {
    by(`field-${blank}`).focus();
    return showError("Fill in every text first.");
  }
  const words = texts[0].trim().split(/\s+/u);
  const example = model.by_word ? words : texts.length === 1 ? texts[0] : texts;
  const mine = (asked += 1);
  by("submit").setAttribute("aria-disabled", "true");
  try {
    const answer = await fetch("/predict", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ task: model.name, texts: [example], language: by("language").value }),
    });
    const document_ = await answer.json();
    if (mine !== asked) return;
    if (!answer.ok) showError(document_.error.reason);
    else showAnswer(model, words, document_.predictions[0]);
  } catch {
    if (mine === asked) showError("The server does not answer. Is it running still?");
  } finally {
    by("submit").removeAttribute("aria-disabled");
  }
}

async function begin() {
  by("form").addEventListener("submit", ask);
  by("form").noValidate = true; // what is missing is said in the page
  by("model").addEventListener("change", showModel);
  by("fields").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) by("form").requestSubmit();
  });
  try {
    models = await (await fetch("/tasks")).json();
  } catch {
    return showError("The server does not answer. Is it running still?");
  }
  const tasks = models.map((model) => model.task);
  by("model").replaceChildren(
    ...models.map((model) => {
      const alone = tasks.filter((task) => task === model.task).length === 1;
      return make("option", {}, alone ? model.task : model.name);
    }),
  );
  showModel();
}

begin();
