/**
 * The writers of a run. Several processes may log the same metric at the same steps; drawn as one
 * line they are a saw, so each gets a line of its own, unless they only came one after the other.
 */

/**
 * @typedef {object} Writer a source, as the API tells of it
 * @property {string} uuid @property {string | null} label @property {string | null} parent
 * @property {string | null} [host] not told to strangers
 * @property {number | null} [pid]
 * @property {number | null} opened seconds since 1970
 * @property {number | null} latest
 */

const MOST = 30;
const EDITOR = "editor";

/** Those that can be told apart in a chart; none where they are too many. @param {Writer[]} sources */
export function writersOf(sources) {
  const found = sources.filter(({ parent }) => parent !== EDITOR);
  return found.length > 1 && found.length <= MOST ? found : [];
}

/** @param {Writer} writer */
export function nameOf({ uuid, label, host, pid }) {
  return label ?? (host ? `${host}:${pid}` : uuid.slice(0, 8));
}

/** Whether two of them wrote at the same time. @param {Writer[]} writers */
export function overlap(writers) {
  const spans = writers
    .map(({ opened, latest }) => [opened ?? Infinity, latest ?? -Infinity])
    .sort(([a = 0], [b = 0]) => a - b);
  return spans.some(([begin = 0], place) => spans.slice(0, place).some(([, end = 0]) => end > begin));
}
