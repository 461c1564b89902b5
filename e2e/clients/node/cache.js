// A reader that keeps what it has read (client-side caching of node-redis) beside a writer
// that goes through the gateway. node cache.js redis MODE; order and signs are main.js's.
"use strict";
const readline = require("node:readline");
const { setTimeout: sleep } = require("node:timers/promises");
const cached = require("./redis/cached.js");
const plain = require("./redis/plain.js");

const keysKept = 50;
const readsInARow = 20; // before others get their turn

const parse = (addr) => {
  const at = addr.lastIndexOf(":");
  return { host: addr.slice(0, at), port: Number(addr.slice(at + 1)) };
};

class Load {
  report = { reads: 0, from_memory: 0, writes: 0, failed: 0, back: 0, late_ms: 0, wrong: 0, errors: {} };
  stopping = false;
  acknowledged = Array.from({ length: keysKept }, () => []); // of each key: what was written, and when that was acknowledged
  seen = new Array(keysKept).fill(0);

  constructor(reader, writer, keys) {
    this.reader = reader;
    this.writer = writer;
    this.keys = keys;
  }

  // Returns undefined if the application was told an error.
  async call(command) {
    try {
      return await command();
    } catch (error) {
      this.report.failed++;
      this.report.errors[error.message] = (this.report.errors[error.message] ?? 0) + 1;
      await sleep(20);
      return undefined;
    }
  }

  async write(pause) {
    for (let version = 1; !this.stopping; version++) {
      const k = version % keysKept;
      if ((await this.call(() => this.writer.set(`${this.keys}${k}`, version))) !== undefined) {
        this.acknowledged[k].push({ version, at: performance.now() });
        this.report.writes++;
      }
      await sleep(pause);
    }
  }

  async read(k) {
    const began = performance.now();
    const value = await this.call(() => this.reader.get(`${this.keys}${k}`));
    if (value === undefined) return;
    const { report } = this;
    const version = Number(value ?? 0);
    report.reads++;
    if (performance.now() - began < 0.05) report.from_memory++; // no node answers as fast
    if (version < this.seen[k]) report.back++;
    this.seen[k] = Math.max(version, this.seen[k]);
    const newer = this.acknowledged[k].find((w) => w.version > version && w.at < began);
    if (newer) report.late_ms = Math.max(report.late_ms, Math.round(began - newer.at));
  }

  async readAll() {
    while (!this.stopping) {
      for (let i = 0; i < readsInARow; i++) await this.read(Math.floor(Math.random() * keysKept));
      await sleep(1);
    }
  }

  // When nothing is written any more every value that is kept is the last one.
  async compare() {
    for (let k = 0; k < keysKept; k++) {
      const value = await this.call(() => this.reader.get(`${this.keys}${k}`));
      if (Number(value ?? 0) < (this.acknowledged[k].at(-1)?.version ?? 0)) this.report.wrong++;
    }
  }
}

async function main() {
  const stdin = readline.createInterface({ input: process.stdin });
  const order = JSON.parse((await stdin[Symbol.asyncIterator]().next()).value);
  const ended = new Promise((resolve) => stdin.once("close", resolve));
  const reader = await cached({ nodes: order.addrs.map(parse) });
  const load = new Load(reader, await plain({ nodes: [parse(order.gateway)] }), order.keys);
  console.log("ready");
  const all = [load.write(order.pause_ms), load.readAll()];
  await ended;
  load.stopping = true;
  await Promise.all(all);
  await sleep(1000);
  await load.compare();
  console.log("report " + JSON.stringify(load.report));
  process.exit(0); // open connections would keep it
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
