#include "tests/support/history/lists.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace quarry::history {
namespace {

constexpr int kFindingsMax = 20;

std::string Text(const List& list) { return absl::StrCat("[", absl::StrJoin(list, " "), "]"); }

bool IsBeginning(const List& list, const List& of) {
  return list.size() <= of.size() && std::equal(list.begin(), list.end(), of.begin());
}

std::string Who(const History& history, int reader) {
  return reader < 0 ? "the list at the end" : Describe(history, reader);
}

std::vector<int> Those(int a, int b) {
  std::vector<int> those;
  for (const int one : {a, b}) {
    if (one >= 0) those.push_back(one);
  }
  return those;
}

}  // namespace

void Findings::Add(Anomaly anomaly, std::vector<int> transactions, std::string explanation) {
  if (Full(anomaly)) return;
  ++counts_[anomaly];
  findings_.push_back({anomaly, std::move(transactions), absl::StrCat(NameOf(anomaly), ": ", explanation)});
}

bool Findings::Full(Anomaly anomaly) const {
  const auto found = counts_.find(anomaly);
  return found != counts_.end() && found->second >= kFindingsMax;
}

std::string Describe(const History& history, int transaction) {
  static const char* const kOutcomes[] = {"committed", "aborted", "unknown"};
  const Transaction& told = history.transactions[static_cast<size_t>(transaction)];
  std::vector<std::string> operations;
  for (const Operation& operation : told.operations) {
    operations.push_back(operation.kind == Operation::Kind::kAppend
                             ? absl::StrCat("append ", operation.key, " ", operation.value)
                             : absl::StrCat("read ", operation.key, " -> ", Text(operation.list)));
  }
  return absl::StrCat("T", transaction, " [process ", told.process, ", ", kOutcomes[static_cast<size_t>(told.outcome)], ", ",
                      told.invoked, "..", told.completed, "] ", absl::StrJoin(operations, ", "));
}

Lists::Lists(const History& history, Findings& findings) : history_(history), findings_(findings) {
  CollectWrites();
  CollectOrders();
  CollectClean();
  for (size_t at = 0; at < history_.transactions.size(); ++at) {
    const int transaction = static_cast<int>(at);
    if (!Counts(transaction)) continue;
    for (const Operation& operation : history_.transactions[at].operations) {
      if (operation.kind == Operation::Kind::kRead) CheckList(operation.key, operation.list, transaction);
    }
    CheckOwnWrites(transaction);
  }
  CheckFinal();
}

void Lists::CollectWrites() {
  for (size_t at = 0; at < history_.transactions.size(); ++at) {
    std::map<int64_t, Write*> last;
    for (const Operation& operation : history_.transactions[at].operations) {
      if (operation.kind != Operation::Kind::kAppend) continue;
      Write& write = writes_[{operation.key, operation.value}];
      write = {static_cast<int>(at), true};
      Write*& before = last[operation.key];
      if (before != nullptr) before->last = false;
      before = &write;
    }
  }
}

// The longest list that a transaction that counts has read, or what is there at the end. Whoever lost out to it is a fork.
void Lists::CollectOrders() {
  const auto take = [this](int64_t key, const List& list) {
    List& order = orders_[key];
    if (IsBeginning(list, order)) return;
    if (list.size() > order.size()) order = list;
    seen_values_[key].insert(list.begin(), list.end());
    for (const int64_t value : list) {
      if (const Write* write = FindWrite(key, value); write != nullptr) seen_.insert(write->transaction);
    }
  };
  for (const auto& [key, list] : history_.final_lists) take(key, list);
  // Seen values make an unknown transaction count, and then its reads count as well.
  std::set<int> taken;
  for (size_t before = SIZE_MAX; before != taken.size();) {
    before = taken.size();
    for (size_t at = 0; at < history_.transactions.size(); ++at) {
      const int transaction = static_cast<int>(at);
      if (!Counts(transaction) || !taken.insert(transaction).second) continue;
      for (const Operation& operation : history_.transactions[at].operations) {
        if (operation.kind == Operation::Kind::kRead) take(operation.key, operation.list);
      }
    }
  }
}

void Lists::CollectClean() {
  for (const auto& [key, order] : orders_) {
    const bool clean = std::set<int64_t>(order.begin(), order.end()).size() == order.size() &&
                       std::all_of(order.begin(), order.end(), [this, key = key](int64_t value) {
                         const int writer = Writer(key, value);
                         return writer >= 0 && Counts(writer);
                       });
    if (clean) clean_.insert(key);
  }
}

bool Lists::Counts(int transaction) const {
  const Outcome outcome = history_.transactions[static_cast<size_t>(transaction)].outcome;
  return outcome == Outcome::kCommitted || (outcome == Outcome::kUnknown && seen_.count(transaction) > 0);
}

const List& Lists::Order(int64_t key) const {
  static const List kNone;
  const auto found = orders_.find(key);
  return found == orders_.end() ? kNone : found->second;
}

const Lists::Write* Lists::FindWrite(int64_t key, int64_t value) const {
  const auto found = writes_.find({key, value});
  return found == writes_.end() ? nullptr : &found->second;
}

