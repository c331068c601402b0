// What clients saw of lists that transactions append to, as they wrote it down: the input of the checker. Plain data.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace quarry::history {

using List = std::vector<int64_t>;

// Appends a value that no other operation of the history appends to this list, or reads a whole list.
struct Operation {
  enum class Kind { kAppend, kRead };
  Kind kind = Kind::kRead;
  int64_t key = 0;
  int64_t value = 0;  // Of an append.
  List list = {};     // What a read saw.
};
inline Operation Append(int64_t key, int64_t value) { return {Operation::Kind::kAppend, key, value, {}}; }
inline Operation Read(int64_t key, List list) { return {Operation::Kind::kRead, key, 0, std::move(list)}; }

enum class Outcome {
  kCommitted,
  kAborted,
  kUnknown,  // Nobody was told: it may have committed, or may do so at any later time.
};

struct Transaction {
  int process = 0;  // Whoever ran it, one after the other.
  int64_t invoked = 0;    // When its first call was sent, on one clock for all processes.
  int64_t completed = 0;  // When the answer to its last call was there.
  std::vector<Operation> operations;  // In their order.
  Outcome outcome = Outcome::kCommitted;
};

struct History {
  std::vector<Transaction> transactions;
  // Lists as they are after the last transaction, of all keys or of some; what is here is complete.
  std::map<int64_t, List> final_lists;
};

// "T7 [process 2, committed, 10..25] read 1 -> [4 5], append 1 6", for people.
std::string Describe(const History& history, int transaction);

}  // namespace quarry::history
