// Files that the build made part of the program: the scenarios, and the page of the HTML report.
#pragma once

#include <string_view>
#include <vector>

namespace quarry::load {

struct EmbeddedFile {
  std::string_view name;  // "ycsb-a.yaml", "report.js".
  std::string_view text;
};

const std::vector<EmbeddedFile>& EmbeddedFiles();

// "" when there is none of this name.
std::string_view EmbeddedText(std::string_view name);

}  // namespace quarry::load
