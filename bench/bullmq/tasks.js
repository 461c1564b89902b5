// The load of the benchmark `tasks` on BullMQ: tasks.js PORT
//
// A line of input is a case: {name, producers, batch, idle, handlers, backlog, bytes, idlePauseMs, warmUpMs, measureMs, settleMs}.
// It is answered by "began", then "ended", then the result as JSON.
'use strict';

const crypto = require('crypto');
const readline = require('readline');
const { Queue, Worker } = require('bullmq');

const connection = { host: '127.0.0.1', port: Number(process.argv[2]), maxRetriesPerRequest: null };
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const now = () => performance.now();

// Backlog bounds how many tasks are added and have not run.
class Backlog {
  constructor(limit) {
    this.limit = limit;
    this.waiting = 0;
    this.line = []; // producers, in turn
  }

  async take(n) {
    if (this.line.length > 0 || this.waiting + n > this.limit) {
      await new Promise((resolve) => this.line.push({ n, resolve })); // who wakes us has counted us
      return;
    }
    this.waiting += n;
  }

  give(n) {
    this.waiting -= n;
    while (this.line.length > 0 && this.waiting + this.line[0].n <= this.limit) {
      const { n: next, resolve } = this.line.shift();
      this.waiting += next;
      resolve();
    }
  }
}

async function produce(queue, c, state) {
  // With the time so many bytes as JSON, which do not compress.
  const fill = crypto.randomBytes(c.bytes).toString('base64').slice(0, c.bytes - 30);
  while (!state.halted) {
    await state.backlog.take(c.batch);
    if (state.halted) {
      state.backlog.give(c.batch);
      return;
    }
    const ran = c.idle && new Promise((resolve) => (state.idle = resolve));
    try {
      const data = { at: now(), fill };
      if (c.batch === 1) await queue.add('bench', data);
      else await queue.addBulk(Array.from({ length: c.batch }, () => ({ name: 'bench', data })));
    } catch (e) {
      state.backlog.give(c.batch);
      if (state.counting) state.errors += c.batch;
      state.first ??= e.message;
      await pause(100);
      continue;
    }
    if (c.idle) {
      await ran;
      await pause(c.idlePauseMs);
    }
  }
}

function quantile(sorted, q) {
  return sorted.length === 0 ? 0 : sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

const micros = ({ user, system }) => user + system;

// count measures what runs for a while; Redis' share is measured by who reads our lines.
async function count(c, state) {
  const cpu = process.cpuUsage();
  const began = now();
  console.log('began');
  state.counting = true;
  await pause(c.measureMs);
  state.counting = false;
  console.log('ended');
  state.latencies.sort((a, b) => a - b);
  return {
    ops: state.latencies.length,
    seconds: (now() - began) / 1000,
    clientMicros: micros(process.cpuUsage(cpu)),
    p50: quantile(state.latencies, 0.5),
    p99: quantile(state.latencies, 0.99),
  };
}

async function measure(c, number) {
  const name = `bench-${number}`; // the cases have a queue each
  const state = { backlog: new Backlog(c.backlog), latencies: [], errors: 0, counting: false, halted: false };
  const work = async (job) => {
    if (state.counting) state.latencies.push(now() - job.data.at);
    state.backlog.give(1);
    state.idle?.();
  };
  const queue = new Queue(name, { connection });
  const worker = new Worker(name, work, { connection, concurrency: c.handlers });
  for (const of of [queue, worker]) of.on('error', (e) => (state.first ??= e.message));
  await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);
  const producers = Array.from({ length: c.producers }, () => produce(queue, c, state));
  await pause(c.warmUpMs);
  const result = await count(c, state);
  state.halted = true;
  const settled = Promise.all(producers);
  for (const end = now() + c.settleMs; state.backlog.waiting > 0 && now() < end; ) await pause(10);
  result.left = state.backlog.waiting;
  if (result.left === 0) await settled;
  await worker.close();
  await queue.close();
  return { ...result, errors: state.errors, first: state.first };
}

async function main() {
  let number = 0;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await measure(JSON.parse(line), ++number)));
  }
  process.exit(0);
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
