// What tests over worlds are called: "postgres", "mixed_hash".
#pragma once

#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/differential/world.h"

namespace quarry::differential {

inline std::string BackendsName(const testing::TestParamInfo<Backends>& info) {
  static const char* const kNames[] = {"sqlite", "postgres", "mixed"};
  return kNames[static_cast<size_t>(info.param)];
}

inline std::string PlacementName(const testing::TestParamInfo<std::tuple<Backends, const char*>>& info) {
  return absl::StrCat(BackendsName({std::get<0>(info.param), 0}), "_", std::get<1>(info.param));
}

}  // namespace quarry::differential
