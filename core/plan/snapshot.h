// Everything that a plan depends on, of one epoch: swapped whole on a reload, never changed.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/catalog/catalog.h"
#include "core/routing/resolver.h"
#include "core/topology/topology.h"

namespace quarry {

struct Snapshot {
  std::string deployment;
  Topology topology;
  Catalog catalog;
  // Not yet known: no shard has answered since start. Data calls then fail with CATALOG_NOT_READY.
  bool catalog_ready = false;
  std::string catalog_problem;  // Why it is not ready, for people.
  std::map<std::string, std::shared_ptr<const Resolver>, std::less<>> resolvers;  // By name.
};

}  // namespace quarry
