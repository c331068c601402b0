#include "tests/fuzz/config/config_entry.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/config/config.h"

namespace quarry {

void FuzzConfig(std::string_view bytes) {
  ConfigOptions options;
  options.environment = {{"X", "value"}, {"N", "7"}};
  options.read_file = [](const std::string&, size_t) { return std::string("file\n"); };
  const absl::StatusOr<Config> config = ParseConfig(bytes, "fuzz.yaml", options);
  if (!config.ok()) return;
  const std::string printed = PrintConfig(*config);
  const absl::StatusOr<Config> again = ParseConfig(printed, "printed.yaml", options);
  if (again.ok() && PrintConfig(*again) == printed) return;
  std::fprintf(stderr, "printed as:\n%s\nread again: %s\n", printed.c_str(), again.status().ToString().c_str());
  std::abort();
}

}  // namespace quarry
