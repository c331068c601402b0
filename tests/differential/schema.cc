#include "tests/differential/schema.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace quarry::differential {
namespace {

const std::vector<std::string> kCollations = {"", "C", "en-x-icu"};
// Names that only quotes can say.
const std::vector<std::string> kOddNames = {"select", "Größe ", "x y", "a.b", "per%cent", "q\"uote", "and", "UPPER", "$1", "tab'le"};

// Values that split the keys that random values make, ascending, as the configuration writes them.
std::vector<std::string> Splits(TypeKind kind) {
  switch (kind) {
    case TypeKind::kText:
      return {"\"9\"", "\"AB\"", "\"Z\"", "\"a b\"", "\"aa\"", "\"abc\"", "\"e\"", "\"z\"", "\"é\"", "\"日\""};
    case TypeKind::kUuid:
      return {"\"00000002-0000-0000-0000-000000000000\"", "\"00000006-0000-0000-0000-000000000000\"",
              "\"0000000a-0000-0000-0000-000000000000\"", "\"0000000c-0000-0000-0000-000000000000\"",
              "\"40000000-0000-0000-0000-000000000000\"", "\"7fffffff-ffff-ffff-ffff-ffffffffffff\"",
              "\"80000000-0000-0000-0000-000000000001\""};
    case TypeKind::kTimestampTz:
      return {"\"1969-12-31 23:59:59.999999Z\"", "\"1970-01-01 00:00:00Z\"", "\"2000-01-01 00:00:00Z\"", "\"2026-01-02 00:00:00Z\"",
              "\"2026-01-03 12:00:00Z\"", "\"2026-01-05 00:00:00Z\"", "\"2026-02-01 00:00:00Z\""};
    default:
      return {"-1000", "-3", "0", "2", "5", "8", "100", "5000000000"};
  }
}

std::string ShardName(int shard) { return absl::StrCat("s", shard); }

std::string RangeResolver(const TestColumn& first, size_t width, int shards, Dice& dice) {
  std::vector<std::string> splits = Splits(first.type.kind);
  while (splits.size() > static_cast<size_t>(shards - 1)) splits.erase(splits.begin() + dice.Below(static_cast<int64_t>(splits.size())));
  std::vector<std::string> ranges;
  for (size_t i = 0; i <= splits.size(); ++i) {
    const auto end = [width](const std::string& split) { return width > 1 ? absl::StrCat("[", split, "]") : split; };
    ranges.push_back(absl::StrCat("{", i > 0 ? absl::StrCat("from: ", end(splits[i - 1]), ", ") : "",
                                  i < splits.size() ? absl::StrCat("to: ", end(splits[i]), ", ") : "", "shard: ",
                                  ShardName(static_cast<int>(i)), "}"));
  }
  // One range without ends would say nothing.
  if (splits.empty()) return "{type: range, ranges: [{shard: s0}]}";
  return absl::StrCat("{type: range, ranges: [", absl::StrJoin(ranges, ", "), "]}");
}

std::string GeoResolver(const TestColumn& first, int shards, Dice& dice) {
  std::vector<std::string> regions;
  for (const std::string& value : Splits(first.type.kind)) {
    if (dice.Percent(30)) continue;
    regions.push_back(absl::StrCat("{match: {", first.name, ": ", value, "}, shard: ", ShardName(dice.Below(shards)), "}"));
  }
  if (regions.empty()) return absl::StrCat("{type: geo, default: ", ShardName(0), "}");
  return absl::StrCat("{type: geo, regions: [", absl::StrJoin(regions, ", "), "], default: ", ShardName(dice.Below(shards)), "}");
}

std::string LookupResolver(const TestColumn& first, size_t width, int shards, Dice& dice) {
  std::vector<std::string> entries;
  for (const std::string& value : Splits(first.type.kind)) {
    if (width == 1) entries.push_back(absl::StrCat("{key: ", value, ", shard: ", ShardName(dice.Below(shards)), "}"));
  }
  return absl::StrCat("{type: lookup, ", entries.empty() ? "" : absl::StrCat("entries: [", absl::StrJoin(entries, ", "), "], "),
                      "new_keys: {assign: hash}, directory: {shard: ", ShardName(dice.Below(shards)), "}}");
}

std::string Resolver(const TestTable& table, size_t width, int shards, Dice& dice) {
  const TestColumn& first = table.columns[0];
  if (table.placement == "range") return RangeResolver(first, width, shards, dice);
  if (table.placement == "geo") return GeoResolver(first, shards, dice);
  if (table.placement == "lookup") return LookupResolver(first, width, shards, dice);
  if (table.placement == "consistent_hash") return "{type: consistent_hash, buckets: 64}";
  if (table.placement == "plug-in") return absl::StrCat("{type: modulo, block: ", 1 + dice.Below(4), "}");
  return "{type: hash}";
}

TestColumn Named(const std::string& name, TypeKind kind, Dice& dice) {
  return {.name = name, .type = {kind}, .nullable = false,
          .collation = kind == TypeKind::kText ? dice.Pick(kCollations) : ""};
}

// The columns that are no keys: some of every kind.
void AddPlainColumns(int count, Dice& dice, TestTable& table) {
  static const std::vector<std::pair<ValueType, std::string>> kTypes = {
      {{TypeKind::kInt16}, "i2"},
      {{TypeKind::kInt32}, "i4"},
      {{TypeKind::kInt64}, "i8"},
      {{TypeKind::kDouble}, "dbl"},
      {{TypeKind::kDouble, Profile::kSummable}, "sdbl"},
      {{TypeKind::kDouble, Profile::kLoose}, "ldbl"},
      {{TypeKind::kText}, "txt"},
      {{TypeKind::kBytes}, "byt"},
      {{TypeKind::kBool}, "boo"},
      {{TypeKind::kTimestamp}, "tms"},
      {{TypeKind::kTimestampTz}, "tmz"},
      {{TypeKind::kDate}, "dat"},
      {{TypeKind::kTime}, "tim"},
      {{TypeKind::kDecimal}, "dcm"},
      {{TypeKind::kDecimal, Profile::kWide}, "wdcm"},
      {{TypeKind::kUuid}, "uid"}};
  for (int i = 0; i < count; ++i) {
    const auto& [type, name] = dice.Pick(kTypes);
    TestColumn column = Named(absl::StrCat(name, i), type.kind, dice);
    column.type = type;
    column.nullable = dice.Percent(80);
    if (dice.Percent(10)) column.name = absl::StrCat(dice.Pick(kOddNames), i);
    table.columns.push_back(std::move(column));
    if (dice.Percent(30)) {  // A second one, to compare with.
      column = table.columns.back();
      column.name += "b";
      table.columns.push_back(std::move(column));
    }
  }
}

std::string TextOf(const Row& row, const std::vector<size_t>& positions, const TestTable& table) {
  std::string text;
  for (const size_t at : positions) absl::StrAppend(&text, SqliteLiteral(row[at], table.columns[at].type), "|");
  return text;
}

// Rows whose values come from small pools, so that many are equal.
class RowMaker {
 public:
  RowMaker(const Schema& schema, TestTable& table, Dice& dice) : schema_(schema), table_(table), dice_(dice) {
    for (const TestColumn& column : table.columns) {
      std::vector<Value> pool;
      const int size = dice.Percent(50) ? 2 + dice.Below(6) : 0;
      for (int i = 0; i < size; ++i) pool.push_back(AnyValue(column.type, dice));
      pools_.push_back(std::move(pool));
    }
  }

