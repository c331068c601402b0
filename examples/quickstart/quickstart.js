// Quarry from Node, with the stock packages (npm install @grpc/grpc-js @grpc/proto-loader):
//
//     QUARRY_ADDRESS=127.0.0.1:7400 node examples/quickstart/quickstart.js
//
// int64 values are strings here (longs: String), so that none loses its last digits.
const path = require('path');
const {randomUUID} = require('crypto');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const protos = process.env.QUARRY_PROTOS || path.join(__dirname, '..', '..', 'proto');
const definition = loader.loadSync('quarry/v1/data.proto', {
  includeDirs: [protos],
  keepCase: true,
  longs: String,
  enums: String,
  oneofs: true,
  defaults: true,
});
const {DataService} = grpc.loadPackageDefinition(definition).quarry.v1;
const data = new DataService(process.env.QUARRY_ADDRESS || '127.0.0.1:7400', grpc.credentials.createInsecure());

const call = (method, request) => new Promise((resolve, reject) => {
  data[method](request, {deadline: Date.now() + 10_000}, (error, reply) => error ? reject(error) : resolve(reply));
});

async function main() {
  const columns = {
    customer_id: {int64_value: '900002'},
    name: {text_value: 'Grace'},
    email: {text_value: 'grace@example.com'},
    country: {text_value: 'US'},
    created: {timestamp_value: {seconds: String(Math.floor(Date.now() / 1000)), nanos: 0}},
  };
  // The request_id makes the write safe to send again: a repeat returns the first reply.
  const written = await call('Upsert', {table: 'customers', record: {columns}, request_id: randomUUID()});
  console.log('written to shard', written.served_by.shards_answered[0]);

  const row = await call('Get', {table: 'customers', key: {values: [{int64_value: '900002'}]}});
  console.log('name:', row.record.columns.name.text_value, 'etag:', row.etag);
}

main().then(() => data.close(), (error) => {
  console.error(error.message);
  process.exitCode = 1;
  data.close();
});
