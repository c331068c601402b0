// Reading a resolver's options: typed, with every mistake reported at its path, unknown keys and shards with
// "did you mean". Used while a resolver is made; nothing here is on the path of a request.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/routing/resolver.h"
#include "nlohmann/json.hpp"

namespace quarry {

// What every resolver keeps of its spec, for its answers' words.
struct ResolverIdentity {
  std::string name;
  std::string type;
  std::vector<std::string> key_columns;
  std::vector<std::string> shards;  // By ShardId.
  size_t width = 0;                 // Parts of a key; 0 when it was not known: then any number is taken.

  explicit ResolverIdentity(const ResolverSpec& spec);
  const std::string& shard_name(ShardId shard) const { return shards[Index(shard)]; }
  bool Fits(absl::Span<const Value> key) const { return width == 0 || key.size() == width; }
  // kInvalidArgument INVALID_FIELD: what Fits() refused.
  absl::Status WrongWidth(absl::Span<const Value> key) const;
  // kNotFound KEY_NOT_MAPPED. `advice` says what to do; the key itself is not shown.
  absl::Status NotMapped(std::string_view advice) const;
  // "customer_id 42", "country 'US', state 'CA'".
  std::string Describe(absl::Span<const Value> key) const;
};

class OptionReader {
 public:
  // Both outlive this.
  OptionReader(const ResolverSpec& spec, std::vector<FieldViolation>& violations);

  void Add(std::string path, std::string description);
  bool clean() const { return violations_.size() == violations_before_; }

  // False, with a violation, when `value` is no object; unknown members are violations too.
  bool Object(const nlohmann::json& value, const std::string& path, std::initializer_list<const char*> known);
  // The member, or null when it is absent or null.
  static const nlohmann::json* Member(const nlohmann::json& object, const char* name);
  std::optional<int64_t> Integer(const nlohmann::json& value, const std::string& path, int64_t min,
                                 int64_t max);
  std::optional<std::string> String(const nlohmann::json& value, const std::string& path);
  std::optional<ShardId> Shard(const nlohmann::json& value, const std::string& path);
  std::optional<ShardId> ShardNamed(const std::string& name, const std::string& path);
  // A list of shards; may repeat. Absent with a violation when empty or when a name is unknown.
  std::optional<std::vector<ShardId>> ShardList(const nlohmann::json& value, const std::string& path);

  // A value of the key's column, by its type when that is known and by JSON's own type otherwise. Well-formed
  // text is taken for numbers, because the members of a JSON object are always text.
  std::optional<Value> KeyPart(const nlohmann::json& value, size_t column, const std::string& path);
  // A key as a list, or one value for a key of one column. With `prefix_allowed` it may be shorter than the
  // key.
  std::optional<Key> WholeKey(const nlohmann::json& value, const std::string& path, bool prefix_allowed);

  // Refuses key columns whose type has no stable hash, when the types are known.
  void RequireHashableKey();
  // Parts of a key; 0 when it is not known.
  size_t key_width() const;
  // The column's name, or its position when it has none.
  std::string ColumnName(size_t column) const;
  const ResolverSpec& spec() const { return spec_; }

 private:
  std::optional<Value> TypedPart(const nlohmann::json& value, const ColumnType& type,
                                 const std::string& path);
  std::optional<Value> TextPart(const std::string& text, const ColumnType& type, const std::string& path);

  const ResolverSpec& spec_;
  std::vector<FieldViolation>& violations_;
  const size_t violations_before_;
};

// All shards of the spec, in order.
ShardSet AllShards(const ResolverSpec& spec);
// Sorted, without repeats.
ShardSet ToShardSet(std::vector<ShardId> shards);
// The text with what is no UTF-8 replaced, so that an error can carry it.
std::string ValidText(const std::string& text);
// "0x00000000000000ff".
std::string HexHash(uint64_t hash);

}  // namespace quarry
