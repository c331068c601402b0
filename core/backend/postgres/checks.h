// What a step's conditions ask of its transaction.
#pragma once

#include "core/model/statement.h"

namespace quarry::postgres {

// True when a failed check of this step leaves something to undo.
bool NeedsUndo(const Step& step);

}  // namespace quarry::postgres
