// What a program keeps around the generated stubs: connecting, values, errors, transactions and streams.
'use strict';
const fs = require('node:fs');
const {randomUUID} = require('node:crypto');
const {promisify} = require('node:util');
const {setTimeout: sleep} = require('node:timers/promises');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

// From the root of the repository. 64-bit integers are strings (longs: String), so that none loses its last digits.
const FILES = ['quarry/v1/data.proto', 'quarry/v1/transaction.proto', 'quarry/v1/admin.proto', 'google/rpc/error_details.proto'];
const definition = loader.loadSync(
    FILES, {includeDirs: ['proto'], keepCase: true, longs: String, enums: String, oneofs: true, defaults: true});
const {DataService, TransactionService, AdminService} = grpc.loadPackageDefinition(definition).quarry.v1;
const serviceConfig = fs.readFileSync('proto/quarry/v1/service_config.json', 'utf8');

const int64 = (x) => ({int64_value: String(x)});
const text = (x) => ({text_value: x});
const decimal = (x) => ({decimal_value: x});
const timestamp = (date) => ({
  timestamp_value: {seconds: String(Math.floor(date / 1000)), nanos: date.getMilliseconds() * 1_000_000},
});

// The ErrorInfo of a google.rpc.Status: its reason and facts.
function errorInfo(status) {
  const detail = status.details.find(({type_url: type}) => type.endsWith('/google.rpc.ErrorInfo'));
  return detail && definition['google.rpc.ErrorInfo'].deserialize(detail.value);
}

// The google.rpc.Status of a call that failed.
function statusOf(error) {
  const [bytes] = error.metadata.get('grpc-status-details-bin');
  return bytes ? definition['google.rpc.Status'].deserialize(bytes) : {code: error.code, message: error.details, details: []};
}

// The calls of a stub that are no streams, as functions that return promises.
function promises(stub) {
  const calls = Object.entries(stub.constructor.service).filter(([, call]) => !call.requestStream && !call.responseStream);
  return Object.fromEntries(calls.map(([name]) => [name, promisify(stub[name].bind(stub))]));
}

// The stubs of one channel, which retries and balances as the service config says.
class Client {
  constructor(address) {
    const insecure = grpc.credentials.createInsecure();
    this.stub = new DataService(address, insecure, {'grpc.service_config': serviceConfig});
    const shared = {channelOverride: this.stub.getChannel()};
    this.data = promises(this.stub);
    this.transactions = promises(new TransactionService(address, insecure, shared));
    this.admin = promises(new AdminService(address, insecure, shared));
  }

  close() {
    this.stub.close();
  }

  // Runs body(transaction id, run) and commits; all of it again after ABORTED. Returns how often it ran.
  async runTransaction(body, runsMax = 10) {
    for (let run = 1; ; ++run) {
      try {
        await this.#runOnce(body, run);
        return run;
      } catch (error) {
        if (error.code !== grpc.status.ABORTED || run === runsMax) throw error;
      }
      await sleep(Math.random() * Math.min(1000, 20 * 2 ** run));
    }
  }

  async #runOnce(body, run) {
    const {transaction_id} = await this.transactions.Begin({});
    try {
      await body(transaction_id, run);
    } catch (error) {
      await this.transactions.Rollback({transaction_id});
      throw error;
    }
    await this.transactions.Commit({transaction_id, request_id: randomUUID()});
  }

  // Yields the rows of a query; a stream that breaks goes on after the last batch that came whole.
  async* rows(query, {seconds = 60, breaksMax = 5} = {}) {
    for (let breaks = 0; ; ++breaks) {
      const stream = this.stub.Query(query, {deadline: Date.now() + seconds * 1000});
      let pending = [];
      try {
        for await (const {batch} of stream) {
          pending.push(...(batch?.rows ?? []));
          if (!batch?.resume_token) continue;
          query = {...query, resume_token: batch.resume_token};
          breaks = 0;
          yield* pending.splice(0);
        }
        yield* pending;
        return;
      } catch (error) {
        if (error.code !== grpc.status.UNAVAILABLE || breaks === breaksMax) throw error;
      } finally {
        stream.cancel();
      }
    }
  }
}

module.exports = {Client, int64, text, decimal, timestamp, errorInfo, statusOf};
