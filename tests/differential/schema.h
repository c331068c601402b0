// Random tables for a gateway and its references: one family of parent and child for each resolver, that of a plug-in included, one on
// a single shard, one of reference tables, and a reference table that all others point to; families also point to each other's keys.
// With rows. Plain data and pure functions.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/differential/dice.h"
#include "tests/differential/values.h"

namespace quarry::differential {

struct TestColumn {
  std::string name;
  ValueType type;
  bool nullable = true;
  std::string collation = {};  // PostgreSQL's, for text; empty: the database's.
};

struct TestRelation {
  std::string name;
  size_t table = 0;                            // Position in Schema::tables.
  std::vector<std::pair<size_t, size_t>> join = {};  // Our column, theirs.
  bool up = false;                             // Our columns hold a key of theirs; else theirs hold one of ours.
  bool declared = false;                       // By the configuration; else by a foreign key.
  bool apart = false;                          // Related rows may be on other shards: to include, not to filter by.
};

struct TestTable {
  std::string name;
  std::string placement;  // How its rows are spread, for people: "range".
  std::vector<TestColumn> columns = {};
  std::vector<size_t> primary_key = {};
  std::vector<TestRelation> relations = {};
  std::vector<Row> rows = {};
};

struct Schema {
  std::vector<TestTable> tables;  // A table comes after those that it references.
  std::string yaml;               // The gateway's resolvers and tables.
};

Schema MakeSchema(int shards, Dice& dice);
// As MakeSchema, with one family of the given placement, an integer key and rows enough for pages.
Schema MakeSmallSchema(const std::string& placement, int shards, Dice& dice);

enum class Store { kShardPostgres, kShardSqlite, kReferencePostgres, kReferenceSqlite };
// CREATE TABLE for all tables.
std::string Ddl(const Schema& schema, Store store);
// INSERT of rows of one table into a reference; empty for no rows.
std::string InsertSql(const TestTable& table, const std::vector<Row>& rows, Store store);
// Of plain SQL: "name".
std::string Quoted(const std::string& name);
std::string LiteralFor(const Value& value, const ValueType& type, bool postgres);

}  // namespace quarry::differential
