// A program that uses BullMQ.
//
//	jobs.js add  HOST PORT QUEUES JOBS DELAY-EVERY    prints how often a job was refused
//	jobs.js work HOST PORT QUEUES JOURNAL
//	jobs.js left HOST PORT QUEUES JOBS                prints what remains, as JSON
'use strict';

const fs = require('fs');
const { FlowProducer, Queue, Worker } = require('bullmq');
const Redis = require('ioredis');

const FAIL_EVERY = 5; // one job in so many fails at first
const FLOW_EVERY = 10; // and one waits for the result of the job before it

const [what, host, port, names, ...args] = process.argv.slice(2);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const queues = names.split(',');
const queueOf = (number) => queues[number % queues.length];
const idOf = (number) => `job-${number}`;
const hasChild = (number) => number % FLOW_EVERY === FLOW_EVERY - 1;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function execute(job, client, journal) {
  const { number } = job.data;
  if (number % FAIL_EVERY === 0 && job.attemptsMade === 0) throw new Error('it fails at first');
  if (hasChild(number)) {
    const results = Object.values(await job.getChildrenValues());
    if (results.length !== 1 || results[0] !== number - 1) throw new Error(`the job before ${number} has left ${results}`);
  }
  await client.sadd('effects', number);
  fs.writeSync(journal, `${number}\n`);
  return number;
}

async function work() {
  const journal = fs.openSync(args[0], 'a');
  const client = new Redis(connection);
  const workers = queues.map((name, i) => {
    const w = new Worker(name, (job) => execute(job, client, journal), {
      connection,
      concurrency: 4,
      lockDuration: 5000, // a job of a worker that is killed is free again after so long
      stalledInterval: 2000,
      maxStalledCount: 1000,
      ...(i === 0 && { limiter: { max: 50, duration: 100 } }),
    });
    w.on('error', (e) => console.error(name, e.message));
    return w;
  });
  process.once('SIGTERM', async () => {
    await Promise.all(workers.map((w) => w.close()));
    process.exit(0);
  });
}

function describe(number, every) {
  const delay = number % every === 0 ? 3000 : 0;
  const opts = { jobId: idOf(number), attempts: 1000, backoff: { type: 'fixed', delay: 1000 }, delay };
  return { name: 'job', queueName: queueOf(number), data: { number }, opts };
}

async function add() {
  const [jobs, every] = args.map(Number);
  const flows = new FlowProducer({ connection });
  const byName = new Map(queues.map((name) => [name, new Queue(name, { connection })]));
  const addOne = (number) => {
    const job = describe(number, every);
    if (hasChild(number)) return flows.add({ ...job, children: [describe(number - 1, every)] });
    if (hasChild(number + 1) && number + 1 < jobs) return null; // it comes with the next one
    return byName.get(job.queueName).add(job.name, job.data, job.opts);
  };
  let refused = 0;
  for (let number = 0; number < jobs; ) {
    try {
      await addOne(number);
      number++;
    } catch (e) {
      console.error(number, e.message);
      refused++;
      await pause(50);
    }
  }
  console.log(refused);
}

async function left() {
  const has = { Open: 0, Given: 0, Completed: 0, Stranded: 0 };
  for (const name of queues) {
    const { completed, failed, ...open } = await new Queue(name, { connection }).getJobCounts();
    has.Completed += completed;
    has.Given += failed;
    has.Open += Object.values(open).reduce((sum, n) => sum + n, 0);
  }
  has.Stranded = has.Open === 0 ? Number(args[0]) - has.Completed - has.Given : 0;
  console.log(JSON.stringify(has));
}

async function main() {
  await { add, work, left }[what]();
  if (what !== 'work') process.exit(0);
}

main();
