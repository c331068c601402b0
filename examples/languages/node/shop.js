// Ten steps through the sample shop.
'use strict';
const {randomInt, randomUUID} = require('node:crypto');
const {Client, int64, text, decimal, timestamp, errorInfo, statusOf} = require('./client');

const customer = int64(randomInt(10 ** 6, 2 ** 47));  // A new one in every run.
const now = timestamp(new Date());
const key = (number) => ({values: [customer, int64(number)]});
const order = (number, total) => ({
  columns: {customer_id: customer, order_id: int64(number), total: decimal(total), placed: now},
});

async function main(quarry) {
  const {shards} = await quarry.admin.ListShards({});
  const up = shards.filter(({state}) => state === 'SERVER_STATE_UP');
  console.log(`1 connect: ${up.length} of ${shards.length} shards are up`);

  const ada = {customer_id: customer, name: text('Ada'), email: text('ada@example.com'), country: text('GB'), created: now};
  const written = await quarry.data.Insert({table: 'customers', record: {columns: ada}, request_id: randomUUID()});
  const first = await quarry.data.Insert({table: 'orders', record: order(1, '19.90'), request_id: randomUUID()});
  const together = written.served_by.shards_answered[0] === first.served_by.shards_answered[0];
  console.log(`2 insert: a customer and an order, on one shard: ${together}`);

  const {status, total} = (await quarry.data.Get({table: 'orders', key: key(1)})).record.columns;
  console.log(`3 get: order 1 is ${status.text_value}, total ${total.decimal_value}`);

  const mutations = [1, 2, 3, 4, 5, 6].map((number) => ({insert: {table: 'orders', record: order(number, '10.00')}}));
  const {results} = await quarry.data.BatchWrite({mutations, request_id: randomUUID()});
  const refused = results.filter(({error}) => error).map(({error}) => errorInfo(error).reason);
  console.log(`4 batch: ${results.length - refused.length} orders written, ${refused.length} refused: ${refused.join(', ')}`);

  const pages = [];
  let page_token = '';
  do {
    const filter = {filter: 'customer_id = @customer AND total < @limit', params: {customer, limit: decimal('15.00')}};
    const page = await quarry.data.List({table: 'orders', ...filter, page_size: 2, page_token});
    pages.push(page.rows.length);
    page_token = page.next_page_token;
  } while (page_token);
  console.log(`5 pages: ${pages.join(' + ')} orders below 15.00`);

  const aggregates = [{function: 'AGGREGATE_FUNCTION_COUNT'}, {function: 'AGGREGATE_FUNCTION_SUM', column: 'total'}];
  const reply = await quarry.data.Aggregate(
      {table: 'orders', filter: 'customer_id = @customer', params: {customer}, aggregates});
  const [count, sum] = reply.rows[0].values;
  console.log(`6 aggregate: ${count.int64_value} orders, ${sum.decimal_value} in total`);

  // Pays order 1 if it still is as it was read, and cancels order 2: both or neither.
  const runs = await quarry.runTransaction(async (transaction_id, run) => {
    const {etag} = await quarry.data.Get({table: 'orders', key: key(1)});
    if (run === 1) {  // Another writer, just in time to be in the way.
      const change = {columns: {total: decimal('24.90')}};
      await quarry.data.Update({table: 'orders', key: key(1), record: change, request_id: randomUUID()});
    }
    const paid = {columns: {status: text('paid')}};
    await quarry.data.Update({table: 'orders', key: key(1), record: paid, precondition: {etag}, transaction_id});
    const cancelled = {columns: {status: text('cancelled')}};
    await quarry.data.Update({table: 'orders', key: key(2), record: cancelled, transaction_id});
  });
  console.log(`7 transaction: committed in run ${runs}, after ABORTED`);

  const insert = {table: 'orders', record: order(7, '5.00'), request_id: randomUUID()};
  await quarry.data.Insert(insert);
  const again = await quarry.data.Insert(insert);  // As after an answer that was lost.
  console.log(`8 exactly once: sent twice, the second answer is a replay: ${again.replayed}`);

  try {
    await quarry.data.Insert({...insert, request_id: randomUUID()});
  } catch (error) {
    const info = errorInfo(statusOf(error));
    console.log(`9 error: ${info.reason} of ${info.metadata.constraint}`);
  }

  const items = [];
  for await (const row of quarry.rows({table: 'order_items', filter: 'customer_id <= 200'})) items.push(JSON.stringify(row));
  console.log(`10 stream: ${items.length} items, ${new Set(items).size} different`);
}

const quarry = new Client(process.env.QUARRY_ADDRESS || 'localhost:7400');
main(quarry).catch((error) => {
  console.error(error);
  process.exitCode = 1;
}).finally(() => quarry.close());
