// A comparison as SQL writes it. Stateless.
#pragma once

#include "core/model/condition.h"

namespace quarry {

// "=", "<>", ">=" and so on.
const char* SqlOf(CompareOp op);

}  // namespace quarry
