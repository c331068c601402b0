#include "tests/support/history/cycles.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/history/graph.h"

namespace quarry::history {
namespace {

constexpr EdgeKinds kWrites = kWriteWrite;
constexpr EdgeKinds kInformation = kWriteWrite | kWriteRead;
constexpr EdgeKinds kAll = kWriteWrite | kWriteRead | kReadWrite;

size_t At(int node) { return static_cast<size_t>(node); }

class Cycles {
 public:
  Cycles(const Lists& lists, const CheckOptions& options, Findings& findings)
      : lists_(lists),
        transactions_(lists.history().transactions),
        options_(options),
        findings_(findings),
        graph_(static_cast<int>(transactions_.size())) {}

  void Run() {
    for (const int64_t key : lists_.keys()) AddWrites(key);
    for (size_t at = 0; at < transactions_.size(); ++at) AddReads(static_cast<int>(at));
    FindWithin(kWrites, kWriteWrite, Anomaly::kWriteCycle);
    FindWithin(kInformation, kWriteRead, Anomaly::kCircularInformation);
    if (options_.level != Level::kReadCommitted) {
      FindLostUpdates();
      FindSkew(kInformation, Anomaly::kReadSkew);
    }
    if (options_.level == Level::kSerializable) FindSkew(kAll, Anomaly::kWriteSkew);
    if (!options_.real_time) return;
    AddRealTime();
    FindWithin(kInformation | kRealTime, kRealTime, Anomaly::kRealTimeViolation);
    // A read of what was outdated before it began, at any level.
    FindSkew(kInformation | kRealTime, Anomaly::kRealTimeViolation);
    if (options_.level == Level::kSerializable) FindSkew(kAll | kRealTime, Anomaly::kRealTimeViolation);
  }

 private:
  // The order of a list, and after it what nobody has seen yet.
  void AddWrites(int64_t key) {
    int before = -1;
    for (const int64_t value : lists_.Order(key)) {
      const int writer = lists_.Writer(key, value);
      if (writer < 0 || !lists_.Counts(writer)) continue;
      if (before >= 0) graph_.AddEdge({before, writer, kWriteWrite, key, value});
      before = writer;
    }
    if (before < 0) return;
    for (const auto& [writer, value] : lists_.Unseen(key)) graph_.AddEdge({before, writer, kWriteWrite, key, value});
  }

  void AddReads(int reader) {
    if (!lists_.Counts(reader)) return;
    for (const Operation& read : transactions_[At(reader)].operations) {
      if (read.kind != Operation::Kind::kRead || !lists_.IsSound(read, reader)) continue;
      if (!read.list.empty()) {
        const int writer = lists_.Writer(read.key, read.list.back());
        if (writer >= 0 && lists_.Counts(writer)) {
          graph_.AddEdge({writer, reader, kWriteRead, read.key, read.list.back()});
        }
      }
      AddNext(reader, read);
    }
  }
  // Whoever appended next to what was read.
  void AddNext(int reader, const Operation& read) {
    const List& order = lists_.Order(read.key);
    for (size_t next = read.list.size(); next < order.size(); ++next) {
      const int writer = lists_.Writer(read.key, order[next]);
      if (writer < 0 || !lists_.Counts(writer)) continue;
      graph_.AddEdge({reader, writer, kReadWrite, read.key, order[next]});
      return;
    }
    for (const auto& [writer, value] : lists_.Unseen(read.key)) {
      graph_.AddEdge({reader, writer, kReadWrite, read.key, value});
    }
  }

  // One node for each answer, in a chain: an edge to every later transaction would be a square of them.
  void AddRealTime() {
    struct Event {
      int64_t at;
      bool answer;
      int transaction;
      bool operator<(const Event& other) const {
        return std::make_pair(at, answer) < std::make_pair(other.at, other.answer);
      }
    };
    std::vector<Event> events;
    for (size_t at = 0; at < transactions_.size(); ++at) {
      const int transaction = static_cast<int>(at);
      if (!lists_.Counts(transaction)) continue;
      events.push_back({transactions_[at].invoked, false, transaction});
      if (transactions_[at].outcome == Outcome::kCommitted) events.push_back({transactions_[at].completed, true, transaction});
    }
    std::sort(events.begin(), events.end());
    int last = -1;
    for (const Event& event : events) {
      if (!event.answer) {
        if (last >= 0) graph_.AddEdge({last, event.transaction, kRealTime});
        continue;
      }
      const int answer = graph_.AddNode();
      if (last >= 0) graph_.AddEdge({last, answer, kRealTime});
      graph_.AddEdge({event.transaction, answer, kRealTime});
      last = answer;
    }
  }

  // Cycles of `kinds` through an edge of the kind `through`; one for each component.
  void FindWithin(EdgeKinds kinds, EdgeKind through, Anomaly anomaly) {
    const std::vector<int> components = graph_.Components(kinds);
    std::set<int> reported;
    for (int node = 0; node < graph_.nodes(); ++node) {
      for (const Edge& edge : graph_.out(node)) {
        const int component = components[At(node)];
        if (edge.kind != through || component != components[At(edge.to)] || reported.count(component) > 0) continue;
        reported.insert(component);
        Report(anomaly, edge, graph_.Path(edge.to, node, kinds));
      }
    }
  }

