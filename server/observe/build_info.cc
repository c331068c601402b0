#include "server/observe/build_info.h"

#include "prometheus/gauge.h"

namespace quarry {

std::shared_ptr<prometheus::Registry> MakeRegistry(const std::string& version, const std::string& deployment) {
  auto registry = std::make_shared<prometheus::Registry>();
  prometheus::BuildGauge()
      .Name("quarry_build_info")
      .Help("The version that runs and its deployment; always 1.")
      .Register(*registry)
      .Add({{"version", version}, {"deployment", deployment}, {"compiler", __VERSION__}})
      .Set(1);
  return registry;
}

}  // namespace quarry
