#include "core/routing/key_map.h"

#include "core/routing/key_text.h"
#include "core/routing/stable_hash.h"

namespace quarry {
namespace {

bool AddPart(const Value& part, KeyProbe& probe) {
  if (part.is_null()) return false;
  const absl::StatusOr<uint64_t> hash = HashValue(part, kPartitionSeed);
  if (!hash.ok()) return false;
  probe.parts.push_back(&part);
  probe.hash = HashCombine64(probe.hash, *hash);
  return true;
}

bool SamePart(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case ValueKind::kDecimal:
      return SameDecimal(a.text(), b.text());
    case ValueKind::kTime:
      return ParseTimeMicros(a.text()) == ParseTimeMicros(b.text());
    case ValueKind::kUuid:
      return ParseUuid(a.text()) == ParseUuid(b.text());
    default:
      return a == b;
  }
}

}  // namespace

std::optional<KeyProbe> ProbeOf(absl::Span<const Value> key) {
  KeyProbe probe;
  for (const Value& part : key) {
    if (!AddPart(part, probe)) return std::nullopt;
  }
  return probe;
}

std::optional<KeyProbe> ProbeOf(absl::Span<const Value> key, absl::Span<const size_t> positions) {
  KeyProbe probe;
  for (const size_t position : positions) {
    if (!AddPart(key[position], probe)) return std::nullopt;
  }
  return probe;
}

StoredKey Store(const KeyProbe& probe) {
  StoredKey stored;
  for (const Value* part : probe.parts) stored.parts.push_back(*part);
  stored.hash = probe.hash;
  return stored;
}

bool SameKey(const KeyProbe& probe, const StoredKey& stored) {
  if (probe.hash != stored.hash || probe.parts.size() != stored.parts.size()) return false;
  for (size_t i = 0; i < stored.parts.size(); ++i) {
    if (!SamePart(*probe.parts[i], stored.parts[i])) return false;
  }
  return true;
}

bool KeyEqual::operator()(const StoredKey& a, const StoredKey& b) const {
  if (a.hash != b.hash || a.parts.size() != b.parts.size()) return false;
  for (size_t i = 0; i < a.parts.size(); ++i) {
    if (!SamePart(a.parts[i], b.parts[i])) return false;
  }
  return true;
}

}  // namespace quarry
