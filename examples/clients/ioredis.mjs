// Firn through ioredis: npm install ioredis, then node ioredis.mjs [PORT]
import Redis from 'ioredis';

const port = Number(process.argv[2] ?? 6379);
const client = new Redis(port);

// When set() resolves, the value is on disk: acknowledged means durable.
await client.set('greeting', 'hello', 'EX', 3600);
console.log('greeting:', await client.get('greeting'));

// A pipeline sends many commands at once; they share one commit.
const pipeline = client.pipeline();
for (let number = 0; number < 1000; number++) {
  pipeline.set(`number:${number}`, number);
  pipeline.hset('squares', number, number * number);
  pipeline.sadd('remainders', number % 7);
  pipeline.zadd('by-digits', String(number).length, number);
}
await pipeline.exec();

// Each scan returns what stays exactly once, whatever else happens meanwhile.
async function count(stream) {
  let items = 0;
  for await (const page of stream) items += page.length;
  return items;
}
console.log('keys:', await count(client.scanStream({ match: 'number:*', count: 100 })));
console.log('squares:', (await count(client.hscanStream('squares'))) / 2);
console.log('remainders:', await count(client.sscanStream('remainders')));
console.log('by digits:', (await count(client.zscanStream('by-digits'))) / 2);

// All of a transaction is applied, or nothing of it, also after a crash.
const [[, balance], , [, entries]] = await client
  .multi()
  .incrby('balance', 110)
  .expire('balance', 60)
  .rpush('history', 'plus 110')
  .exec();
console.log('balance:', balance, 'after', entries, 'entries');

// A connection of its own waits for jobs, in the order in which waiting clients came.
const worker = client.duplicate();
const job = worker.blpop('urgent', 'jobs', 5);
await client.rpush('jobs', 'wash');
console.log('job:', await job);
const alarm = worker.bzpopmin('alarms', 5);
await client.zadd('alarms', 7, 'seven', 6, 'six');
console.log('alarm:', await alarm);

// A stream's group hands each entry to one consumer, and keeps it until it is acknowledged.
await client.xgroup('CREATE', 'orders', 'packers', '$', 'MKSTREAM');
const order = worker.xreadgroup(
  'GROUP', 'packers', 'ann', 'COUNT', 1, 'BLOCK', 5000, 'STREAMS', 'orders', '>',
);
await client.xadd('orders', '*', 'item', 'tea');
const [[, [[id, fields]]]] = await order;
console.log('order:', fields, 'done:', await client.xack('orders', 'packers', id));
await worker.quit();

const numbers = Array.from({ length: 1000 }, (_, number) => `number:${number}`);
await client.del('greeting', 'balance', 'history', 'squares', 'remainders', 'by-digits', 'alarms');
await client.del('orders');
await client.del(...numbers);
await client.quit();
