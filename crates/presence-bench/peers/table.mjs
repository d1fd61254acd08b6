// A table of the lines on standard input, each cell the best of all rounds with its ratio to the
// floor of the same workload and format, or where there is none to what is done by hand:
// `cat LINES… | node table.mjs`.
import { readFileSync } from 'node:fs';

const rows = new Map();
for (const text of readFileSync(0, 'utf8').split('\n').filter((text) => text.startsWith('{'))) {
  const line = JSON.parse(text);
  const { workload, n, peer, ns_per_op: median, min_ns_per_op: best } = line;
  // To list members is the same whatever they came in.
  const format = workload.startsWith('W3') ? 'none' : line.format;
  const key = `${workload} | ${format} | ${n}`;
  const row = rows.get(key) ?? rows.set(key, new Map()).get(key);
  const cell = row.get(peer) ?? { best: Infinity, medians: [] };
  row.set(peer, { best: Math.min(cell.best, best), medians: [...cell.medians, median] });
}
const peers = [...new Set([...rows.values()].flatMap((row) => [...row.keys()]))];
const number = (x) => (x < 100 ? x.toFixed(1) : Math.round(x).toLocaleString('en'));
const middle = (list) => list.sort((a, b) => a - b)[list.length >> 1];
console.log(`| | format | n | ${peers.join(' | ')} |`);
console.log(`|---|---|--:|${peers.map(() => '--:').join('|')}|`);
for (const [key, row] of rows) {
  const base = ['floor', 'by hand'].find((peer) => row.has(peer));
  const cells = peers.map((peer) => {
    const cell = row.get(peer);
    if (!cell) return '';
    const times = base && cell.best / row.get(base).best;
    const ratio = !base || peer === base ? '' : `, ${times < 10 ? times.toFixed(1) : number(times)} ×`;
    return `${number(cell.best)} (${number(middle(cell.medians))})${ratio}`;
  });
  console.log(`| ${key} | ${cells.join(' | ')} |`);
}
