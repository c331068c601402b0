#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/plan/lowering.h"
#include "core/plan/plan_query.h"

namespace quarry {
namespace {

std::string PlainColumn(const ColumnUse& use, std::string_view alias) {
  return alias.empty() ? QuoteIdentifier(use.name) : absl::StrCat(std::string(alias), ".", QuoteIdentifier(use.name));
}

class Keyset {
 public:
  Keyset(const std::vector<SortColumn>& order, const Row& position, bool inclusive, std::string_view alias, SqlText& sql)
      : order_(order), position_(position), inclusive_(inclusive), alias_(alias), sql_(sql) {}

  void Write() {
    if (OneDirection()) {
      WriteRows();
    } else {
      // Of use to an index, which makes little of the rest.
      const SortColumn& first = order_.front();
      if (order_.size() > 1 && !first.use.nullable && !position_.front().is_null()) {
        WriteCompare(0, first.descending ? " <= " : " >= ");
        sql_ << " AND ";
      }
      WriteFrom(0);
    }
  }

 private:
  // Then rows compare as whole values, which a database answers from an index.
  bool OneDirection() const {
    return order_.size() > 1 && std::all_of(order_.begin(), order_.end(), [this](const SortColumn& term) {
             return !term.use.nullable && term.descending == order_.front().descending;
           });
  }
  void WriteRows() {
    sql_ << "(";
    for (size_t i = 0; i < order_.size(); ++i) {
      sql_ << (i == 0 ? "" : ", ") << OrderedColumn(order_[i].use, alias_, sql_.dialect());
    }
    sql_ << (order_.front().descending ? ") <" : ") >") << (inclusive_ ? "= (" : " (");
    for (size_t i = 0; i < order_.size(); ++i) {
      sql_ << (i == 0 ? "" : ", ");
      sql_.Bind(position_[i], order_[i].use.type);
    }
    sql_ << ")";
  }
  void WriteCompare(size_t i, std::string_view comparison) {
    sql_ << OrderedColumn(order_[i].use, alias_, sql_.dialect()) << comparison;
    sql_.Bind(position_[i], order_[i].use.type);
  }
  // Rows whose first terms equal the position's come after it by term `i` and those that follow.
  void WriteFrom(size_t i) {
    const bool last = i + 1 == order_.size();
    sql_ << "(";
    WriteBeyond(i);
    if (!last || inclusive_) {
      sql_ << " OR (";
      WriteEqual(i);
      if (!last) {
        sql_ << " AND ";
        WriteFrom(i + 1);
      }
      sql_ << ")";
    }
    sql_ << ")";
  }
  void WriteBeyond(size_t i) {
    const SortColumn& term = order_[i];
    const std::string plain = PlainColumn(term.use, alias_);
    if (position_[i].is_null()) {
      sql_ << (term.nulls_first ? plain + " IS NOT NULL" : "1 = 0");
      return;
    }
    const bool nulls_follow = term.use.nullable && !term.nulls_first;
    if (nulls_follow) sql_ << "(";
    WriteCompare(i, term.descending ? " < " : " > ");
    if (nulls_follow) sql_ << " OR " << plain << " IS NULL)";
  }
  void WriteEqual(size_t i) {
    if (position_[i].is_null()) {
      sql_ << PlainColumn(order_[i].use, alias_) << " IS NULL";
    } else {
      WriteCompare(i, " = ");
    }
  }

  const std::vector<SortColumn>& order_;
  const Row& position_;
  const bool inclusive_;
  const std::string_view alias_;
  SqlText& sql_;
};

}  // namespace

void WriteAfter(const std::vector<SortColumn>& order, const Row& position, bool inclusive, std::string_view alias,
                SqlText& sql) {
  Keyset(order, position, inclusive, alias, sql).Write();
}

void WriteOrder(const std::vector<SortColumn>& order, std::string_view alias, SqlText& sql) {
  for (size_t i = 0; i < order.size(); ++i) {
    const SortColumn& term = order[i];
    sql << (i == 0 ? "" : ", ") << OrderedColumn(term.use, alias, sql.dialect()) << (term.descending ? " DESC" : "");
    if (!term.use.nullable) continue;
    // PostgreSQL takes NULL for the greatest value, SQLite for the least.
    const bool first_of_itself = term.descending == (sql.dialect() == Dialect::kPostgres);
    if (first_of_itself != term.nulls_first) sql << (term.nulls_first ? " NULLS FIRST" : " NULLS LAST");
  }
}

}  // namespace quarry
