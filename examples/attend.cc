// attend [STORE_DIRECTORY]: random rows, five times what a model knows; values are 1, so o is 1.
#include <cstdio>
#include <random>

#include "engine/engine.h"
#include "storage/memory_cold_store.h"
#include "storage/rocks_cold_store.h"

cairn::Status Run(std::unique_ptr<cairn::ColdStore> cold) {
  CAIRN_TRY(auto engine, cairn::Engine::Open(std::move(cold), {.host_bytes = 16 << 20}));
  cairn::SessionShape shape;
  shape.layers = shape.kv_heads = 1;
  shape.query_heads = 4;
  shape.context_rows = 2048;
  shape.inverse_frequencies = cairn::RopeTable::InverseFrequencies(10000, shape.block.head_dim);
  CAIRN_TRY(auto session, engine->CreateSession("example", shape, {.retrieve = 4}, "{}"));
  std::mt19937 random;
  std::vector<float> q(256 * 4 * 64), k(256 * 64), v(k.size(), 1.0f), o(q.size());
  for (int step = 0; step < 40; ++step) {
    for (float& x : q) x = std::normal_distribution<float>()(random);
    for (float& x : k) x = std::normal_distribution<float>()(random);
    CAIRN_TRY(session->BeginStep(256));
    CAIRN_TRY(session->Attend(0, q.data(), k.data(), v.data(), o.data()));  // once per layer
    CAIRN_TRY(session->EndStep());
  }
  CAIRN_TRY(session->Commit("{}"));
  std::printf("%d rows, o = %.3f\n", static_cast<int>(session->rows()), o.back());
  return cairn::Ok();
}

int main(int argc, char** argv) {
  if (argc < 2) return Run(std::make_unique<cairn::MemoryColdStore>()).has_value() ? 0 : 1;
  auto cold = cairn::RocksColdStore::Open(argv[1], {.create = true});
  return cold.has_value() && Run(std::move(cold).value()).has_value() ? 0 : 1;
}
