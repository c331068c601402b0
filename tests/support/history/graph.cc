#include "tests/support/history/graph.h"

#include <algorithm>
#include <deque>

namespace quarry::history {

int Graph::AddNode() {
  out_.emplace_back();
  return nodes() - 1;
}

void Graph::AddEdge(const Edge& edge) {
  if (edge.from != edge.to) out_[static_cast<size_t>(edge.from)].push_back(edge);
}

namespace {

// A search that keeps its stack on the heap: a chain of real time is as long as the history.
class Tarjan {
 public:
  Tarjan(const Graph& graph, EdgeKinds kinds)
      : graph_(graph), kinds_(kinds), index_(Size(), -1), low_(Size(), 0), component_(Size(), -1) {}

  std::vector<int> Run() {
    for (int node = 0; node < graph_.nodes(); ++node) {
      if (index_[At(node)] < 0) Search(node);
    }
    return std::move(component_);
  }

 private:
  struct Visit {
    int node;
    size_t next_edge;
  };
  static size_t At(int node) { return static_cast<size_t>(node); }
  size_t Size() const { return static_cast<size_t>(graph_.nodes()); }

  void Enter(int node) {
    index_[At(node)] = low_[At(node)] = next_index_++;
    open_.push_back(node);
    visits_.push_back({node, 0});
  }
  void Search(int root) {
    Enter(root);
    while (!visits_.empty()) {
      Visit& visit = visits_.back();
      const int node = visit.node;
      const std::vector<Edge>& out = graph_.out(node);
      if (visit.next_edge < out.size()) {
        const Edge& edge = out[visit.next_edge++];
        if ((edge.kind & kinds_) == 0) continue;
        if (index_[At(edge.to)] < 0) {
          Enter(edge.to);
        } else if (component_[At(edge.to)] < 0) {
          low_[At(node)] = std::min(low_[At(node)], index_[At(edge.to)]);
        }
        continue;
      }
      visits_.pop_back();
      if (!visits_.empty()) {
        int& above = low_[At(visits_.back().node)];
        above = std::min(above, low_[At(node)]);
      }
      if (low_[At(node)] == index_[At(node)]) Close(node);
    }
  }
  void Close(int root) {
    for (int node = -1; node != root; open_.pop_back()) {
      node = open_.back();
      component_[At(node)] = components_;
    }
    ++components_;
  }

  const Graph& graph_;
  const EdgeKinds kinds_;
  std::vector<int> index_;
  std::vector<int> low_;
  std::vector<int> component_;
  std::vector<int> open_;
  std::vector<Visit> visits_;
  int next_index_ = 0;
  int components_ = 0;
};

}  // namespace

std::vector<int> Graph::Components(EdgeKinds kinds) const { return Tarjan(*this, kinds).Run(); }

std::vector<Edge> Graph::Path(int from, int to, EdgeKinds kinds) const {
  std::vector<const Edge*> by(out_.size(), nullptr);
  std::deque<int> open = {from};
  while (!open.empty() && by[static_cast<size_t>(to)] == nullptr) {
    const int node = open.front();
    open.pop_front();
    for (const Edge& edge : out(node)) {
      if ((edge.kind & kinds) == 0 || edge.to == from || by[static_cast<size_t>(edge.to)] != nullptr) continue;
      by[static_cast<size_t>(edge.to)] = &edge;
      open.push_back(edge.to);
    }
  }
  std::vector<Edge> path;
  for (int node = to; node != from; node = path.back().from) {
    if (by[static_cast<size_t>(node)] == nullptr) return {};
    path.push_back(*by[static_cast<size_t>(node)]);
  }
  std::reverse(path.begin(), path.end());
  return path;
}

}  // namespace quarry::history
