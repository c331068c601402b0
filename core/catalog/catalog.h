// The tables that Quarry serves: what the configuration declares about each, joined with what the databases say.
// Immutable once built; read from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/catalog/relations.h"
#include "core/model/statement.h"
#include "core/model/type.h"
#include "core/model/value.h"

namespace quarry {

enum class TableKind : uint8_t {
  kSharded,    // Each row lives on the shard that its shard key says.
  kReference,  // Every shard holds every row.
  kSingle,     // All rows live on one named shard.
};

// What the configuration says of a table.
struct TableDeclaration {
  std::string name;
  TableKind kind = TableKind::kSharded;
  std::vector<std::string> shard_key;  // Sharded only; columns in the resolver's order.
  std::string resolver;                // Sharded only.
  std::string co_located_with;         // Sharded: the table whose shard key and resolver it shares.
  std::string shard;                   // Single only.
  bool scatter_allowed = true;
  std::vector<RelationDeclaration> relations;
  absl::Duration cache_age_max;  // How long an answer may be kept for callers who accept its age; zero: not at all.
  bool merge_reads = false;      // Identical questions that wait at the same time share one asking of the shards.
};

struct Column {
  std::string name;
  ColumnType type;
  bool nullable = true;
  bool has_default = false;       // The database fills it in when absent.
  bool generated = false;         // The database computes it always: it cannot be written.
  bool deterministic_text = true;  // Text equality is byte equality.
  bool byte_order = true;          // Text is ordered by its bytes on every shard.
  bool enumeration = false;        // A native type that is a list of labels.
  // SQLite: what a new row that lacks the column is given in place of its default, which is in another form than Quarry's.
  std::string default_in_form = {};
};

struct UniqueConstraint {
  std::string name;
  std::vector<std::string> columns;
};

struct ForeignKey {
  std::string name;
  std::vector<std::string> columns;
  std::string referenced_table;
  std::vector<std::string> referenced_columns;
};

// What one database says of a table.
struct TableSchema {
  std::string name;
  std::vector<Column> columns;           // In the database's order.
  std::vector<std::string> primary_key;  // In key order; empty when the table has none.
  std::vector<UniqueConstraint> unique_constraints;  // Without the primary key.
  std::vector<ForeignKey> foreign_keys;
  bool triggers = false;  // SQLite: what RETURNING gives of a write is not yet what its triggers make of the row.
};

// What one shard's database said of all declared tables; a table that it lacks is absent.
struct ShardSchema {
  std::string shard;
  std::map<std::string, TableSchema, std::less<>> tables;
};

// A declared table that every shard agrees on.
class Table {
 public:
  // Columns of the primary key and of the shard key are taken as not null, whatever the database says: a row without
  // them has no place. Names that `schema` lacks are left out; BuildCatalog refuses them before.
  Table(TableDeclaration declaration, TableSchema schema);

  const std::string& name() const { return declaration_.name; }
  TableKind kind() const { return declaration_.kind; }
  const TableDeclaration& declaration() const { return declaration_; }
  const TableSchema& schema() const { return schema_; }
  const std::vector<Column>& columns() const { return schema_.columns; }
  // Positions of columns in columns(). The shard key is part of the primary key, so that a key alone says the shard.
  const std::vector<size_t>& primary_key() const { return primary_key_; }
  const std::vector<size_t>& shard_key() const { return shard_key_; }
  std::optional<size_t> FindColumn(std::string_view name) const;
  // The types and header of all columns, shared by every statement.
  const std::shared_ptr<const std::vector<ColumnType>>& all_types() const { return all_types_; }
  const RowHeader& header() const { return header_; }

