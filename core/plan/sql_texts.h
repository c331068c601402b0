// SQL texts that come again, each once: sessions find their prepared statements by them. One loop.
#pragma once

#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "core/plan/snapshot.h"

namespace quarry {

class SqlTexts {
 public:
  // The remembered text equal to `text`.
  std::shared_ptr<const std::string> Intern(std::shared_ptr<const std::string> text) {
    const auto found = texts_.find(*text);
    if (found != texts_.end()) return found->second;
    // Callers shape the texts, so they must not fill the memory.
    if (texts_.size() >= kTextsMax || bytes_ + text->size() > kBytesMax) Clear();
    if (text->size() > kBytesMax / 4) return text;
    bytes_ += text->size();
    return texts_.emplace(*text, std::move(text)).first->second;
  }
  size_t size() const { return texts_.size(); }

 private:
  static constexpr size_t kTextsMax = 4'096;
  static constexpr size_t kBytesMax = 8 << 20;
  void Clear() {
    texts_.clear();
    bytes_ = 0;
  }

  absl::flat_hash_map<std::string, std::shared_ptr<const std::string>> texts_;
  size_t bytes_ = 0;
};

}  // namespace quarry