  void Make(int count) {
    std::set<std::string> keys;
    for (int tries = 0; tries < 4 * count && table_.rows.size() < static_cast<size_t>(count); ++tries) {
      Row row;
      for (size_t at = 0; at < table_.columns.size(); ++at) row.push_back(ValueAt(at));
      if (!PointToParents(row) || !keys.insert(TextOf(row, table_.primary_key, table_)).second) continue;
      table_.rows.push_back(std::move(row));
    }
  }

 private:
  Value ValueAt(size_t at) {
    const TestColumn& column = table_.columns[at];
    if (column.nullable && dice_.Percent(25)) return Value::Null();
    const bool key = std::find(table_.primary_key.begin(), table_.primary_key.end(), at) != table_.primary_key.end();
    if (key || pools_[at].empty()) return AnyValue(column.type, dice_);
    return dice_.Pick(pools_[at]);
  }

  // False when a parent that must be there has no rows.
  bool PointToParents(Row& row) {
    for (const TestRelation& relation : table_.relations) {
      if (!relation.up) continue;
      const std::vector<Row>& parents = schema_.tables[relation.table].rows;
      const bool optional = table_.columns[relation.join[0].first].nullable;
      const bool impossible = parents.empty() && !optional;
      // To a row that is not there, or in part to none: nobody minds.
      if (relation.declared && (impossible || dice_.Percent(20))) continue;
      if (impossible) return false;
      const bool none = parents.empty() || (optional && dice_.Percent(25));
      const Row* parent = none ? nullptr : &dice_.Pick(parents);
      for (const auto& [ours, theirs] : relation.join) row[ours] = none ? Value::Null() : (*parent)[theirs];
    }
    return true;
  }

