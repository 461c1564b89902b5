// Two servers of Socket.IO that reach each other by its redis adapter, one at the first
// node that it is told, one at the gateway: what the first one tells everybody, a browser
// of the other hears. node socketio.js redis MODE; order and signs are main.js's.
"use strict";
const http = require("node:http");
const readline = require("node:readline");
const { setTimeout: sleep } = require("node:timers/promises");
const { createAdapter } = require("@socket.io/redis-adapter");
const { Server } = require("socket.io");
const { io: browser } = require("socket.io-client");
const plain = require("./redis/plain.js");

const lastOnes = 100; // messages when all is well again
const heardWithin = 5000;

const parse = (addr) => {
  const at = addr.lastIndexOf(":");
  return { host: addr.slice(0, at), port: Number(addr.slice(at + 1)) };
};

async function serve(addr, key) {
  const publisher = await plain({ nodes: [parse(addr)] });
  const subscriber = publisher.duplicate();
  subscriber.on("error", (error) => console.error(error.message));
  await subscriber.connect();
  const web = http.createServer();
  const io = new Server(web, { adapter: createAdapter(publisher, subscriber, { key }) });
  await new Promise((resolve) => web.listen(0, "127.0.0.1", resolve));
  return { io, port: web.address().port };
}

// The adapter does not look whether a message could be published: that it was not is a
// rejection that nobody handles. Such a message is lost, and ours are counted.
process.on("unhandledRejection", (error) => console.error(error.message));

async function main() {
  const stdin = readline.createInterface({ input: process.stdin });
  const order = JSON.parse((await stdin[Symbol.asyncIterator]().next()).value);
  let stopping = false;
  stdin.once("close", () => (stopping = true));
  const [near, far] = [await serve(order.addrs[0], order.keys), await serve(order.gateway, order.keys)];
  const report = { sent: 0, heard: 0, twice: 0, unordered: 0, late_missing: 0 };
  const heard = new Set();
  let last = 0;
  const socket = browser(`http://127.0.0.1:${far.port}`, { transports: ["websocket"] });
  socket.on("news", (n) => {
    if (heard.has(n)) report.twice++;
    else if (n < last) report.unordered++;
    heard.add(n);
    last = Math.max(last, n);
  });
  await new Promise((resolve) => socket.once("connect", resolve));
  const tell = () => near.io.emit("news", ++report.sent);
  while (!heard.size) { // until the servers have heard of each other
    tell();
    await sleep(order.pause_ms);
  }
  console.log("ready");
  const first = report.sent + 1;
  while (!stopping) {
    tell();
    await sleep(order.pause_ms);
  }
  await sleep(1000);
  report.heard = Array.from({ length: report.sent - first + 1 }, (_, i) => first + i).filter((n) => heard.has(n)).length;
  report.sent -= first - 1;
  const late = Array.from({ length: lastOnes }, (_, i) => last + 1000 + i);
  for (const n of late) near.io.emit("news", n);
  const missing = () => late.filter((n) => !heard.has(n)).length;
  for (const end = performance.now() + heardWithin; missing() && performance.now() < end; ) await sleep(50);
  report.late_missing = missing();
  console.log("report " + JSON.stringify(report));
  process.exit(0); // open connections would keep it
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
