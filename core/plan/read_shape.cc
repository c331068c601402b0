#include "core/plan/read_shape.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/match.h"
#include "core/base/status_macros.h"
#include "core/plan/route.h"

namespace quarry {
namespace {

// Callers choose column lists, so they must not fill the memory.
constexpr size_t kShapesMax = 4'096;

// Rows of a batch are recognised by the bytes of their keys. Text under a collation that is not by bytes, padded
// text, intervals and json come back in other words than they were asked for.
bool EqualsByBytes(const Column& column) {
  const std::string& declared = column.type.native_name;
  switch (column.type.kind) {
    case TypeKind::kText:
      return !column.type.array && column.deterministic_text && declared != "bpchar" && declared != "character" &&
             !absl::StartsWith(declared, "character(");
    case TypeKind::kInterval:
    case TypeKind::kJson:
    case TypeKind::kNative:
      return false;
    default:
      return !column.type.array;
  }
}

// SQLite tells decimals apart by their text, "1.5" and "1.50", and takes 0.0 and -0.0 for one.
bool EqualsByBytesOnSqlite(const Column& column) {
  const TypeKind kind = column.type.kind;
  return EqualsByBytes(column) && kind != TypeKind::kDecimal && kind != TypeKind::kFloat && kind != TypeKind::kDouble;
}

// A key array binds one value per key and column: arrays and a backend's native types have no array form.
bool KeyIs(const Table& table, bool (*fit)(const Column&)) {
  return std::all_of(table.primary_key().begin(), table.primary_key().end(),
                     [&table, fit](size_t column) { return fit(table.columns()[column]); });
}

// What is read: the asked columns, then the key columns that are not among them.
std::vector<size_t> ColumnsToRead(const Table& table, std::vector<size_t> asked, ReadLayout& layout) {
  std::vector<size_t> all(table.columns().size());
  std::iota(all.begin(), all.end(), size_t{0});
  layout.with_etag = asked == all;
  if (layout.with_etag) {
    layout.header = table.header();
  } else {
    std::vector<ColumnHeader> header;
    for (const size_t column : asked) header.push_back((*table.header())[column]);
    layout.header = std::make_shared<const std::vector<ColumnHeader>>(std::move(header));
  }
  const size_t asked_count = asked.size();
  std::vector<size_t> read = std::move(asked);
  for (const size_t key_column : table.primary_key()) {
    const auto at = std::find(read.begin(), read.end(), key_column);
    layout.key_positions.push_back(static_cast<size_t>(at - read.begin()));
    if (at == read.end()) read.push_back(key_column);
  }
  if (read.size() > asked_count) {
    layout.projection.resize(asked_count);
    std::iota(layout.projection.begin(), layout.projection.end(), size_t{0});
  }
  return read;
}

absl::StatusOr<std::shared_ptr<const ReadShape>> MakeShape(const std::string& name,
                                                           const std::vector<std::string>& columns, RowLock lock,
                                                           const Snapshot& snapshot) {
  const auto shape = std::make_shared<ReadShape>();
  QUARRY_ASSIGN_OR_RETURN(shape->table, FindTable(snapshot, name));
  const Table& table = *shape->table;
  QUARRY_ASSIGN_OR_RETURN(std::vector<size_t> asked, CheckColumns(table, columns, "columns"));
  if (table.kind() == TableKind::kSharded) {
    QUARRY_ASSIGN_OR_RETURN(shape->resolver, ResolverOf(table, snapshot));
  }
  const auto layout = std::make_shared<ReadLayout>();
  const std::vector<size_t> read = ColumnsToRead(table, std::move(asked), *layout);
  for (const Dialect dialect : {Dialect::kPostgres, Dialect::kSqlite}) {
    shape->point[static_cast<size_t>(dialect)] = Lowering::PointRead(table, dialect, read, lock);
  }
  if (KeyIs(table, EqualsByBytes)) {
    shape->arrays = std::make_shared<const ManyKeysForm>(
        ManyKeysForm{Lowering::BatchRead(table, read, lock).sql, layout->key_positions});
  }
  if (KeyIs(table, EqualsByBytesOnSqlite)) {
    for (const size_t keys : ReadShape::kListSizes) shape->lists.push_back(Lowering::ListRead(table, read, keys));
  }
  shape->layout = layout;
  return std::shared_ptr<const ReadShape>(shape);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ReadShape>> ReadShapes::Find(const std::string& table,
                                                                  const std::vector<std::string>& columns,
                                                                  RowLock lock, const Snapshot& snapshot) {
  const auto found = shapes_.find(Asked{table, columns, lock});
  if (found != shapes_.end()) return found->second;
  QUARRY_ASSIGN_OR_RETURN(std::shared_ptr<const ReadShape> shape, MakeShape(table, columns, lock, snapshot));
  if (shapes_.size() >= kShapesMax) shapes_.clear();
  shapes_.emplace(Stored{table, columns, lock}, shape);
  return shape;
}

}  // namespace quarry
