// Layouts of a small schema (MakeSmallSchema) that are chosen by its rows, so that a test knows which shard has which share. Pure.
#pragma once

#include <string>
#include <vector>

#include "tests/differential/schema.h"

namespace quarry::differential {

// The placements that SharedOut knows.
inline constexpr const char* kShareablePlacements[] = {"hash", "range", "lookup", "consistent_hash", "geo"};

// Schema::yaml with a resolver of the placement that gives each of `owners` one share of what it divides: of the keys of the rows, in
// order, where it places keys, else of its buckets or remainders. A shard may own several shares.
std::string SharedOut(const Schema& schema, const std::string& placement, const std::vector<int>& owners);

}  // namespace quarry::differential
