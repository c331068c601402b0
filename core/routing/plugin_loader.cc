#include "core/routing/plugin_loader.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/routing/options.h"
#include "core/routing/plugin.h"

namespace quarry {
namespace {

using Plugin = quarry_resolver_plugin;
using PluginKey = absl::InlinedVector<quarry_value, 4>;
using TextBuffer = std::array<char, 512>;

quarry_string View(const std::string& text) { return {text.c_str(), text.size()}; }

std::vector<quarry_string> Views(const std::vector<std::string>& texts) {
  std::vector<quarry_string> views;
  for (const std::string& text : texts) views.push_back(View(text));
  return views;
}

// What a plug-in wrote, whether or not it closed it.
std::string Written(TextBuffer& buffer) {
  buffer.back() = '\0';
  return ValidText(buffer.data());
}

std::optional<quarry_value> ToPlugin(const Value& value) {
  const auto number = [](quarry_value_kind kind, int64_t n) { return quarry_value{kind, n, {"", 0}}; };
  const auto text = [&value](quarry_value_kind kind) { return quarry_value{kind, 0, View(value.text())}; };
  switch (value.kind()) {
    case ValueKind::kNull:
      return number(QUARRY_VALUE_NULL, 0);
    case ValueKind::kBool:
      return number(QUARRY_VALUE_BOOL, value.bool_value() ? 1 : 0);
    case ValueKind::kInt64:
      return number(QUARRY_VALUE_INT64, value.int64_value());
    case ValueKind::kTimestamp:
      return number(QUARRY_VALUE_TIMESTAMP, value.timestamp_micros());
    case ValueKind::kText:
      return text(QUARRY_VALUE_TEXT);
    case ValueKind::kBytes:
      return text(QUARRY_VALUE_BYTES);
    case ValueKind::kDate:
      return text(QUARRY_VALUE_DATE);
    case ValueKind::kTime:
      return text(QUARRY_VALUE_TIME);
    case ValueKind::kDecimal:
      return text(QUARRY_VALUE_DECIMAL);
    case ValueKind::kUuid:
      return text(QUARRY_VALUE_UUID);
    default:
      return std::nullopt;
  }
}

absl::StatusOr<PluginKey> ToPlugin(absl::Span<const Value> key) {
  PluginKey converted;
  for (size_t i = 0; i < key.size(); ++i) {
    const std::optional<quarry_value> value = ToPlugin(key[i]);
    if (!value) {
      return InvalidField(
          absl::StrCat("key[", i, "]"),
          absl::StrCat("a value of kind ", ValueKindName(key[i].kind()), " cannot be part of a shard key"));
    }
    converted.push_back(*value);
  }
  return converted;
}

// An open shared object.
class Library {
 public:
  explicit Library(void* handle) : handle_(handle) {}
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() { dlclose(handle_); }
  void* Symbol(const char* name) const { return dlsym(handle_, name); }

 private:
  void* const handle_;
};

class PluginResolver final : public Resolver {
 public:
  // Owns `instance`. `plugin` lives in `library`.
  PluginResolver(ResolverIdentity identity, std::shared_ptr<const Library> library, const Plugin& plugin,
                 void* instance)
      : identity_(std::move(identity)), library_(std::move(library)), plugin_(plugin), instance_(instance) {
    std::vector<uint8_t> answers(identity_.shards.size(), plugin_.shards == nullptr ? 1 : 0);
    if (plugin_.shards != nullptr) plugin_.shards(instance_, answers.data());
    shards_ = Marked(answers);
  }
  ~PluginResolver() override { plugin_.destroy(instance_); }

  const std::string& name() const override { return identity_.name; }
  const std::string& type() const override { return identity_.type; }
  const ShardSet& shards() const override { return shards_; }

  absl::StatusOr<ShardId> Resolve(absl::Span<const Value> key) const override {
    if (!identity_.Fits(key)) return identity_.WrongWidth(key);
    QUARRY_ASSIGN_OR_RETURN(const PluginKey converted, ToPlugin(key));
    TextBuffer error{};
    uint32_t shard = 0;
    const int result =
        plugin_.resolve(instance_, converted.data(), converted.size(), &shard, {error.data(), error.size()});
    if (result != QUARRY_OK) return Failure(result, error);
    if (shard >= identity_.shards.size()) {
      return absl::InternalError(absl::StrCat("resolver \"", identity_.name, "\" (plug-in \"", identity_.type,
                                              "\") answered shard ", shard, " of ", identity_.shards.size()));
    }
    return static_cast<ShardId>(shard);
  }

  absl::StatusOr<ShardSet> ResolveRange(const KeyRange& range) const override {
    if (plugin_.resolve_range == nullptr) return shards_;
    PluginKey from;
    PluginKey to;
    if (range.from) {
      QUARRY_ASSIGN_OR_RETURN(from, ToPlugin(*range.from));
    }
    if (range.to) {
      QUARRY_ASSIGN_OR_RETURN(to, ToPlugin(*range.to));
    }
    TextBuffer error{};
    std::vector<uint8_t> may_hold(identity_.shards.size(), 0);
    const int result = plugin_.resolve_range(instance_, from.data(), from.size(), to.data(), to.size(),
                                             may_hold.data(), {error.data(), error.size()});
    if (result != QUARRY_OK) return Failure(result, error);
    return Marked(may_hold);
  }

