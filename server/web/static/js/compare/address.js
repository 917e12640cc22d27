/** What the compare page keeps behind the # of its address, beside what the charts keep there. */

export class Address {
  /** @param {URLSearchParams} others what the charts keep for others when they write */
  constructor(others) {
    this.others = others;
  }

  /** @param {string} name @returns {string} empty where it is not said */
  get(name) {
    return new URLSearchParams(location.hash.slice(1)).get(name) ?? "";
  }

  /** @param {string} name @param {string} value empty: left out */
  put(name, value) {
    const query = new URLSearchParams(location.hash.slice(1));
    for (const parameters of [query, this.others]) {
      if (value) parameters.set(name, value);
      else parameters.delete(name);
    }
    const text = String(query);
    const address = location.pathname + location.search + (text ? `#${text}` : "");
    history.replaceState(history.state, "", address);
  }
}
