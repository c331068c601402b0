// Every interleaving of one commit and of recoveries beside it, for small sizes: depth first over all orders in which
// messages arrive, answers are lost, sessions break and the coordinator dies. In each state that is reached, also what a
// crash of everybody just then leaves behind is recovered and judged.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace quarry::sim {

struct Scope {
  int participants = 2;      // Writers, 2 or 3.
  int recoveries = 1;        // At most 2; each starts at any time at which there is something to find.
  int answers_lost = 1;      // Requests of anyone whose answer is given up; what was sent may still arrive.
  int sessions_broken = 1;   // Before the coordinator dies; afterwards all break, each at any time.
  bool coordinator_dies = true;
  bool reader = false;       // One participant more that wrote nothing.
};

struct Explored {
  int64_t states = 0;      // Distinct.
  int64_t commits = 0;     // States with the decision to commit.
  int64_t aborts = 0;
  int64_t late_decisions = 0;  // A coordinator's decision that met recovery's abort.
  int64_t late_prepares = 0;   // A branch prepared after it was rolled back.
  std::string broken;          // What was broken, with the steps that led there; "" when nothing was.
};

Explored Explore(const Scope& scope);

}  // namespace quarry::sim
