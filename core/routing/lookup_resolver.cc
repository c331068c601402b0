#include "core/routing/lookup_resolver.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/routing/stable_hash.h"

namespace quarry {

LookupResolver::LookupResolver(ResolverIdentity identity, Declared declared)
    : identity_(std::move(identity)), declared_(std::move(declared)), learned_(declared_.cache_keys_max) {
  std::vector<ShardId> answers;
  for (const auto& [key, shard] : declared_.entries) answers.push_back(shard);
  if (declared_.new_keys == NewKeys::kAssignShard) answers.push_back(declared_.new_keys_shard);
  if (declared_.directory || declared_.new_keys == NewKeys::kAssignByHash) {
    for (size_t i = 0; i < identity_.shards.size(); ++i) answers.push_back(static_cast<ShardId>(i));
  }
  shards_ = ToShardSet(std::move(answers));
}

absl::StatusOr<KeyProbe> LookupResolver::Probe(absl::Span<const Value> key) const {
  if (!identity_.Fits(key)) return identity_.WrongWidth(key);
  std::optional<KeyProbe> probe = ProbeOf(key);
  if (probe) return *std::move(probe);
  QUARRY_RETURN_IF_ERROR(PartitionHash(key).status());
  return InvalidField("key", "a null cannot be looked up");
}

LookupResolver::Found LookupResolver::Find(const KeyProbe& probe) const {
  const auto entry = declared_.entries.find(probe);
  if (entry != declared_.entries.end()) return {Source::kEntry, entry->second};
  if (!declared_.directory) return {};
  const std::optional<ShardId> learned = learned_.Find(probe);
  return learned ? Found{Source::kLearned, *learned} : Found{};
}

absl::Status LookupResolver::Unmapped() const {
  if (!declared_.directory) return identity_.NotMapped("add an entry for it, or declare `new_keys`");
  return WithFact(identity_.NotMapped("it is not declared, and the stored directory has not told its shard"),
                  "directory", identity_.shard_name(*declared_.directory));
}

absl::StatusOr<ShardId> LookupResolver::Resolve(absl::Span<const Value> key) const {
  QUARRY_ASSIGN_OR_RETURN(const KeyProbe probe, Probe(key));
  const Found found = Find(probe);
  if (found.source != Source::kNone) return found.shard;
  if (declared_.directory) return Unmapped();
  return NewKeyShard(key);
}

absl::StatusOr<ShardId> LookupResolver::NewKeyShard(absl::Span<const Value> key) const {
  switch (declared_.new_keys) {
    case NewKeys::kRefuse:
      break;
    case NewKeys::kAssignShard:
      return declared_.new_keys_shard;
    case NewKeys::kAssignByHash: {
      QUARRY_ASSIGN_OR_RETURN(const uint64_t hash, PartitionHash(key));
      return static_cast<ShardId>(hash % identity_.shards.size());
    }
  }
  return Unmapped();
}

absl::StatusOr<RouteExplanation> LookupResolver::Explain(absl::Span<const Value> key) const {
  QUARRY_ASSIGN_OR_RETURN(const KeyProbe probe, Probe(key));
  const Found found = Find(probe);
  RouteExplanation explanation;
  explanation.shard = found.shard;
  std::string because;
  if (found.source == Source::kEntry) {
    because = "is a declared entry of";
    explanation.facts["source"] = "entry";
  } else if (found.source == Source::kLearned) {
    because = "is in the stored directory, for";
    explanation.facts["source"] = "directory";
  } else {
    if (declared_.directory) return Unmapped();
    QUARRY_ASSIGN_OR_RETURN(explanation.shard, NewKeyShard(key));
    because = declared_.new_keys == NewKeys::kAssignByHash ? "is a new key, which its hash assigns to"
                                                           : "is a new key, and new keys are assigned to";
    explanation.facts["source"] = "new_keys";
  }
  explanation.words =
      absl::StrCat(identity_.Describe(key), " ", because, " shard ", identity_.shard_name(explanation.shard));
  return explanation;
}

void LookupResolver::Learn(absl::Span<const Value> key, ShardId shard) const {
  const absl::StatusOr<KeyProbe> probe = Probe(key);
  if (probe.ok() && Index(shard) < identity_.shards.size()) learned_.Learn(*probe, shard);
}

void LookupResolver::Forget(absl::Span<const Value> key) const {
  const absl::StatusOr<KeyProbe> probe = Probe(key);
  if (probe.ok()) learned_.Forget(*probe);
}

void LookupResolver::ForgetAll() const { learned_.Clear(); }

const LookupResolver* AsLookup(const Resolver& resolver) {
  return dynamic_cast<const LookupResolver*>(&resolver);
}

namespace {

void AddEntry(OptionReader& reader, const Key& key, ShardId shard, const std::string& path,
              KeyMap<ShardId>& entries) {
  // The key has a stable hash: KeyPart reads no values without one.
  if (!entries.emplace(Store(ProbeOf(key).value()), shard).second)
    reader.Add(path, "is mapped twice");
}

void ReadEntryList(OptionReader& reader, const nlohmann::json& list, KeyMap<ShardId>& entries) {
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = absl::StrCat("entries[", i, "]");
    if (!reader.Object(list[i], path, {"key", "shard"})) continue;
    const nlohmann::json* key = OptionReader::Member(list[i], "key");
    const nlohmann::json* shard = OptionReader::Member(list[i], "shard");
    if (key == nullptr) reader.Add(absl::StrCat(path, ".key"), "is missing");
    if (shard == nullptr) reader.Add(absl::StrCat(path, ".shard"), "is missing");
    const auto parts =
        key ? reader.WholeKey(*key, absl::StrCat(path, ".key"), /*prefix_allowed=*/false) : std::nullopt;
    const auto owner = shard ? reader.Shard(*shard, absl::StrCat(path, ".shard")) : std::nullopt;
    if (parts && owner) AddEntry(reader, *parts, *owner, absl::StrCat(path, ".key"), entries);
  }
}

void ReadEntries(OptionReader& reader, const nlohmann::json& value, KeyMap<ShardId>& entries) {
  if (value.is_array()) return ReadEntryList(reader, value, entries);
  if (!value.is_object())
    return reader.Add("entries", "must be a list of {key, shard}, or an object {key: shard}");
  if (reader.key_width() > 1) {
    return reader.Add("entries", "the key has several columns: write a list of {key: [..], shard}");
  }
  for (const auto& [text, shard] : value.items()) {
    const std::string path = absl::StrCat("entries.", text);
    const std::optional<Value> part = reader.KeyPart(nlohmann::json(text), 0, path);
    const std::optional<ShardId> owner = reader.Shard(shard, path);
    if (part && owner) AddEntry(reader, {*part}, *owner, path, entries);
  }
}

void ReadNewKeys(OptionReader& reader, const nlohmann::json& value, LookupResolver::Declared& declared) {
  if (value == "refuse") return;
  constexpr const char* kExpected = "must be `refuse`, {assign: hash} or {assign: <shard>}";
  if (!value.is_object()) return reader.Add("new_keys", kExpected);
  reader.Object(value, "new_keys", {"assign"});
  const nlohmann::json* assign = OptionReader::Member(value, "assign");
  if (assign == nullptr) return reader.Add("new_keys", kExpected);
  if (*assign == "hash") {
    declared.new_keys = NewKeys::kAssignByHash;
  } else if (const std::optional<ShardId> shard = reader.Shard(*assign, "new_keys.assign")) {
    declared.new_keys = NewKeys::kAssignShard;
    declared.new_keys_shard = *shard;
  }
}

void ReadDirectory(OptionReader& reader, const nlohmann::json& value, LookupResolver::Declared& declared) {
  if (!reader.Object(value, "directory", {"shard"})) return;
  const nlohmann::json* shard = OptionReader::Member(value, "shard");
  if (shard == nullptr)
    return reader.Add("directory.shard", "is missing: name the shard that stores the directory");
  declared.directory = reader.Shard(*shard, "directory.shard");
}

}  // namespace