  absl::StatusOr<RouteExplanation> Explain(absl::Span<const Value> key) const override {
    RouteExplanation explanation;
    QUARRY_ASSIGN_OR_RETURN(explanation.shard, Resolve(key));
    explanation.facts = {{"plugin", identity_.type}};
    if (plugin_.explain != nullptr) {
      QUARRY_ASSIGN_OR_RETURN(const PluginKey converted, ToPlugin(key));
      TextBuffer words{};
      plugin_.explain(instance_, converted.data(), converted.size(), {words.data(), words.size()});
      explanation.words = Written(words);
    }
    if (explanation.words.empty()) {
      explanation.words =
          absl::StrCat(identity_.Describe(key), " is on shard ", identity_.shard_name(explanation.shard),
                       ", says the plug-in \"", identity_.type, "\"");
    }
    return explanation;
  }

 private:
  static ShardSet Marked(const std::vector<uint8_t>& marks) {
    ShardSet marked;
    for (size_t i = 0; i < marks.size(); ++i) {
      if (marks[i] != 0) marked.push_back(static_cast<ShardId>(i));
    }
    return marked;
  }

  absl::Status Failure(int result, TextBuffer& error) const {
    const std::string words = Written(error);
    if (result == QUARRY_KEY_NOT_MAPPED) return identity_.NotMapped(words);
    if (result == QUARRY_INVALID_KEY) return InvalidField("key", words);
    return absl::InternalError(
        absl::StrCat("resolver \"", identity_.name, "\" (plug-in \"", identity_.type, "\") failed: ", words));
  }

  const ResolverIdentity identity_;
  const std::shared_ptr<const Library> library_;
  const Plugin& plugin_;
  void* const instance_;
  ShardSet shards_;
};

void AddViolation(void* sink, const char* field, const char* description) {
  static_cast<std::vector<FieldViolation>*>(sink)->push_back(
      {field == nullptr ? "" : field, description == nullptr ? "" : description});
}

std::unique_ptr<Resolver> MakePluginResolver(const std::shared_ptr<const Library>& library,
                                             const Plugin& plugin, const ResolverSpec& spec,
                                             std::vector<FieldViolation>& violations) {
  std::vector<std::string> type_names;
  for (const ColumnType& type : spec.key_types) type_names.push_back(TypeName(type));
  const std::vector<quarry_string> columns = Views(spec.key_columns);
  const std::vector<quarry_string> types = Views(type_names);
  const std::vector<quarry_string> shards = Views(spec.shards);
  const std::string options = spec.options.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  quarry_resolver_spec passed{};
  passed.name = View(spec.name);
  passed.key_columns = columns.data();
  passed.key_column_count = columns.size();
  passed.key_types = types.data();
  passed.key_type_count = types.size();
  passed.shards = shards.data();
  passed.shard_count = shards.size();
  passed.options_json = View(options);
  const size_t before = violations.size();
  const quarry_violations sink{&violations, AddViolation};
  void* instance = plugin.create(&passed, &sink);
  if (instance == nullptr) {
    if (violations.size() == before)
      AddViolation(&violations, "", "the plug-in refused the options without a reason");
    return nullptr;
  }
  if (violations.size() != before) {
    plugin.destroy(instance);
    return nullptr;
  }
  return std::make_unique<PluginResolver>(ResolverIdentity(spec), library, plugin, instance);
}

absl::Status NotLoaded(const std::string& path, const std::string& why) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidField,
                   absl::StrCat("cannot load the resolver plug-in ", path, ": ", why), {{"plugin", path}});
}

// The plug-in's table, checked.
absl::StatusOr<const Plugin*> FindPlugin(const Library& library, const std::string& path) {
  const auto* plugin = static_cast<const Plugin*>(library.Symbol(QUARRY_RESOLVER_PLUGIN_SYMBOL));
  if (plugin == nullptr) {
    return NotLoaded(
        path, absl::StrCat("it is a shared object but no resolver plug-in of version ",
                           QUARRY_RESOLVER_ABI_VERSION, ": it exports no ", QUARRY_RESOLVER_PLUGIN_SYMBOL));
  }
  if (plugin->abi_version != QUARRY_RESOLVER_ABI_VERSION) {
    return NotLoaded(path, absl::StrCat("it is of version ", plugin->abi_version,
                                        ", this server takes version ", QUARRY_RESOLVER_ABI_VERSION,
                                        ": build it against this server's core/routing/plugin.h"));
  }
  if (plugin->struct_size < sizeof(Plugin)) {
    return NotLoaded(path, absl::StrCat("its table has ", plugin->struct_size, " bytes, version ",
                                        QUARRY_RESOLVER_ABI_VERSION, " has ", sizeof(Plugin)));
  }
  if (plugin->create == nullptr || plugin->destroy == nullptr || plugin->resolve == nullptr) {
    return NotLoaded(path, "it lacks create, destroy or resolve");
  }
  constexpr size_t kTypeMax = 64;
  const std::string type = plugin->type == nullptr ? "" : plugin->type;
  if (type.empty() || type.size() > kTypeMax ||
      type.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos) {
    return NotLoaded(path, "its type must be 1 to 64 characters of a-z, 0-9 and _");
  }
  return plugin;
}

}  // namespace

absl::StatusOr<std::string> LoadResolverPlugin(const std::string& path, ResolverRegistry& registry) {
  if (path.find('/') == std::string::npos) {
    return NotLoaded(
        path, "write a path with a slash (\"./name.so\"), the system's library folders are not searched");
  }
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = dlerror();
    return NotLoaded(path, why == nullptr ? "unknown error" : why);
  }
  auto library = std::make_shared<const Library>(handle);
  QUARRY_ASSIGN_OR_RETURN(const Plugin* plugin, FindPlugin(*library, path));
  std::string type = plugin->type;
  const auto make = [library, plugin](const ResolverSpec& spec, std::vector<FieldViolation>& violations) {
    return MakePluginResolver(library, *plugin, spec, violations);
  };
  const absl::Status registered = registry.Register(type, make);
  if (!registered.ok()) return WithFact(registered, "plugin", path);
  return type;
}

}  // namespace quarry