  // Cycles of one read that something else overtook, and `kinds` back to it.
  void FindSkew(EdgeKinds kinds, Anomaly anomaly) {
    const std::vector<int> components = graph_.Components(kinds | kReadWrite);
    for (int node = 0; node < graph_.nodes(); ++node) {
      for (const Edge& edge : graph_.out(node)) {
        if (edge.kind != kReadWrite || components[At(node)] != components[At(edge.to)]) continue;
        if (findings_.Full(anomaly) || found_.count({node, edge.to}) > 0) continue;
        // Without time it has another name, or the level allows it.
        if ((kinds & kRealTime) != 0 && !graph_.Path(edge.to, node, kinds & ~kRealTime).empty()) continue;
        const std::vector<Edge> back = graph_.Path(edge.to, node, kinds);
        if (!back.empty()) Report(anomaly, edge, back);
      }
    }
  }

  // A read of a list that another transaction read as well before both appended to it.
  void FindLostUpdates() {
    std::map<std::pair<int64_t, List>, int> by_read;
    for (size_t at = 0; at < transactions_.size(); ++at) {
      const int transaction = static_cast<int>(at);
      if (!lists_.Counts(transaction)) continue;
      std::map<int64_t, const List*> reads;  // Before its own first append.
      std::set<int64_t> appended;
      for (const Operation& operation : transactions_[at].operations) {
        if (operation.kind == Operation::Kind::kRead) {
          if (appended.count(operation.key) == 0) reads.emplace(operation.key, &operation.list);
          continue;
        }
        const auto read = reads.find(operation.key);
        if (!appended.insert(operation.key).second || read == reads.end()) continue;
        const auto [first, fresh] = by_read.emplace(std::make_pair(operation.key, *read->second), transaction);
        if (!fresh) ReportLostUpdate(operation.key, first->second, transaction);
      }
    }
  }
  void ReportLostUpdate(int64_t key, int first, int second) {
    found_.insert({first, second});
    found_.insert({second, first});
    findings_.Add(Anomaly::kLostUpdate, {first, second},
                  absl::StrCat("both read list ", key, " as it was and appended to it\n  ",
                               Describe(lists_.history(), first), "\n  ", Describe(lists_.history(), second)));
  }

  // `first`, and the way back from its end to its beginning.
  void Report(Anomaly anomaly, const Edge& first, const std::vector<Edge>& back) {
    std::vector<Edge> cycle = {first};
    cycle.insert(cycle.end(), back.begin(), back.end());
    // Time alone makes no cycle, so it can begin at another edge; and between two transactions time is one step.
    const auto begin = std::find_if(cycle.begin(), cycle.end(), [](const Edge& edge) { return edge.kind != kRealTime; });
    std::rotate(cycle.begin(), begin, cycle.end());
    std::vector<int> members;
    std::string steps;
    for (size_t at = 0; at < cycle.size();) {
      Edge step = cycle[at++];
      while (step.kind == kRealTime && at < cycle.size() && cycle[at].kind == kRealTime) step.to = cycle[at++].to;
      if (step.kind == kReadWrite) found_.insert({step.from, step.to});
      members.push_back(step.from);
      absl::StrAppend(&steps, "\n  ", Reason(step));
    }
    std::string who;
    for (const int member : members) absl::StrAppend(&who, "\n  ", Describe(lists_.history(), member));
    findings_.Add(anomaly, members, absl::StrCat("a cycle of ", members.size(), who, "\n  because", steps));
  }

  static std::string Reason(const Edge& edge) {
    const std::string from = absl::StrCat("T", edge.from);
    const std::string to = absl::StrCat("T", edge.to);
    switch (edge.kind) {
      case kWriteWrite:
        return absl::StrCat(from, " -ww-> ", to, ": ", to, " appended ", edge.value, " to list ", edge.key, " after ", from);
      case kWriteRead:
        return absl::StrCat(from, " -wr-> ", to, ": ", to, " read ", edge.value, " in list ", edge.key, ", of ", from);
      case kReadWrite:
        return absl::StrCat(from, " -rw-> ", to, ": ", from, " read list ", edge.key, " before ", to, " appended ",
                            edge.value);
      case kRealTime:
        return absl::StrCat(from, " -rt-> ", to, ": ", from, " had its answer before ", to, " began");
    }
    return "";
  }

  const Lists& lists_;
  const std::vector<Transaction>& transactions_;
  const CheckOptions options_;
  Findings& findings_;
  Graph graph_;
  std::set<std::pair<int, int>> found_;  // Reads that were overtaken and are reported, with who overtook them.
};

}  // namespace

void FindCycles(const Lists& lists, const CheckOptions& options, Findings& findings) {
  Cycles(lists, options, findings).Run();
}

}  // namespace quarry::history