std::unique_ptr<Resolver> MakeLookupResolver(const ResolverSpec& spec,
                                             std::vector<FieldViolation>& violations) {
  constexpr int64_t kCacheKeysDefault = 100'000;
  constexpr int64_t kCacheKeysMax = 10'000'000;
  OptionReader reader(spec, violations);
  reader.RequireHashableKey();
  if (!reader.Object(spec.options, "", {"entries", "new_keys", "directory", "cache_keys"})) return nullptr;
  LookupResolver::Declared declared;
  declared.cache_keys_max = kCacheKeysDefault;
  if (const auto* entries = OptionReader::Member(spec.options, "entries"))
    ReadEntries(reader, *entries, declared.entries);
  if (const auto* new_keys = OptionReader::Member(spec.options, "new_keys"))
    ReadNewKeys(reader, *new_keys, declared);
  if (const auto* directory = OptionReader::Member(spec.options, "directory"))
    ReadDirectory(reader, *directory, declared);
  if (const auto* cache_keys = OptionReader::Member(spec.options, "cache_keys")) {
    const std::optional<int64_t> number = reader.Integer(*cache_keys, "cache_keys", 1, kCacheKeysMax);
    if (number) declared.cache_keys_max = static_cast<size_t>(*number);
  }
  if (!reader.clean()) return nullptr;
  if (declared.entries.empty() && !declared.directory && declared.new_keys == NewKeys::kRefuse) {
    reader.Add("entries", "no key has a shard: declare entries, a directory or `new_keys`");
    return nullptr;
  }
  return std::make_unique<LookupResolver>(ResolverIdentity(spec), std::move(declared));
}

}  // namespace quarry
