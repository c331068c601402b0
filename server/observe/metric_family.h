// What every collector of this folder makes its families with.
#pragma once

#include "prometheus/metric_family.h"

namespace quarry {

inline prometheus::MetricFamily MakeFamily(const char* name, const char* help, prometheus::MetricType type) {
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  return family;
}

}  // namespace quarry
