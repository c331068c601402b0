// Which transaction must come before which, and why. One thread. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace quarry::history {

enum EdgeKind : uint32_t {
  kWriteWrite = 1,  // `to` appended right after `from`, to the same list.
  kWriteRead = 2,   // `to` read a list whose last value is of `from`.
  kReadWrite = 4,   // `from` read a list just before `to` appended to it.
  kRealTime = 8,    // `from` had its answer before `to` began.
};
using EdgeKinds = uint32_t;

struct Edge {
  int from = 0;
  int to = 0;
  EdgeKind kind = kWriteWrite;
  int64_t key = 0;    // Not for kRealTime.
  int64_t value = 0;  // What was appended: by `to`, for kWriteRead by `from`.
};

class Graph {
 public:
  explicit Graph(int nodes) : out_(static_cast<size_t>(nodes)) {}

  int AddNode();
  // An edge of a node to itself says nothing and is left out.
  void AddEdge(const Edge& edge);
  int nodes() const { return static_cast<int>(out_.size()); }
  const std::vector<Edge>& out(int node) const { return out_[static_cast<size_t>(node)]; }

  // The number of its strongly connected component for each node, over edges of these kinds (Tarjan, "Depth-first search
  // and linear graph algorithms", 1972).
  std::vector<int> Components(EdgeKinds kinds) const;
  // A shortest path over edges of these kinds; empty when there is none.
  std::vector<Edge> Path(int from, int to, EdgeKinds kinds) const;

 private:
  std::vector<std::vector<Edge>> out_;
};

}  // namespace quarry::history
