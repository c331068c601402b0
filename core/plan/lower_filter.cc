#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/plan/compare_sql.h"
#include "core/plan/filter.h"
#include "core/plan/lowering.h"
#include "core/plan/text_prefix.h"

namespace quarry {
namespace {

std::string Plain(const ColumnUse& column, std::string_view alias) {
  const std::string quoted = QuoteIdentifier(column.name);
  return alias.empty() ? quoted : absl::StrCat(std::string(alias), ".", quoted);
}

bool IsDecimal(const ColumnType& type) { return type.kind == TypeKind::kDecimal && !type.array; }

// `ordered`: for an order, not for equality alone.
std::string Expression(const ColumnUse& column, std::string_view alias, Dialect dialect, bool by_bytes) {
  std::string name = Plain(column, alias);
  if (dialect == Dialect::kSqlite) {
    if (IsDecimal(column.type)) return name + " COLLATE quarry_decimal";
    return IsText(column.type) && !by_bytes ? name + " COLLATE BINARY" : name;
  }
  return IsText(column.type) && !by_bytes ? name + "::text COLLATE \"C\"" : name;
}

std::string ForEquality(const ColumnUse& column, std::string_view alias, Dialect dialect) {
  return Expression(column, alias, dialect, column.byte_equality);
}

bool IsEquality(CompareOp op) { return op == CompareOp::kEqual || op == CompareOp::kNotEqual; }

// A padded text of PostgreSQL is compared without its trailing spaces, as PostgreSQL itself does.
Value Unpadded(const ColumnUse& column, const Value& value, Dialect dialect) {
  const std::string& declared = column.type.native_name;
  const bool padded = declared == "bpchar" || declared == "character" || absl::StartsWith(declared, "character(");
  if (dialect != Dialect::kPostgres || !padded || value.kind() != ValueKind::kText) return value;
  return Value::Text(value.text().substr(0, value.text().find_last_not_of(' ') + 1));
}

// "t0" -> "t1": within a statement the tables around one have other numbers.
std::string NextAlias(std::string_view alias) {
  size_t number = 0;
  const std::string digits(alias.substr(std::min<size_t>(alias.size(), 1)));
  if (!absl::SimpleAtoi(digits, &number)) return absl::StrCat(std::string(alias), "t1");
  return absl::StrCat(std::string(alias.substr(0, 1)), number + 1);
}

// Sizes to which lists of SQLite are filled up, so that statements are found again.
size_t PaddedSize(size_t size) {
  constexpr size_t kStep = 1'024;
  size_t padded = 1;
  while (padded < size && padded < kStep) padded *= 2;
  return size <= kStep ? padded : (size + kStep - 1) / kStep * kStep;
}

class PredicateWriter {
 public:
  explicit PredicateWriter(SqlText& sql) : sql_(sql), dialect_(sql.dialect()) {}

  void Write(const Predicate& predicate, std::string_view alias) {
    switch (predicate.kind) {
      case Predicate::Kind::kTrue:
        sql_ << "TRUE";
        return;
      case Predicate::Kind::kFalse:
        sql_ << "FALSE";
        return;
      case Predicate::Kind::kAnd:
      case Predicate::Kind::kOr:
        WriteList(predicate, 0, predicate.children.size(), alias);
        return;
      case Predicate::Kind::kNot:
        sql_ << "(NOT ";
        Write(predicate.children[0], alias);
        sql_ << ")";
        return;
      case Predicate::Kind::kHas:
        WriteHas(*predicate.related, alias);
        return;
      case Predicate::Kind::kIsNull:
        sql_ << "(" << Plain(predicate.column, alias) << " IS NULL)";
        return;
      case Predicate::Kind::kCompare:
        return WriteCompare(predicate, alias);
      case Predicate::Kind::kIn:
        return WriteIn(predicate, alias);
      case Predicate::Kind::kLike:
        return WriteLike(predicate, alias);
      case Predicate::Kind::kPrefix:
        return WritePrefix(predicate, alias);
    }
  }

 private:
  // Balanced: SQLite takes chains of a thousand for too deep.
  void WriteList(const Predicate& list, size_t begin, size_t end, std::string_view alias) {
    constexpr size_t kFlatMax = 8;
    const bool conjunction = list.kind == Predicate::Kind::kAnd;
    if (begin == end) {
      sql_ << (conjunction ? "TRUE" : "FALSE");
      return;
    }
    if (end - begin == 1) return Write(list.children[begin], alias);
    const char* const word = conjunction ? " AND " : " OR ";
    sql_ << "(";
    if (end - begin <= kFlatMax) {
      for (size_t i = begin; i < end; ++i) {
        if (i > begin) sql_ << word;
        Write(list.children[i], alias);
      }
    } else {
      const size_t middle = begin + (end - begin) / 2;
      WriteList(list, begin, middle, alias);
      sql_ << word;
      WriteList(list, middle, end, alias);
    }
    sql_ << ")";
  }

