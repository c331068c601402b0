// Where in a request something is wrong, collected so that a caller learns of everything at once.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/base/error.h"

namespace quarry {

// A place in a request: "mutations[3].record.price". A chain on the stack that becomes text only when it is asked for.
class FieldPath {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): a name is a path.
  FieldPath(const char* name) : name_(name) {}
  FieldPath(const FieldPath& parent, std::string_view name) : parent_(&parent), name_(name) {}
  FieldPath(const FieldPath& parent, size_t index) : parent_(&parent), index_(index), indexed_(true) {}
  std::string ToString() const;

 private:
  const FieldPath* parent_ = nullptr;  // Outlives this.
  std::string_view name_;              // "" at the root of a request.
  size_t index_ = 0;
  bool indexed_ = false;
};

class Violations {
 public:
  void Add(const FieldPath& path, std::string_view description);
  bool empty() const { return list_.empty(); }
  // OK when there are none.
  absl::Status ToStatus() const;

 private:
  std::vector<FieldViolation> list_;
  size_t left_out_ = 0;
};

}  // namespace quarry
