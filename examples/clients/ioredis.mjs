// Firn through ioredis: npm install ioredis, then node ioredis.mjs [PORT]
import Redis from 'ioredis';

const client = new Redis(Number(process.argv[2] ?? 6379));

// When set() resolves, the value is on disk: acknowledged means durable.
await client.set('greeting', 'hello', 'EX', 3600);
console.log('greeting:', await client.get('greeting'));

// A pipeline sends many commands at once; they share one commit.
const pipeline = client.pipeline();
for (let number = 0; number < 1000; number++) pipeline.set(`number:${number}`, number);
await pipeline.exec();

let keys = 0;
for await (const page of client.scanStream({ match: 'number:*', count: 100 })) keys += page.length;
console.log('keys:', keys);

// All of a transaction is applied, or nothing of it, also after a crash.
const [[, balance]] = await client.multi().incrby('balance', 110).expire('balance', 60).exec();
console.log('balance:', balance);

await client.del('greeting', 'balance', ...Array.from({ length: 1000 }, (_, n) => `number:${n}`));
await client.quit();
