#include "core/config/tree.h"

#include <algorithm>
#include <exception>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/catalog/text_forms.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/parser.h"

namespace quarry {
namespace {

// Builds the tree from the parser's events. A mistake that leaves no tree is thrown and caught in ParseYaml.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(const std::string& source, ConfigReport& report) : source_(source), report_(report) {}

  ConfigNode TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    ConfigNode node;
    node.at = At(mark);
    Add(std::move(node), anchor, mark);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw YAML::ParserException(mark, "an alias refers to the value that holds it");
    ConfigNode node = found->second.node;
    // The copy itself is bounded: counting comes first.
    nodes_ += found->second.size;
    CheckSize(mark);
    if (frames_.size() + found->second.depth > kConfigDepthMax) TooDeep(mark);
    Place(std::move(node), mark, found->second.size, found->second.depth);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    ConfigNode node;
    node.kind = ConfigNode::Kind::kScalar;
    node.at = At(mark);
    node.text = value;
    node.quoted = tag == "!";
    if (tag != "!") CheckTag(mark, tag);
    Add(std::move(node), anchor, mark);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(ConfigNode::Kind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(ConfigNode::Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override { Close(); }

 private:
  struct Frame {
    ConfigNode node;
    YAML::anchor_t anchor = 0;
    YAML::Mark mark;
    std::string path;
    bool has_key = false;   // A key waits for its value.
    bool skip = false;      // The value of a repeated key.
    size_t size = 1;
    size_t depth = 1;
  };
  struct Anchored {
    ConfigNode node;
    size_t size = 1;
    size_t depth = 1;
  };

  ConfigPosition At(const YAML::Mark& mark) const { return {source_, mark.line + 1, mark.column + 1}; }

  void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?") throw YAML::ParserException(mark, "tags are not supported; quote text instead");
  }

  void CheckSize(const YAML::Mark& mark) {
    if (nodes_ > kConfigNodesMax) {
      throw YAML::ParserException(mark, absl::StrCat("the file holds more than ", kConfigNodesMax,
                                                     " values, with its aliases expanded"));
    }
  }

  [[noreturn]] void TooDeep(const YAML::Mark& mark) {
    throw YAML::ParserException(mark, absl::StrCat("values are nested deeper than ", kConfigDepthMax));
  }

  std::string PathOfNext() const {
    if (frames_.empty()) return "";
    const Frame& top = frames_.back();
    if (top.node.is_list()) return absl::StrCat(top.path, "[", top.node.items.size(), "]");
    return top.has_key ? JoinPath(top.path, top.node.keys.back().name) : top.path;
  }

  void Open(ConfigNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    CheckTag(mark, tag);
    if (frames_.size() >= kConfigDepthMax) TooDeep(mark);
    Frame frame;
    frame.path = PathOfNext();
    frame.node.kind = kind;
    frame.node.at = At(mark);
    frame.anchor = anchor;
    frame.mark = mark;
    frames_.push_back(std::move(frame));
  }

  void Close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    nodes_ += frame.anchor == 0 ? 1 : 1 + frame.size;
    CheckSize(frame.mark);
    if (frame.anchor != 0) anchors_[frame.anchor] = {frame.node, frame.size, frame.depth};
    Place(std::move(frame.node), frame.mark, frame.size, frame.depth);
  }

  void Add(ConfigNode node, YAML::anchor_t anchor, const YAML::Mark& mark) {
    ++nodes_;
    CheckSize(mark);
    if (anchor != 0) anchors_[anchor] = {node, 1, 1};
    Place(std::move(node), mark, 1, 1);
  }

  void Place(ConfigNode node, const YAML::Mark& mark, size_t size, size_t depth) {
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& top = frames_.back();
    if (top.node.is_map() && !top.has_key) {
      TakeKey(top, node, mark);
      return;
    }
    top.size += size;
    top.depth = std::max(top.depth, depth + 1);
    if (!top.skip) top.node.items.push_back(std::move(node));
    if (top.skip) top.node.keys.pop_back();
    top.has_key = false;
    top.skip = false;
  }

  void TakeKey(Frame& top, const ConfigNode& node, const YAML::Mark& mark) {
    if (!node.is_scalar()) throw YAML::ParserException(mark, "a key must be plain text");
    for (const ConfigNode::Key& key : top.node.keys) {
      if (key.name != node.text) continue;
      report_.Add(At(mark), JoinPath(top.path, node.text),
                  absl::StrCat("the key is given twice; first in line ", key.at.line));
      top.skip = true;
      break;
    }
    top.node.keys.push_back({node.text, At(mark)});
    top.has_key = true;
  }