 private:
  TableDeclaration declaration_;
  TableSchema schema_;
  std::vector<size_t> primary_key_;
  std::vector<size_t> shard_key_;
  std::map<std::string, size_t, std::less<>> by_name_;
  std::shared_ptr<const std::vector<ColumnType>> all_types_;
  RowHeader header_;
};

std::vector<std::string> ColumnNames(const TableSchema& schema);

class Catalog {
 public:
  Catalog() = default;
  // `pending`: declared tables whose only shard has not answered yet, with that shard's name.
  explicit Catalog(std::vector<Table> tables, std::map<std::string, std::string, std::less<>> pending = {});
  // kNotFound TABLE_NOT_FOUND with "did you mean"; kUnavailable SHARD_UNAVAILABLE for a pending table.
  absl::StatusOr<const Table*> FindTable(std::string_view name) const;
  const Tables& tables() const { return tables_; }
  // Of a table of this catalog; none for any other name.
  const std::vector<Relation>& relations(std::string_view table) const;
  // The relation by its name. Plain statuses without a path: kNotFound when there is none ("did you mean"), kInvalidArgument when
  // the name is that of a table to which several relations lead: the message names them.
  absl::StatusOr<const Relation*> FindRelation(std::string_view table, std::string_view name) const;
  // Whether some table's answers may be kept.
  bool keeps_answers() const { return keeps_answers_; }
  // The table and those whose rows go or change with its rows, by foreign keys that cascade or may.
  std::vector<std::string> WrittenWith(const std::string& table) const;

 private:
  bool keeps_answers_ = false;
  Tables tables_;
  std::map<std::string, std::vector<Relation>, std::less<>> relations_;
  std::map<std::string, std::string, std::less<>> pending_;
};

// Values of both types can be compared with each other: one kind, or both integers, or both floats; arrays with like arrays.
bool SameFamily(const ColumnType& a, const ColumnType& b);

// Joins declarations with what the shards' databases said. Every difference between shards is reported at once,
// column by column; also refused: a missing table, no primary key, an unknown shard-key column, a shard key whose type
// has no stable hash (float, json, …) or whose text is not compared by bytes, co-location of unlike keys, one resolver for
// keys of unlike types. kFailedPrecondition SCHEMA_MISMATCH, one line per finding.
// `schemas` holds the shards that answered; at least one. A single-shard table whose shard is not among them is pending.
// Column order and the names of unique constraints and foreign keys are those of the first shard: they may differ. Text has byte
// order where every shard says so. Declared relations must name columns that exist and can be compared.
absl::StatusOr<Catalog> BuildCatalog(const std::vector<TableDeclaration>& declarations,
                                     const std::vector<ShardSchema>& schemas);

// ---- Validation of what a caller sends (key.cc). Paths of violations start with `field`. ----

// The key's values in primary-key order, each checked and coerced to its column's type. Missing, extra, null, unknown and
// wrongly typed parts are all reported at once.
absl::StatusOr<Key> CheckKey(const Table& table, const KeyInput& input, std::string_view field);
// One value for one column: nullability and type. Lossless conversions only: an int64 for a decimal or double column when
// exact, text for date, time, interval, uuid, decimal, timestamp, json and native columns when well formed; integers within
// the column's range. A double for a 32-bit float column is rounded to 32 bits, as the column would. Text for a timestamp
// is YYYY-MM-DD, "T" or a space, HH:MM:SS with up to six decimals, then Z or +HH:MM for timestamptz and nothing for timestamp;
// "infinity" and "-infinity" become natives. What the column would round (scale, precision of seconds) is refused.
// Returns the value in the column's own kind, in one canonical form, so that equal keys are equal values (a decimal's scale
// aside). Errors: INVALID_FIELD with the column's name as path; they never quote the value.
absl::StatusOr<Value> CheckValue(const Column& column, const Value& value);
// The record's columns, checked; unknown columns get "did you mean". `violations` collects all.
std::vector<std::pair<size_t, Value>> CheckRecord(const Table& table, const Record& record, std::string_view field,
                                                  std::vector<FieldViolation>& violations);
// Positions of the named columns; empty input or "*" means all, in catalog order.
absl::StatusOr<std::vector<size_t>> CheckColumns(const Table& table, const std::vector<std::string>& names,
                                                 std::string_view field);

}  // namespace quarry
