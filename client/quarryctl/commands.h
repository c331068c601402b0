// The commands of quarryctl: each function adds its own to the command line. A command that runs
// prints its answer or its failure through the session, which outlives `app`.
#pragma once

#include "CLI/App.hpp"
#include "client/quarryctl/session.h"

namespace quarry::ctl {

void AddGet(CLI::App& app, Session& session);
void AddWrites(CLI::App& app, Session& session);  // insert, update, upsert, delete
void AddQuestions(CLI::App& app, Session& session);   // list, query, aggregate
void AddBulkWrites(CLI::App& app, Session& session);  // update-where, delete-where
void AddExplain(CLI::App& app, Session& session);
void AddTop(CLI::App& app, Session& session);  // top, insights
void AddSql(CLI::App& app, Session& session);
void AddImport(CLI::App& app, Session& session);
void AddSchema(CLI::App& app, Session& session);  // tables, resolve
void AddShards(CLI::App& app, Session& session);  // shards, health
void AddLocks(CLI::App& app, Session& session);   // lock acquire, show, release, run
void AddGateways(CLI::App& app, Session& session);
void AddTransactions(CLI::App& app, Session& session);  // transactions, init-shard
void AddContexts(CLI::App& app, Session& session);

// Parses and runs one command line; returns the exit code.
int RunQuarryctl(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

}  // namespace quarry::ctl
