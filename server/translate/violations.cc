#include "server/translate/violations.h"

#include "absl/strings/str_cat.h"

namespace quarry {
namespace {
// More do not fit into a reply's headers.
constexpr size_t kListedMax = 20;
}  // namespace

std::string FieldPath::ToString() const {
  std::string text = parent_ != nullptr ? parent_->ToString() : "";
  if (indexed_) {
    absl::StrAppend(&text, "[", index_, "]");
  } else {
    absl::StrAppend(&text, text.empty() || name_.empty() ? "" : ".", std::string(name_));
  }
  return text;
}

void Violations::Add(const FieldPath& path, std::string_view description) {
  if (list_.size() >= kListedMax) {
    ++left_out_;
    return;
  }
  list_.push_back({path.ToString(), std::string(description)});
}

absl::Status Violations::ToStatus() const {
  if (list_.empty()) return absl::OkStatus();
  std::vector<FieldViolation> all = list_;
  if (left_out_ > 0) absl::StrAppend(&all.back().description, " (and ", left_out_, " more bad fields)");
  return InvalidFields(std::move(all));
}

}  // namespace quarry
