/**
 * Series as the server sends them (server/series.py): a head in JSON, then arrays of numbers, which
 * are used where they lie in the answer.
 */

/**
 * @typedef {object} Series one metric of one run
 * @property {string} run
 * @property {string} key
 * @property {string} source the writer that logged it; "" = all of them
 * @property {number} total points that were logged
 * @property {Float64Array} x ascending
 * @property {Float64Array | Float32Array} y NaN is a gap
 * @property {Float64Array} meanX empty where x and y are all points
 * @property {Float64Array | Float32Array} meanY the mean of each pixel column
 *
 * @typedef {object} Answer
 * @property {number} from
 * @property {number} to
 * @property {string[]} missing runs that are not there
 * @property {Series[]} series
 */

export const TYPE = "application/x-runstore-series";
const MAGIC = 0x52455352; // "RSER" read as a little-endian word

/** What a line of a chart is known by. @param {string} run @param {string} [source] */
export const lineId = (run, source) => (source ? `${run} ${source}` : run);

/** @param {ArrayBuffer} buffer @returns {Answer} */
export function readSeries(buffer) {
  const [magic, version, length] = new Uint32Array(buffer, 0, 4);
  if (magic !== MAGIC || version !== 1 || length === undefined) throw new Error("not a series");
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 16, length)));
  const body = 16 + length;
  const Y = head.type === "float32" ? Float32Array : Float64Array;
  /** @param {[number, number]} place */
  const x = ([offset, count]) => new Float64Array(buffer, body + offset, count);
  /** @param {[number, number]} place */
  const y = ([offset, count]) => new Y(buffer, body + offset, count);
  return {
    from: head.from,
    to: head.to,
    missing: head.missing ?? [],
    series: head.series.map((/** @type {any} */ line) => ({
      run: line.run,
      key: line.key,
      source: line.source ?? "",
      total: line.total,
      x: x(line.x),
      y: y(line.y),
      meanX: x(line.mean_x ?? [0, 0]),
      meanY: y(line.mean_y ?? [0, 0]),
    })),
  };
}