  const Schema& schema_;
  TestTable& table_;
  Dice& dice_;
  std::vector<std::vector<Value>> pools_;
};

int AnyRowCount(Dice& dice) {
  if (dice.Percent(8)) return dice.Below(3);
  return dice.Percent(40) ? 3 + dice.Below(20) : 30 + dice.Below(90);
}

// As the configuration says it; "" when there is none.
std::string DeclaredRelations(const Schema& schema, const TestTable& table) {
  std::vector<std::string> relations;
  for (const TestRelation& relation : table.relations) {
    if (!relation.declared) continue;
    const TestTable& related = schema.tables[relation.table];
    std::vector<std::string> ours;
    std::vector<std::string> theirs;
    for (const auto& [our, their] : relation.join) {
      ours.push_back(table.columns[our].name);
      theirs.push_back(related.columns[their].name);
    }
    relations.push_back(absl::StrCat(relation.name, ": {table: ", related.name, ", columns: [", absl::StrJoin(ours, ", "),
                                     "], references: [", absl::StrJoin(theirs, ", "), "]}"));
  }
  return relations.empty() ? "" : absl::StrCat(", relations: {", absl::StrJoin(relations, ", "), "}");
}

// Appends parent and child.
class FamilyMaker {
 public:
  FamilyMaker(Schema& schema, std::string name, std::string placement, int shards, Dice& dice)
      : schema_(schema), others_(schema.tables.size()), name_(std::move(name)), placement_(std::move(placement)), shards_(shards),
        dice_(dice) {}

  void Make(const std::vector<TypeKind>& key, int plain_columns, int rows) {
    schema_.tables.push_back(Parent(key, plain_columns));
    RowMaker(schema_, schema_.tables[others_], dice_).Make(rows);
    schema_.tables.push_back(Child(plain_columns));
    TestTable& parent = schema_.tables[others_];
    TestTable& child = schema_.tables.back();
    RowMaker(schema_, child, dice_).Make(rows + rows / 2);
    const TestRelation& up = child.relations[0];
    TestRelation down{.name = up.declared ? "parts" : child.name, .table = others_ + 1, .declared = up.declared};
    for (const auto& [ours, theirs] : up.join) down.join.emplace_back(theirs, ours);
    parent.relations.push_back(std::move(down));
    schema_.yaml += Declaration(parent, key.size(), "");
    schema_.yaml += Declaration(child, key.size(), parent.name);
  }

 private:
  TestTable Parent(const std::vector<TypeKind>& key, int plain_columns) {
    TestTable table{.name = name_ + "p", .placement = placement_};
    for (size_t i = 0; i < key.size(); ++i) {
      table.primary_key.push_back(table.columns.size());
      table.columns.push_back(Named(absl::StrCat("k", i), key[i], dice_));
    }
    if (dice_.Percent(60)) {
      table.primary_key.push_back(table.columns.size());
      table.columns.push_back(Named("id", dice_.Percent(50) ? TypeKind::kInt64 : TypeKind::kInt32, dice_));
    }
    table.columns.push_back({.name = "tag", .type = {TypeKind::kText}});
    const bool declared = dice_.Percent(20);
    table.relations.push_back({.name = declared ? "label" : "tags", .table = 0, .join = {{table.columns.size() - 1, 0}}, .up = true,
                               .declared = declared});
    AddPlainColumns(plain_columns, dice_, table);
    PointAway(table);
    return table;
  }

  TestTable Child(int plain_columns) {
    const TestTable& parent = schema_.tables[others_];
    TestTable table{.name = name_ + "c", .placement = placement_};
    TestRelation up{.name = parent.name, .table = others_, .up = true, .declared = dice_.Percent(30)};
    if (up.declared) up.name = "whole";
    for (const size_t at : parent.primary_key) {
      up.join.emplace_back(table.columns.size(), at);
      table.primary_key.push_back(table.columns.size());
      table.columns.push_back(parent.columns[at]);
    }
    table.primary_key.push_back(table.columns.size());
    table.columns.push_back(Named("line", TypeKind::kInt16, dice_));
    table.relations.push_back(std::move(up));
    AddPlainColumns(plain_columns, dice_, table);
    if (dice_.Percent(50)) PointAway(table);
    return table;
  }

