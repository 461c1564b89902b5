// A worker: node worker.mjs HOST:PORT QUEUE. On an error of the connection it ends: started
// again it has another name, so that what it held is handed out again after its lease.
import { randomUUID } from 'node:crypto'
import Redis from 'ioredis'

const handle = async payload => payload.toString().toUpperCase() // your work

const [address, queue] = process.argv.slice(2)
const name = `node-${randomUUID()}`
const connect = () => new Redis(`redis://${address}`, { retryStrategy: null, maxRetriesPerRequest: 0 })
const claims = connect() // what comes behind a CLAIM that waits would wait with it
const others = connect()

setInterval(() => others.call('TASK.BEAT', name), 1000) // a rejection ends the process
for (;;) {
  const tasks = await claims.callBuffer('TASK.CLAIM', name, 'COUNT', 10, 'BLOCK', 5000, 'LEASE', 5000, 'FROM', queue)
  for (const [id, token, , , payload] of tasks ?? []) {
    const finish = await handle(payload).then(
      result => ['TASK.DONE', id, token, result],
      error => ['TASK.FAIL', id, token, String(error)])
    await others.call(...finish)
  }
}
