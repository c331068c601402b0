// Early return on error for functions and for coroutines. A file that uses them includes absl's StatusOr itself.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define QUARRY_CONCAT_INNER_(a, b) a##b
#define QUARRY_CONCAT_(a, b) QUARRY_CONCAT_INNER_(a, b)

#define QUARRY_RETURN_IF_ERROR(expr) QUARRY_RETURN_IF_ERROR_WITH_(return, expr)
#define QUARRY_CO_RETURN_IF_ERROR(expr) QUARRY_RETURN_IF_ERROR_WITH_(co_return, expr)
#define QUARRY_RETURN_IF_ERROR_WITH_(return_word, expr)               \
  do {                                                                \
    if (absl::Status quarry_status = (expr); !quarry_status.ok()) {   \
      return_word quarry_status;                                      \
    }                                                                 \
  } while (false)

#define QUARRY_ASSIGN_OR_RETURN(lhs, expr) \
  QUARRY_ASSIGN_OR_RETURN_WITH_(return, QUARRY_CONCAT_(quarry_or_, __LINE__), lhs, expr)
#define QUARRY_CO_ASSIGN_OR_RETURN(lhs, expr) \
  QUARRY_ASSIGN_OR_RETURN_WITH_(co_return, QUARRY_CONCAT_(quarry_or_, __LINE__), lhs, expr)
#define QUARRY_ASSIGN_OR_RETURN_WITH_(return_word, var, lhs, expr) \
  auto var = (expr);                                               \
  if (!var.ok()) return_word std::move(var).status();              \
  lhs = *std::move(var)
