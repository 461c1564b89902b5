// The load of the libraries for Node.js: see the package doc of the runner for what
// it reads and writes. node main.js LIBRARY MODE uses the settings in LIBRARY/MODE.js.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");
const { setTimeout: sleep } = require("node:timers/promises");

const callTimeoutMS = 20000; // how long an application would wait for one command

class Worker {
  report = { commands: 0, failed: 0, added: 0, not_added: [], incremented: 0, stale: 0, gap_ms: 0, errors: {} };
  last = 0; // when a command was last acknowledged

  constructor(client, keys) {
    this.client = client;
    this.keys = keys;
  }

  // A member no other has, an increment, and a read of what was incremented.
  async round() {
    const { client, keys, report } = this;
    const member = String(++report.added);
    const added = await this.call(() => (client.sadd ?? client.sAdd).call(client, keys + "set", member));
    if (added === undefined) report.not_added.push(report.added);
    if ((await this.call(() => client.incr(keys + "counter"))) !== undefined) report.incremented++;
    const read = await this.call(() => client.get(keys + "counter"));
    if (read !== undefined && Number(read ?? 0) < report.incremented) report.stale++;
  }

  async call(command) {
    const { report } = this;
    const expired = new AbortController();
    report.commands++;
    try {
      const late = sleep(callTimeoutMS, undefined, { signal: expired.signal }).then(() => {
        throw new Error("no answer for 20 s");
      });
      late.catch(() => {}); // it was aborted
      const value = await Promise.race([command(), late]);
      const now = performance.now();
      if (this.last > 0) report.gap_ms = Math.max(report.gap_ms, Math.round(now - this.last));
      this.last = now;
      return value;
    } catch (error) {
      report.failed++;
      report.errors[error.message] = (report.errors[error.message] ?? 0) + 1;
      return undefined;
    } finally {
      expired.abort();
    }
  }
}

async function main() {
  const [library, mode] = process.argv.slice(2);
  const stdin = readline.createInterface({ input: process.stdin });
  const order = JSON.parse((await stdin[Symbol.asyncIterator]().next()).value);
  let stopping = false;
  const ended = new Promise((resolve) => stdin.once("close", resolve)).then(() => (stopping = true));
  const nodes = order.addrs.map((addr) => {
    const at = addr.lastIndexOf(":");
    return { host: addr.slice(0, at), port: Number(addr.slice(at + 1)) };
  });
  const secure = order.ca ? { username: order.user, password: order.password, tls: { ca: fs.readFileSync(order.ca) } } : {};
  const connect = require(path.join(__dirname, library, mode + ".js"));
  const client = await connect({ nodes, master: order.master, ...secure });

  const workers = Array.from({ length: order.workers }, (_, i) => new Worker(client, `${order.keys}${i}:`));
  await Promise.all(workers.map((w) => w.round()));
  console.log("ready");
  const load = workers.map(async (w) => {
    while (!stopping) {
      await sleep(order.pause_ms);
      await w.round();
    }
  });
  await ended;
  await Promise.all(load);
  console.log("report " + JSON.stringify(workers.map((w) => w.report)));
  process.exit(0); // open connections would keep it
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
