// First steps through a running gateway with the stock Node client: what a first program does, and its errors.
const assert = require('node:assert/strict');
const {randomUUID} = require('node:crypto');
const {after, test} = require('node:test');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const files = ['admin', 'data', 'schema', 'shard', 'transaction'].map((name) => `quarry/v1/${name}.proto`);
const definition = loader.loadSync(
    [...files, 'grpc/health/v1/health.proto', 'google/rpc/error_details.proto', 'google/rpc/status.proto'],
    {
      includeDirs: [process.env.QUARRY_PROTOS],
      keepCase: true,
      longs: String,
      enums: String,
      oneofs: true,
      defaults: true,
    });
const {v1} = grpc.loadPackageDefinition(definition).quarry;
const {Health} = grpc.loadPackageDefinition(definition).grpc.health.v1;

const connect = (Service) => new Service(process.env.QUARRY_ADDRESS, grpc.credentials.createInsecure());
const data = connect(v1.DataService);
const schema = connect(v1.SchemaService);
const shards = connect(v1.ShardService);
const transactions = connect(v1.TransactionService);
const admin = connect(v1.AdminService);
const health = connect(Health);
after(() => [data, schema, shards, transactions, admin, health].forEach((client) => client.close()));

const options = () => ({deadline: Date.now() + 20_000});
const call = (client, method, request) => new Promise((resolve, reject) => {
  client[method](request, options(), (error, reply) => error ? reject(error) : resolve(reply));
});
// All messages of a stream.
const collect = (client, method, request) => new Promise((resolve, reject) => {
  const events = [];
  client[method](request, options())
      .on('data', (event) => events.push(event))
      .on('error', reject)
      .on('end', () => resolve(events));
});
// The stock client hands the details over as bytes: a reason is plain text in them.
const refused = async (code, reason, promise) => {
  const error = await promise.then(() => assert.fail('the call was not refused'), (failure) => failure);
  assert.equal(error.code, code, error.message);
  const [details] = error.metadata.get('grpc-status-details-bin');
  assert.ok(details && details.includes(reason), `${reason} is not in the details of: ${error.message}`);
};

const value = (plain) => typeof plain === 'string' ? {text_value: plain} : {int64_value: String(plain)};
const record = (plain) =>
    ({columns: Object.fromEntries(Object.entries(plain).map(([name, one]) => [name, value(one)]))});
const key = (...values) => ({values: values.map(value)});
const moment = {timestamp_value: {seconds: '1769903999', nanos: 123456000}};
// A whole customer; the table takes no nulls and has no defaults.
const customer = (plain) => {
  const whole = record({name: 'Grace', email: 'grace@example.com', country: 'US', ...plain});
  whole.columns.created = moment;
  return whole;
};
const upsert = (plain) => call(data, 'Upsert', {
  table: 'customers',
  record: customer(plain),
  returning: ['*'],
  request_id: randomUUID(),
});
const order = (customer_id, order_id) => {
  const {columns} = record({customer_id, order_id, status: 'open'});
  return {table: 'orders', record: {columns: {...columns, total: {decimal_value: '19.90'}, placed: moment}}};
};

test('1: the gateway and its shards serve', async () => {
  assert.equal((await call(health, 'Check', {})).status, 'SERVING');
  const list = (await call(admin, 'ListShards', {})).shards;
  assert.ok(list.length >= 2);
  assert.ok(list.every((shard) => shard.state === 'SERVER_STATE_UP'));
});

test('2: tables tell their types and keys', async () => {
  const names = (await call(schema, 'ListTables', {})).tables.map((table) => table.name);
  for (const name of ['customers', 'orders', 'products', 'settings']) assert.ok(names.includes(name), name);
  const {table} = await call(schema, 'GetTable', {table: 'orders'});
  assert.deepEqual(table.primary_key, ['customer_id', 'order_id']);
  await refused(grpc.status.NOT_FOUND, 'TABLE_NOT_FOUND', call(schema, 'GetTable', {table: 'orderz'}));
});