int Lists::Writer(int64_t key, int64_t value) const {
  const Write* write = FindWrite(key, value);
  return write == nullptr ? -1 : write->transaction;
}

std::vector<std::pair<int, int64_t>> Lists::Unseen(int64_t key) const {
  std::vector<std::pair<int, int64_t>> unseen;
  // What is not there at the end is lost, and comes after nothing.
  if (history_.final_lists.count(key) > 0) return unseen;
  const auto seen = seen_values_.find(key);
  for (auto at = writes_.lower_bound({key, INT64_MIN}); at != writes_.end() && at->first.first == key; ++at) {
    const int64_t value = at->first.second;
    if (!Counts(at->second.transaction)) continue;
    if (seen == seen_values_.end() || seen->second.count(value) == 0) unseen.emplace_back(at->second.transaction, value);
  }
  return unseen;
}

std::vector<int64_t> Lists::keys() const {
  std::set<int64_t> keys;
  for (const auto& [key, order] : orders_) keys.insert(key);
  for (const auto& [place, write] : writes_) keys.insert(place.first);
  return {keys.begin(), keys.end()};
}

bool Lists::IsSound(const Operation& read, int reader) const {
  return IsBeginning(read.list, Order(read.key)) && Unfinished(read.key, read.list, reader) == nullptr;
}

const Lists::Write* Lists::Unfinished(int64_t key, const List& list, int reader) const {
  const Write* write = list.empty() ? nullptr : FindWrite(key, list.back());
  return write == nullptr || write->last || write->transaction == reader ? nullptr : write;
}

// `reader`: -1 for what is there at the end.
void Lists::CheckList(int64_t key, const List& list, int reader) {
  // Nearly all reads are beginnings of the same list, which is looked at once.
  const bool known = clean_.count(key) > 0 && IsBeginning(list, Order(key));
  std::set<int64_t> values;
  for (const int64_t value : known ? List() : list) {
    const Write* write = FindWrite(key, value);
    const int writer = write == nullptr ? -1 : write->transaction;
    if (!values.insert(value).second) {
      findings_.Add(Anomaly::kDuplicateAppend, Those(writer, reader),
                    absl::StrCat(value, " is twice in list ", key, " ", Text(list), "\n  ", Who(history_, reader)));
    }
    if (writer < 0) {
      findings_.Add(Anomaly::kUnknownValue, Those(reader, -1),
                    absl::StrCat(value, " in list ", key, " was appended by nobody\n  ", Who(history_, reader)));
    } else if (history_.transactions[static_cast<size_t>(writer)].outcome == Outcome::kAborted) {
      findings_.Add(Anomaly::kAbortedRead, Those(writer, reader),
                    absl::StrCat(value, " in list ", key, " is of a transaction that was rolled back\n  ",
                                 Who(history_, reader), "\n  ", Describe(history_, writer)));
    }
  }
  if (!IsBeginning(list, Order(key))) {
    findings_.Add(Anomaly::kForkedList, Those(reader, -1),
                  absl::StrCat("list ", key, " was read as ", Text(list), " and as ", Text(Order(key)), "\n  ",
                               Who(history_, reader)));
  }
  if (const Write* write = Unfinished(key, list, reader); write != nullptr) {
    findings_.Add(Anomaly::kIntermediateRead, Those(write->transaction, reader),
                  absl::StrCat("list ", key, " ", Text(list), " ends before the last append of its writer\n  ",
                               Who(history_, reader), "\n  ", Describe(history_, write->transaction)));
  }
}

// A read ends with what its own transaction has appended since it first read the list.
void Lists::CheckOwnWrites(int transaction) {
  std::map<int64_t, List> own;
  for (const Operation& operation : history_.transactions[static_cast<size_t>(transaction)].operations) {
    if (operation.kind == Operation::Kind::kAppend) {
      own[operation.key].push_back(operation.value);
      continue;
    }
    const List& list = operation.list;
    const List& appended = own[operation.key];
    if (appended.size() <= list.size() && std::equal(appended.rbegin(), appended.rend(), list.rbegin())) continue;
    findings_.Add(Anomaly::kOwnWriteUnseen, {transaction},
                  absl::StrCat("list ", operation.key, " ", Text(list), " does not end with its own ", Text(appended), "\n  ",
                               Describe(history_, transaction)));
  }
}

void Lists::CheckFinal() {
  for (const auto& [key, list] : history_.final_lists) CheckList(key, list, -1);
  for (const auto& [place, write] : writes_) {
    const auto list = history_.final_lists.find(place.first);
    if (list == history_.final_lists.end()) continue;
    if (history_.transactions[static_cast<size_t>(write.transaction)].outcome != Outcome::kCommitted) continue;
    if (std::find(list->second.begin(), list->second.end(), place.second) != list->second.end()) continue;
    findings_.Add(Anomaly::kMissingAppend, {write.transaction},
                  absl::StrCat(place.second, " is not in list ", place.first, " at the end, ", Text(list->second), "\n  ",
                               Describe(history_, write.transaction)));
  }
}

}  // namespace quarry::history
