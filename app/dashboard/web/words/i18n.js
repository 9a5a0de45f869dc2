// The catalogue of one language. A missing key shows as ⟦key⟧: English is never a silent fallback.

import { asset } from "../core/places.js";

/** The texts of one language. */
export class Words {
  #catalogue;
  #plurals;

  constructor(language, catalogue) {
    this.language = language;
    this.#catalogue = catalogue;
    this.#plurals = new Intl.PluralRules(language);
  }

  /** Fetch the texts of a language. */
  static async load(language) {
    const response = await fetch(asset(`words/${language}.json`));
    return new Words(language, await response.json());
  }

  has(key) {
    return key in this.#catalogue;
  }

  /** The text of a key, with its placeholders filled. */
  t = (key, values = {}) => this.#text(key).replaceAll(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

  /** The text of a key for a count, which also fills `{n}` as `shown`. */
  count = (key, count, shown, values = {}) =>
    this.t(`${key}.${this.#form(key, count)}`, { n: shown, ...values });

  /** The text of a key as a list of texts and nodes: a placeholder may be filled with a node. */
  nodes = (key, values = {}) =>
    this.#text(key)
      .split(/(\{\w+\})/)
      .map((piece) => (piece.startsWith("{") ? (values[piece.slice(1, -1)] ?? "") : piece))
      .filter((piece) => piece !== "");

  /** The names of the placeholders of a key. */
  placeholders(key) {
    return [...this.#text(key).matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  }

  #text(key) {
    return this.#catalogue[key] ?? `⟦${key}⟧`;
  }

  #form(key, count) {
    const form = this.#plurals.select(count);
    return this.has(`${key}.${form}`) ? form : "other";
  }
}