test('3: a row is read as it was written, to the last digit', async () => {
  const number = 9223372036854775806n;
  const written = await upsert({customer_id: number});
  const row = await call(data, 'Get', {table: 'customers', key: key(number)});
  assert.equal(row.record.columns.customer_id.int64_value, String(number));
  assert.deepEqual(row.record.columns.created.timestamp_value, moment.timestamp_value);
  assert.equal(row.etag, written.etag);
  const where = await call(schema, 'ResolveKey', {table: 'customers', key: key(number)});
  assert.deepEqual(row.served_by.shards_answered, [where.shard]);
});

test('4: an update changes just its columns and checks the etag', async () => {
  const first = await upsert({customer_id: 920004, name: 'Grace', country: 'FR'});
  const change = {
    table: 'customers',
    key: key(920004),
    record: record({country: 'DE'}),
    returning: ['*'],
    precondition: {etag: first.etag},
  };
  const changed = await call(data, 'Update', change);
  assert.equal(changed.record.columns.name.text_value, 'Grace');
  assert.equal(changed.record.columns.country.text_value, 'DE');
  await refused(grpc.status.ABORTED, 'ETAG_MISMATCH', call(data, 'Update', change));
});

test('5: a repeated request id returns the first reply', async () => {
  const insert = {table: 'customers', record: customer({customer_id: 920005}), request_id: randomUUID()};
  assert.equal((await call(data, 'Insert', insert)).replayed, false);
  assert.equal((await call(data, 'Insert', insert)).replayed, true);
  const other = {...insert, record: customer({customer_id: 920005, name: 'Eve'})};
  await refused(grpc.status.INVALID_ARGUMENT, 'REQUEST_ID_REUSED', call(data, 'Insert', other));
  await refused(grpc.status.ALREADY_EXISTS, 'UNIQUE_VIOLATION',
                call(data, 'Insert', {...other, request_id: randomUUID()}));
});

test('6: many keys are read at once', async () => {
  for (const number of [920061, 920062, 920063]) await upsert({customer_id: number});
  const reply = await call(data, 'BatchGet', {table: 'customers', keys: [key(920061), key(920069), key(920063)]});
  assert.deepEqual(reply.found.map((row) => row.index), [0, 2]);
  assert.deepEqual(reply.missing, [1]);
});

test('7: a batch reports each of its writes', async () => {
  const reply = await call(data, 'BatchWrite', {
    request_id: randomUUID(),
    mutations: [
      {upsert: {table: 'customers', record: customer({customer_id: 920007})}},
      {update: {table: 'customers', key: key(920079), record: record({name: 'Nobody'})}},
    ],
  });
  assert.equal(reply.results[0].outcome, 'applied');
  assert.equal(reply.results[1].error.code, grpc.status.NOT_FOUND);
});

test('8: a transaction sees its writes and rolls back', async () => {
  await upsert({customer_id: 920008});
  const {transaction_id} = await call(transactions, 'Begin', {});
  await call(data, 'Insert', {...order(920008, 1), transaction_id});
  const read = {table: 'orders', key: key(920008, 1)};
  const row = await call(data, 'Get', {...read, transaction_id});
  assert.equal(row.record.columns.total.decimal_value, '19.90');
  await call(transactions, 'Rollback', {transaction_id});
  await refused(grpc.status.NOT_FOUND, 'ROW_NOT_FOUND', call(data, 'Get', read));
});

test('9: a commit of mutations is all or nothing', async () => {
  await upsert({customer_id: 920009});
  const commit = (...numbers) => call(transactions, 'Commit', {
    request_id: randomUUID(),
    mutations: numbers.map((number) => ({insert: order(920009, number)})),
  });
  await refused(grpc.status.ALREADY_EXISTS, 'UNIQUE_VIOLATION', commit(1, 1));
  const read = {table: 'orders', key: key(920009, 1)};
  await refused(grpc.status.NOT_FOUND, 'ROW_NOT_FOUND', call(data, 'Get', read));
  assert.equal((await commit(1, 2)).results.length, 2);
  await call(data, 'Get', read);
});

