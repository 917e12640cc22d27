/**
 * Server-sent events, one connection for each address and page.
 *
 * A browser opens six connections to a server in all, so a page that nobody looks at has none: it
 * is told how things stand when it is looked at again.
 */

/** @typedef {{source: EventSource | null, takers: Map<string, Set<(data: any) => void>>}} Stream */

/** @type {Map<string, Stream>} */
const streams = new Map();

/**
 * Call `take` with the data of each event of that name. Ends with the page.
 * @param {string} url @param {string} name @param {(data: any) => void} take
 * @returns {() => void} what ends it
 */
export function listen(url, name, take) {
  const stream = streams.get(url) ?? { source: null, takers: new Map() };
  streams.set(url, stream);
  const takers = stream.takers.get(name) ?? new Set();
  takers.add(take);
  if (!stream.takers.has(name)) {
    stream.takers.set(name, takers);
    if (stream.source) attach(stream, name);
  }
  if (!document.hidden) open(url, stream);
  return () => {
    takers.delete(take);
    if ([...stream.takers.values()].some((set) => set.size)) return;
    stream.source?.close();
    streams.delete(url);
  };
}

/** @param {string} url @param {Stream} stream */
function open(url, stream) {
  if (stream.source) return;
  stream.source = new EventSource(url);
  for (const name of stream.takers.keys()) attach(stream, name);
}

/** @param {Stream} stream @param {string} name */
function attach(stream, name) {
  stream.source?.addEventListener(name, (event) => {
    const data = JSON.parse(/** @type {MessageEvent} */ (event).data);
    for (const take of stream.takers.get(name) ?? []) take(data);
  });
}

function closeAll() {
  for (const stream of streams.values()) {
    stream.source?.close();
    stream.source = null;
  }
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) closeAll();
  else for (const [url, stream] of streams) open(url, stream);
});
addEventListener("pagehide", closeAll);
