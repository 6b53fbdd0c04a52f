// The side of bench_rxjs.py that runs on node: the same chains in RxJS.
//
//     node bench.mjs ITEMS ROUNDS
//
// Prints the versions, and for each chain the CPU seconds of its rounds, as JSON. Every
// chain runs once before it is measured, so that it is compiled.

import { createRequire } from "node:module";
import {
  concatMap, count, filter, from, lastValueFrom, map, merge, mergeMap, range, reduce,
  scan, toArray,
} from "rxjs";

const [items, rounds] = process.argv.slice(2).map(Number);

async function* numbers(n) {
  for (let i = 0; i < n; i++) yield i;
}

const stages = (source) =>
  source.pipe(map((x) => x + 1), filter((x) => x % 3 !== 0), map((x) => x * 2));

// What it makes of so many items, so that both sides can be seen to do the same.
const chains = {
  "map, filter, map to a list; range": (n) =>
    lastValueFrom(stages(range(0, n)).pipe(toArray())).then((list) => list.length),
  "map, filter, map to a count; async generator": (n) =>
    lastValueFrom(stages(from(numbers(n))).pipe(count())),
  "scan to a sum; range": (n) =>
    lastValueFrom(
      range(0, n).pipe(
        scan((sum, x) => (sum + x) % 1000003, 0),
        reduce((sum, x) => sum + x, 0),
      ),
    ),
  "flat_map, 100 an item; range": (n) =>
    lastValueFrom(range(0, n / 100).pipe(concatMap(() => range(0, 100)), count())),
  "merge of 4; async generators": (n) =>
    lastValueFrom(
      merge(...Array.from({ length: 4 }, () => from(numbers(n / 4)))).pipe(count()),
    ),
  "map, 8 calls at once; range": (n) =>
    lastValueFrom(range(0, n / 10).pipe(mergeMap(async (x) => x + 1, 8), count())),
};

const seconds = {};
const results = {};
for (const [name, chain] of Object.entries(chains)) {
  results[name] = await chain(items);
  seconds[name] = [];
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage();
    await chain(items);
    const { user, system } = process.cpuUsage(before);
    seconds[name].push((user + system) / 1e6);
  }
}
const versions = {
  node: process.version.slice(1),
  rxjs: createRequire(import.meta.url)("rxjs/package.json").version,
};
console.log(JSON.stringify({ versions, results, seconds }));
