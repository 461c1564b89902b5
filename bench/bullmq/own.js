// The benchmarks of BullMQ's makers (github.com/taskforcesh/bullmq-bench), in shape: own.js HOST PORT JOBS
//
// Prints a line of JSON for each: {benchmark, ms}. Before JOBS that are timed come a tenth as many that are not.
'use strict';

const crypto = require('crypto');
const { Queue, Worker } = require('bullmq');

const [host, port, jobs] = process.argv.slice(2);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const timed = Number(jobs);
const before = Math.ceil(timed / 10);
const all = before + timed;

// sample is an object of so many chains, each so deep; as JSON 4 KB for 10 and 10.
function sample(width, depth) {
  const result = {};
  for (let i = 0; i < width; i++) {
    let at = result;
    for (let j = 0; j < depth; j++) at = at[crypto.randomUUID()] = {};
  }
  return result;
}

const data = sample(10, 10);
const result = sample(10, 10);

async function addInBulks(queue, n, size) {
  for (let left = n; left > 0; left -= size) {
    await queue.addBulk(Array.from({ length: Math.min(left, size) }, () => ({ name: 'test', data })));
  }
}

async function addEach(queue, n) {
  for (let i = 0; i < n; i++) await queue.add('test', data);
}

async function adding(queue, add) {
  await add(queue, before);
  const began = performance.now();
  await add(queue, timed);
  return performance.now() - began;
}

async function working(queue, concurrency) {
  await addInBulks(queue, all, 100);
  let count = 0;
  let began;
  let took;
  const work = async () => {
    count++;
    if (count === before) began = performance.now();
    if (count === all) took = performance.now() - began;
    return result;
  };
  const worker = new Worker(queue.name, work, { connection, concurrency });
  worker.on('error', (e) => console.error(e.message));
  await new Promise((resolve) => worker.on('completed', () => took !== undefined && resolve()));
  await worker.close();
  return took;
}

const benchmarks = {
  'queue-add': (queue) => adding(queue, addEach),
  'queue-add-bulk': (queue) => adding(queue, (q, n) => addInBulks(q, n, 100)),
  'worker-generic': (queue) => working(queue, 1),
  'worker-concurrent': (queue) => working(queue, 10),
};

async function main() {
  for (const [benchmark, run] of Object.entries(benchmarks)) {
    const queue = new Queue(crypto.randomUUID(), { connection });
    await queue.waitUntilReady();
    console.log(JSON.stringify({ benchmark, ms: await run(queue) }));
    await queue.close();
  }
  process.exit(0);
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