test('10: SQL runs on all shards and only reads', async () => {
  const target = {all_shards: true};
  const events = await collect(shards, 'OnAllShards', {target, sql: 'SELECT count(*) AS n FROM customers'});
  const asked = events.at(-1).summary.served_by.shards_answered;
  const answered = events.filter((event) => event.event === 'rows').map((event) => event.rows.shard).sort();
  assert.deepEqual(answered, asked);
  await refused(grpc.status.FAILED_PRECONDITION, 'READ_ONLY',
                collect(shards, 'OnAllShards', {target, sql: 'DELETE FROM customers'}));
});

const countrymen = async (country, first, count) => {
  for (let number = first; number < first + count; ++number) await upsert({customer_id: number, country});
};

test('11: pages of a filtered list follow each other', async () => {
  await countrymen('N1', 921100, 5);
  const request = {
    table: 'customers',
    columns: ['customer_id'],
    filter: 'country = @country',
    params: {country: value('N1')},
    order_by: [{column: 'customer_id'}],
    page_size: 2,
  };
  const pages = [];
  let page_token = '';
  do {
    const page = await call(data, 'List', {...request, page_token});
    pages.push(page.rows.map((row) => row.values[0].int64_value));
    page_token = page.next_page_token;
  } while (page_token !== '');
  assert.deepEqual(pages, [['921100', '921101'], ['921102', '921103'], ['921104']]);
  await refused(grpc.status.INVALID_ARGUMENT, 'INVALID_FIELD', call(data, 'List', {...request, page_token: 'made up'}));
});

test('12: a query streams its rows and ends with a summary', async () => {
  await countrymen('N2', 921200, 5);
  const request = {
    table: 'customers',
    columns: ['customer_id', 'country'],
    where: {compare: {column: 'country', op: 'COMPARE_OPERATOR_EQUAL', value: value('N2')}},
    order_by: [{column: 'customer_id', descending: true}],
  };
  const events = await collect(data, 'Query', request);
  assert.deepEqual(events[0].header.columns.map((column) => column.name), ['customer_id', 'country']);
  const rows = events.filter((event) => event.event === 'batch').flatMap((event) => event.batch.rows);
  assert.deepEqual(rows.map((row) => row.values[0].int64_value), ['921204', '921203', '921202', '921201', '921200']);
  const {event, summary} = events.at(-1);
  assert.equal(event, 'summary');
  assert.equal(summary.rows, '5');
  assert.equal(summary.rows_by_shard.reduce((sum, shard) => sum + Number(shard.rows), 0), 5);
  assert.deepEqual(summary.served_by.shards_asked, summary.served_by.shards_answered);
  await refused(grpc.status.INVALID_ARGUMENT, 'INVALID_FIELD', collect(data, 'Query', {...request, columns: ['contry']}));
});

test('13: aggregates are exact over all shards', async () => {
  await countrymen('N3', 921300, 4);
  for (let number = 921300; number < 921304; ++number) {
    const insert = order(number, 1);
    insert.record.columns.total = {decimal_value: '0.10'};
    await call(data, 'Insert', insert);
  }
  const reply = await call(data, 'Aggregate', {
    table: 'orders',
    filter: 'customer_id BETWEEN @low AND @high',
    params: {low: value(921300), high: value(921303)},
    group_by: ['status'],
    having: 'n > 1',
    aggregates: [
      {function: 'AGGREGATE_FUNCTION_COUNT', name: 'n'},
      {function: 'AGGREGATE_FUNCTION_SUM', column: 'total'},
    ],
  });
  assert.deepEqual(reply.header.columns.map((column) => column.name), ['status', 'n', 'sum_total']);
  assert.equal(reply.rows.length, 1);
  const [status, count, total] = reply.rows[0].values;
  assert.deepEqual([status.text_value, count.int64_value, total.decimal_value], ['open', '4', '0.40']);
  assert.deepEqual(reply.failed_shards, []);
});
