"""Queries of many shapes over the views of all runs, for the test that they are exact."""

from __future__ import annotations

import sqlite3

QUERIES = [
    "SELECT count(*), min(step), max(step), sum(value) FROM metrics",
    "SELECT * FROM metrics",
    "SELECT * FROM metrics WHERE key = 'loss' AND run = 'run03'",
    "SELECT run, step, value FROM metrics WHERE key IN ('acc', 'epoch') AND step % 5 = 0",
    "SELECT run, value FROM metrics WHERE key = 'acc' AND value >= 5 AND project = 'p1'",
    "SELECT value FROM metrics WHERE value IS NULL",
    "SELECT writer, count(*) FROM metrics GROUP BY writer",
    "SELECT step, avg(value) FROM metrics WHERE writer = 'rank-1' AND key = 'loss' GROUP BY step",
    "SELECT r.name, m.step, m.value FROM runs r JOIN metrics m ON m.run = r.id"
    " WHERE r.project = 'p2' AND m.key = 'loss'",
    "SELECT r.name, m.value FROM metrics m, runs r WHERE m.run = r.id AND r.state = 'failed'",
    "SELECT r.id, m.value FROM runs r LEFT JOIN metrics m"
    " ON m.run = r.id AND m.key = 'acc' AND m.step = 3",
    "SELECT r.id FROM runs r LEFT JOIN metrics m ON m.run = r.id AND m.key = 'acc'"
    " WHERE m.run IS NULL",
    "SELECT a.run, a.step, a.value, b.value FROM metrics a JOIN metrics b"
    " USING(run, step, writer) WHERE a.key = 'loss' AND b.key = 'acc'",
    "SELECT count(*) FROM metrics a JOIN metrics b ON a.value = b.value AND a.run < b.run"
    " AND a.key = 'loss' AND b.key = 'loss'",
    "SELECT count(*) FROM metrics a JOIN metrics b ON a.step = b.step"
    " AND a.key = 'epoch' AND b.key = 'acc' AND a.value = b.value",
    "SELECT a.run, max(a.value - b.value) FROM metrics a JOIN metrics b ON a.step = b.step"
    " AND b.run = 'run01' AND a.run <> b.run WHERE a.key = b.key AND a.key = 'acc' GROUP BY 1",
    "SELECT run, value FROM metrics WHERE key = 'loss'"
    " AND run = (SELECT id FROM runs ORDER BY created DESC LIMIT 1)",
    "SELECT run, value FROM metrics WHERE key = 'loss' AND run IN"
    " (SELECT run FROM summary WHERE key = 'loss' ORDER BY value LIMIT 3)",
    "SELECT DISTINCT run FROM metrics WHERE key IN (SELECT key FROM summary WHERE max > 8)",
    "SELECT id FROM runs r WHERE EXISTS"
    " (SELECT 1 FROM metrics m WHERE m.run = r.id AND m.key = 'acc' AND m.value = 9)",
    "SELECT id FROM runs r WHERE NOT EXISTS"
    " (SELECT 1 FROM metrics m WHERE m.run = r.id AND m.key = 'loss' AND m.value < 0.02)",
    "SELECT id, (SELECT max(value) FROM metrics m WHERE m.run = r.id AND key = 'loss') FROM runs r",
    "SELECT id, (SELECT value FROM metrics m WHERE m.run = r.id AND key = 'epoch'"
    " ORDER BY step DESC LIMIT 1) AS last FROM runs r WHERE config->>'lr' > 0.3",
    "WITH best AS (SELECT run, min(value) AS low FROM metrics WHERE key = 'loss' GROUP BY run)"
    " SELECT r.name, low FROM best JOIN runs r ON r.id = best.run WHERE low < 0.05",
    "WITH m AS MATERIALIZED (SELECT * FROM metrics WHERE key = 'acc')"
    " SELECT x.run, y.step FROM m x JOIN m y ON x.run = y.run AND x.value = y.value + 9",
    "SELECT run, step, value, row_number() OVER (PARTITION BY run ORDER BY step, writer)"
    " FROM metrics WHERE key = 'epoch'",
    "SELECT run, step, avg(value) OVER (PARTITION BY run, writer ORDER BY step"
    " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM metrics WHERE key = 'loss'",
    "SELECT key, count(DISTINCT run), total(value) FROM metrics GROUP BY key HAVING count(*) > 50",
    "SELECT run, key FROM metrics UNION SELECT run, key FROM summary EXCEPT"
    " SELECT run, key FROM metrics WHERE key = 'loss'",
    "SELECT key, value FROM metrics WHERE (run = 'run01' AND key = 'acc')"
    " OR (run = 'run02' AND key = 'epoch') OR (step = 3 AND value > 8)",
    "SELECT run, CASE WHEN key = 'acc' THEN value END FROM metrics WHERE key LIKE 'a%'",
    "SELECT run, step FROM metrics WHERE key || '' = 'acc' AND +run > 'run07'",
    "SELECT m.run FROM metrics m CROSS JOIN runs r WHERE r.id = m.run AND m.value = 0.5",
    "SELECT json_extract(r.config, '$.model.depth') d, avg(m.value) FROM metrics m"
    " JOIN runs r ON r.id = m.run WHERE m.key = 'loss' GROUP BY d",
    "SELECT c.value, avg(m.value) FROM config c JOIN metrics m USING(run)"
    " WHERE c.key = 'model.depth' AND m.key = 'loss' GROUP BY 1",
    "SELECT t.value, count(*) FROM runs r, json_each(r.tags) t GROUP BY 1",
    "SELECT run, text, writer FROM console WHERE text LIKE '%14'",
    "SELECT c.run, c.text, m.value FROM console c JOIN metrics m ON m.run = c.run"
    " AND m.writer = c.writer AND 'step ' || m.step = c.text AND m.key = 'epoch'",
    "SELECT kind, count(*) FROM events GROUP BY kind",
    "SELECT run, data->>'state' FROM events WHERE kind = 'end' AND run > 'run03'",
    "SELECT run, name, size FROM files WHERE size > 3 AND name LIKE '%-1.pt'",
    "SELECT f.name FROM files f JOIN runs r ON r.id = f.run WHERE r.state = 'failed'",
    "SELECT w.run, w.writer, w.rows, m.step FROM writers w JOIN metrics m"
    " ON m.run = w.run AND m.writer = w.writer WHERE m.key = 'loss' AND m.step = 20",
    "SELECT run FROM metrics WHERE 0",
    "SELECT 1 FROM metrics WHERE run = 'nothing'",
    "VALUES (1, 'two')",
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 24)"
    " SELECT i, (SELECT count(*) FROM metrics WHERE step = i AND key = 'acc') FROM n",
]
ORDERED = [
    "SELECT run, step, value FROM metrics WHERE key = 'loss' ORDER BY value, run, step LIMIT 7",
    "SELECT run, writer, step FROM metrics ORDER BY run DESC, step DESC, writer, key"
    " LIMIT 5 OFFSET 3",
    "SELECT id, summary->>'epoch' FROM runs ORDER BY created LIMIT 4",
    "SELECT run, key, value FROM summary ORDER BY value DESC, run, key LIMIT 6",
]
if sqlite3.sqlite_version_info >= (3, 39):
    QUERIES += [
        "SELECT r.id, m.step FROM metrics m RIGHT JOIN runs r ON m.run = r.id AND m.key = 'acc'"
        " AND m.value = 4",
        "SELECT a.run, b.run FROM metrics a FULL JOIN metrics b ON a.run = b.run"
        " AND a.step = b.step AND a.key = 'acc' AND b.key = 'acc' AND a.value = 1 AND b.value = 1",
    ]
