// The versions of each list, in their order, and what is wrong with single reads of them. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "tests/support/history/checker.h"
#include "tests/support/history/history.h"

namespace quarry::history {

// Collects findings, up to a bound for each kind.
class Findings {
 public:
  void Add(Anomaly anomaly, std::vector<int> transactions, std::string explanation);
  bool Full(Anomaly anomaly) const;
  std::vector<Finding> Take() { return std::move(findings_); }

 private:
  std::map<Anomaly, int> counts_;
  std::vector<Finding> findings_;
};

class Lists {
 public:
  // `history` outlives it. Reports everything that is no cycle.
  Lists(const History& history, Findings& findings);

  const History& history() const { return history_; }
  // Committed, or unknown and seen.
  bool Counts(int transaction) const;
  // The values of a list from first to last, as the longest read shows it.
  const List& Order(int64_t key) const;
  // Who appended a value; -1: nobody.
  int Writer(int64_t key, int64_t value) const;
  // Appends of transactions that count which nobody has seen: they come after the known ones, in any order.
  std::vector<std::pair<int, int64_t>> Unseen(int64_t key) const;
  std::vector<int64_t> keys() const;
  // Not forked, and not in the midst of another's appends: what is reported here says nothing about the order.
  bool IsSound(const Operation& read, int reader) const;

 private:
  struct Write {
    int transaction = -1;
    bool last = false;  // Of this transaction's appends to this list.
  };

  const Write* FindWrite(int64_t key, int64_t value) const;
  void CollectWrites();
  void CollectOrders();
  void CollectClean();
  void CheckList(int64_t key, const List& list, int reader);
  void CheckOwnWrites(int transaction);
  void CheckFinal();
  // Of the last value of the list, unless that is the last append of its writer, or the reader's own; else null.
  const Write* Unfinished(int64_t key, const List& list, int reader) const;

  const History& history_;
  Findings& findings_;
  std::map<std::pair<int64_t, int64_t>, Write> writes_;  // By key and value.
  std::map<int64_t, List> orders_;
  std::set<int64_t> clean_;                               // Keys whose order has nothing wrong in it.
  std::set<int> seen_;                                    // Transactions whose values were read.
  std::map<int64_t, std::set<int64_t>> seen_values_;      // By key.
};

}  // namespace quarry::history
