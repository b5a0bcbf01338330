// What a session remembers: the engine's properties, the shape in them, the command line's profile.
#include <string>

#include "base/check.h"
#include "engine/stored_shape.h"
#include "tests/fuzz/fuzz_input.h"
#include "tools/session_profile.h"

namespace cairn::test {
namespace {

void ReadProfile(const std::string& text) {
  if (const auto stored = ParseStoredShape(text)) {
    CAIRN_CHECK(ParseStoredShape(ToJson(stored.value())).has_value());
    (void)ParseShape(stored.value().shape).has_value();
    (void)SessionProfile::FromJson(stored.value().properties).has_value();
  }
  if (const auto shape = ParseShape(text)) {
    CAIRN_CHECK(DescribeShape(shape.value()) == text);
    CAIRN_CHECK(GridOf(shape.value()).bytes() > 0);
  }
  auto profile = SessionProfile::FromJson(text);
  if (!profile) return;
  const std::string json = profile.value().ToJson();
  const auto again = SessionProfile::FromJson(json);
  CAIRN_CHECK(again.has_value() && again.value().ToJson() == json);
  CAIRN_CHECK(again.value().DigestText() == profile.value().DigestText());
  for (const int64_t token : {int64_t{0}, int64_t{1}, int64_t{1000}, int64_t{1} << 40}) {
    SessionProfile ended = profile.value();
    if (ended.CanEndAt(token)) ended.EndAt(token);
    const bool inside = ended.ingests.empty() || ended.ingests.back().start_token <= token;
    if (inside) ended.EndText(token);
    CAIRN_CHECK(SessionProfile::FromJson(ended.ToJson()).has_value());
  }
}

}  // namespace
}  // namespace cairn::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::test::ReadProfile(std::string(cairn::test::TextOf(data, size)));
  return 0;
}