  const std::string& source_;
  ConfigReport& report_;
  ConfigNode root_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  size_t nodes_ = 0;
};

std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string ScalarYaml(const ConfigNode& node) {
  if (node.is_null()) return "null";
  return node.quoted ? Quoted(node.text) : node.text;
}

// Keys of people's own (shards, lookup values) may be anything; known ones are plain words.
std::string KeyYaml(const std::string& key) {
  const bool plain = !key.empty() && key.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos &&
                     key != "null" && key != "true" && key != "false";
  return plain ? key : Quoted(key);
}

void Emit(const ConfigNode& node, const std::string& indent, std::string& out) {
  for (size_t i = 0; i < node.items.size(); ++i) {
    const ConfigNode& item = node.items[i];
    const std::string head = node.is_map() ? absl::StrCat(indent, KeyYaml(node.keys[i].name), ":") : indent + "-";
    if (!item.is_map() && !item.is_list()) {
      absl::StrAppend(&out, head, " ", ScalarYaml(item), "\n");
    } else if (item.items.empty()) {
      absl::StrAppend(&out, head, item.is_map() ? " {}\n" : " []\n");
    } else {
      absl::StrAppend(&out, head, "\n");
      Emit(item, indent + "  ", out);
    }
  }
}

}  // namespace

std::string ToString(const ConfigPosition& position) {
  if (position.line == 0) return position.source;
  return absl::StrCat(position.source, ":", position.line, ":", position.column);
}

std::string JoinPath(const std::string& parent, const std::string& key) {
  return parent.empty() ? key : absl::StrCat(parent, ".", key);
}

const ConfigNode* ConfigNode::Find(std::string_view key) const {
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].name == key) return &items[i];
  }
  return nullptr;
}

ConfigNode& ConfigNode::Child(const std::string& key, const ConfigPosition& position) {
  kind = Kind::kMap;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].name == key) return items[i];
  }
  keys.push_back({key, position});
  ConfigNode& child = items.emplace_back();
  child.at = position;
  return child;
}

void ConfigReport::Add(const ConfigPosition& at, const std::string& path, const std::string& what) {
  const std::string place = ToString(at);
  violations_.push_back({path.empty() || place.empty() ? place + path : absl::StrCat(place, " ", path), what});
}

void ConfigReport::Merge(const ConfigReport& other) {
  std::set<std::string> told;
  for (const FieldViolation& violation : violations_) told.insert(violation.field);
  for (const FieldViolation& violation : other.violations_) {
    if (told.count(violation.field) == 0) violations_.push_back(violation);
  }
}

absl::Status ConfigReport::ToStatus() const {
  if (violations_.empty()) return absl::OkStatus();
  ErrorDetail detail;
  detail.reason = reason::kInvalidField;
  detail.violations = violations_;
  const std::string lines = absl::StrJoin(violations_, "\n", [](std::string* out, const FieldViolation& violation) {
    absl::StrAppend(out, violation.field, ": ", violation.description);
  });
  return MakeError(absl::StatusCode::kInvalidArgument, lines, detail);
}

ConfigNode ParseYaml(std::string_view yaml, const std::string& source, ConfigReport& report) {
  ConfigNode empty;
  empty.kind = ConfigNode::Kind::kMap;
  empty.at = {source, 1, 1};
  if (yaml.size() > kConfigBytesMax) {
    report.Add({source, 0, 0}, "", absl::StrCat("the file is larger than ", kConfigBytesMax, " bytes"));
    return empty;
  }
  if (!IsValidText(yaml)) {
    report.Add({source, 0, 0}, "", "the file is not valid UTF-8 or holds a NUL");
    return empty;
  }
  TreeBuilder builder(source, report);
  try {
    std::istringstream in{std::string(yaml)};
    YAML::Parser parser(in);
    parser.HandleNextDocument(builder);
    ConfigNode root = builder.TakeRoot();
    TreeBuilder rest(source, report);
    if (parser.HandleNextDocument(rest)) {
      report.Add({source, 0, 0}, "", "the file holds more than one document; keep one");
    }
    return root.is_null() ? empty : root;
  } catch (const YAML::Exception& error) {
    report.Add({source, error.mark.line + 1, error.mark.column + 1}, "", error.msg);
  } catch (const std::exception& error) {
    report.Add({source, 0, 0}, "", absl::StrCat("cannot be read as YAML: ", error.what()));
  }
  return empty;
}

std::string EmitYaml(const ConfigNode& root) {
  std::string out;
  Emit(root, "", out);
  return out;
}

}  // namespace quarry