  void WriteHas(const RelatedRows& related, std::string_view alias) {
    const std::string inner = NextAlias(alias);
    sql_ << "EXISTS (SELECT 1 FROM " << QuoteTable(related.table, dialect_) << " AS " << inner << " WHERE ";
    for (const auto& [ours, theirs] : related.join) {
      // Their side is what an index is looked up by.
      sql_ << ForEquality(theirs, inner, dialect_) << " = " << ForEquality(ours, alias, dialect_) << " AND ";
    }
    Write(related.predicate, inner);
    sql_ << ")";
  }

  void WriteCompare(const Predicate& predicate, std::string_view alias) {
    const ColumnUse& column = predicate.column;
    if (predicate.other.has_value()) {
      // Two columns may have two collations, of which PostgreSQL would not choose one.
      const bool by_bytes = dialect_ == Dialect::kSqlite && column.byte_order && predicate.other->byte_order;
      sql_ << "(" << Expression(column, alias, dialect_, by_bytes) << " " << SqlOf(predicate.op) << " "
           << Expression(*predicate.other, alias, dialect_, by_bytes) << ")";
      return;
    }
    sql_ << "("
         << (IsEquality(predicate.op) ? ForEquality(column, alias, dialect_) : OrderedColumn(column, alias, dialect_))
         << " " << SqlOf(predicate.op) << " ";
    Bind(column, predicate.values[0]);
    sql_ << ")";
  }

  void WriteIn(const Predicate& predicate, std::string_view alias) {
    const ColumnUse& column = predicate.column;
    sql_ << "(" << ForEquality(column, alias, dialect_);
    if (dialect_ == Dialect::kPostgres) {
      std::vector<Value> values;
      for (const Value& value : predicate.values) values.push_back(Unpadded(column, value, dialect_));
      ColumnType type = column.type;
      type.array = true;
      sql_ << " = ANY(";
      sql_.Bind(Value::Array(std::move(values)), std::move(type));
      sql_ << "))";
      return;
    }
    sql_ << " IN (";
    const size_t size = PaddedSize(predicate.values.size());
    for (size_t i = 0; i < size; ++i) {
      if (i > 0) sql_ << ", ";
      Bind(column, predicate.values[std::min(i, predicate.values.size() - 1)]);
    }
    sql_ << "))";
  }

  void WriteLike(const Predicate& predicate, std::string_view alias) {
    const ColumnUse& column = predicate.column;
    if (dialect_ == Dialect::kSqlite) {
      sql_ << "quarry_like(";
      Bind(column, predicate.values[0]);
      sql_ << ", " << Plain(column, alias) << ")";
      return;
    }
    sql_ << "(" << Expression(column, alias, dialect_, column.byte_order && column.byte_equality) << " LIKE ";
    sql_.Bind(predicate.values[0], column.type);
    sql_ << ")";
  }

  // The texts from the prefix to before the next text that does not begin with it: what an index by bytes can find.
  void WritePrefix(const Predicate& predicate, std::string_view alias) {
    const ColumnUse& column = predicate.column;
    const std::string name = Expression(column, alias, dialect_, column.byte_order && column.byte_equality);
    const std::string& prefix = predicate.values[0].text();
    sql_ << "(" << name << " >= ";
    sql_.Bind(predicate.values[0], column.type);
    if (std::optional<std::string> end = AfterPrefix(prefix); end.has_value()) {
      sql_ << " AND " << name << " < ";
      sql_.Bind(Value::Text(*std::move(end)), column.type);
    }
    sql_ << ")";
  }

  void Bind(const ColumnUse& column, const Value& value) { sql_.Bind(Unpadded(column, value, dialect_), column.type); }

  SqlText& sql_;
  const Dialect dialect_;
};

}  // namespace

SqlText& SqlText::Bind(Value value, ColumnType type) {
  params_.push_back(std::move(value));
  param_types_.push_back(std::move(type));
  absl::StrAppend(&text_, dialect_ == Dialect::kPostgres ? "$" : "?", params_.size());
  return *this;
}

Statement SqlText::Take() && {
  Statement statement;
  statement.sql = std::make_shared<const std::string>(std::move(text_));
  statement.params = std::move(params_);
  statement.param_types = std::make_shared<const std::vector<ColumnType>>(std::move(param_types_));
  return statement;
}

void WritePredicate(const Predicate& predicate, std::string_view alias, SqlText& sql) {
  PredicateWriter(sql).Write(predicate, alias);
}

std::string OrderedColumn(const ColumnUse& column, std::string_view alias, Dialect dialect) {
  return Expression(column, alias, dialect, column.byte_order);
}

}  // namespace quarry