  // Columns for the key of a table of another family, whose rows live elsewhere. No database could keep a foreign key to it.
  void PointAway(TestTable& table) {
    if (others_ < 2) return;
    const auto away = 1 + static_cast<size_t>(dice_.Below(static_cast<int64_t>(others_ - 1)));
    const TestTable& other = schema_.tables[away];
    TestRelation relation{.name = "far", .table = away, .up = true, .declared = true, .apart = other.placement != "reference"};
    for (const size_t key : other.primary_key) {
      TestColumn column = other.columns[key];
      relation.join.emplace_back(table.columns.size(), key);
      column.name = absl::StrCat("far", relation.join.size());
      column.nullable = true;
      const bool narrow = column.type.kind == TypeKind::kInt16 || column.type.kind == TypeKind::kInt32;
      if (narrow && dice_.Percent(50)) column.type.kind = TypeKind::kInt64;  // Of values that no key has.
      table.columns.push_back(std::move(column));
    }
    table.relations.push_back(std::move(relation));
  }

  std::string Declaration(const TestTable& table, size_t width, const std::string& parent) {
    const std::string relations = DeclaredRelations(schema_, table);
    if (placement_ == "reference") return absl::StrCat("  ", table.name, ": {kind: reference", relations, "}\n");
    if (placement_ == "single") {
      if (parent.empty()) single_shard_ = ShardName(dice_.Below(shards_));
      return absl::StrCat("  ", table.name, ": {kind: single, shard: ", single_shard_, relations, "}\n");
    }
    std::vector<std::string> key;
    for (size_t i = 0; i < width; ++i) key.push_back(table.columns[i].name);
    const std::string head = absl::StrCat("  ", table.name, ": {kind: sharded, key: [", absl::StrJoin(key, ", "), "], ");
    if (!parent.empty()) return absl::StrCat(head, "co_located_with: ", parent, relations, "}\n");
    const std::string resolver = absl::StrCat("by_", name_);
    schema_.yaml.insert(std::string("resolvers:\n").size(),
                        absl::StrCat("  ", resolver, ": ", Resolver(table, width, shards_, dice_), "\n"));
    return absl::StrCat(head, "resolver: ", resolver, relations, "}\n");
  }

  Schema& schema_;
  const size_t others_;  // The tables that were there before.
  const std::string name_;
  const std::string placement_;
  const int shards_;
  Dice& dice_;
  std::string single_shard_;
};

// What every table may point to.
void AddTags(Dice& dice, Schema& schema) {
  TestTable tags{.name = "tags", .placement = "reference"};
  tags.columns = {Named("code", TypeKind::kText, dice)};
  tags.primary_key = {0};
  AddPlainColumns(3, dice, tags);
  schema.tables.push_back(std::move(tags));
  RowMaker(schema, schema.tables[0], dice).Make(8);
  schema.yaml = "resolvers:\ntables:\n  tags: {kind: reference}\n";
}

}  // namespace

Schema MakeSchema(int shards, Dice& dice) {
  static const std::vector<std::vector<TypeKind>> kKeys = {
      {TypeKind::kInt64}, {TypeKind::kText}, {TypeKind::kUuid}, {TypeKind::kTimestampTz},
      {TypeKind::kText, TypeKind::kInt64}, {TypeKind::kInt64, TypeKind::kTimestampTz}, {TypeKind::kUuid, TypeKind::kText}};
  Schema schema;
  AddTags(dice, schema);
  int number = 0;
  for (const std::string placement : {"hash", "reference", "range", "lookup", "consistent_hash", "plug-in", "geo", "single"}) {
    FamilyMaker family(schema, absl::StrCat("f", number++), placement, shards, dice);
    // The plug-in takes one integer.
    const std::vector<TypeKind>& key = placement == "plug-in" ? kKeys[0] : dice.Pick(kKeys);
    family.Make(key, 3 + dice.Below(7), AnyRowCount(dice));
  }
  absl::StrAppend(&schema.yaml, "plugins: [\"", QUARRY_MODULO_PLUGIN, "\"]\n");
  return schema;
}

Schema MakeSmallSchema(const std::string& placement, int shards, Dice& dice) {
  Schema schema;
  AddTags(dice, schema);
  FamilyMaker(schema, "f0", placement, shards, dice).Make({TypeKind::kInt64}, 7, 100);
  return schema;
}

}  // namespace quarry::differential
