#include "base/matmul.h"

#include <cstring>
#include <map>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>
#include <vector>

#include "base/check.h"
#include "base/library_versions.h"
#include "base/page_buffer.h"
#include "base/single_openmp.h"

namespace cairn {
namespace {

using Tag = dnnl::memory::format_tag;

const dnnl::engine& CpuEngine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::memory::data_type DnnlType(DType type) {
  CAIRN_CHECK(type == DType::kF32 || type == DType::kBF16);
  return type == DType::kF32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
}

dnnl::matmul::primitive_desc Describe(DType type, int64_t m, int64_t n, int64_t k,
                                      const dnnl::memory::desc& weights) {
  const dnnl::memory::desc a({m, k}, DnnlType(type), Tag::ab);
  const dnnl::memory::desc c({m, n}, dnnl::memory::data_type::f32, Tag::ab);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return {dnnl::matmul::desc(a, weights, c), attributes, CpuEngine()};
}

struct Product {
  dnnl::matmul::primitive_desc description;
  dnnl::matmul primitive;
};

// Products by shape. Entries are never removed, so that a found one stays valid.
class ProductCache {
 public:
  using Key = std::tuple<DType, int64_t, int64_t, int64_t>;

  const Product& Get(DType type, int64_t m, int64_t n, int64_t k,
                     const dnnl::memory::desc& weights) {
    const std::lock_guard lock(mutex_);
    const Key key{type, m, n, k};
    auto found = products_.find(key);
    if (found == products_.end()) {
      auto description = Describe(type, m, n, k, weights);
      found = products_.emplace(key, Product{description, dnnl::matmul(description)}).first;
    }
    return found->second;
  }

 private:
  std::mutex mutex_;
  std::map<Key, Product> products_;
};

void Execute(const Product& product, const void* a, const void* b, float* c) {
  thread_local dnnl::stream stream(CpuEngine());
  thread_local std::vector<std::byte> scratch;
  const auto need = product.description.scratchpad_desc();
  if (scratch.size() < need.get_size() + 64) scratch.resize(need.get_size() + 64);
  void* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
  const auto& d = product.description;
  product.primitive.execute(
      stream,
      {{DNNL_ARG_SRC, dnnl::memory(d.src_desc(), CpuEngine(), const_cast<void*>(a))},
       {DNNL_ARG_WEIGHTS, dnnl::memory(d.weights_desc(), CpuEngine(), const_cast<void*>(b))},
       {DNNL_ARG_DST, dnnl::memory(d.dst_desc(), CpuEngine(), c)},
       {DNNL_ARG_SCRATCHPAD, dnnl::memory(need, CpuEngine(), aligned)}});
  stream.wait();
}

constexpr int64_t kPackRows = 128;  // the number of rows a packed layout is chosen for

}  // namespace

DType FastMatmulType() {
  const auto isa = dnnl::get_effective_cpu_isa();
  const bool native =
      isa == dnnl::cpu_isa::avx512_core_bf16 || isa == dnnl::cpu_isa::avx512_core_amx;
  return native ? DType::kBF16 : DType::kF32;
}

std::string OneDnnVersion() {
  const dnnl_version_t& version = *dnnl_version();
  return std::to_string(version.major) + "." + std::to_string(version.minor) + "." +
         std::to_string(version.patch);
}

std::string OneDnnInstructions() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "sse41";
    case dnnl::cpu_isa::avx:
      return "avx";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx2_vnni:
      return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core:
      return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "avx512_core_amx";
    default:
      return "others";
  }
}

void MultiplyTransposed(DType type, const void* a, const void* b, float* c, int64_t m, int64_t n,
                        int64_t k) {
  const SingleOpenMp single;  // read when the primitive is made, and again when it runs
  static ProductCache cache;
  const dnnl::memory::desc weights({k, n}, DnnlType(type), Tag::ba);
  Execute(cache.Get(type, m, n, k, weights), a, b, c);
}

struct PackedMatrix::State {
  State(DType t, int64_t rows, int64_t columns, const dnnl::memory::desc& d)
      : type(t), n(rows), k(columns), layout(d), buffer(d.get_size()) {}
  DType type;
  int64_t n;
  int64_t k;
  dnnl::memory::desc layout;
  PageBuffer buffer;
  mutable ProductCache cache;
};

PackedMatrix::PackedMatrix(std::unique_ptr<State> state) : state_(std::move(state)) {}
PackedMatrix::~PackedMatrix() = default;
PackedMatrix::PackedMatrix(PackedMatrix&&) noexcept = default;
PackedMatrix& PackedMatrix::operator=(PackedMatrix&&) noexcept = default;

PackedMatrix PackedMatrix::Pack(DType type, const float* weights, int64_t n, int64_t k) {
  const SingleOpenMp single;
  const dnnl::memory::desc any({k, n}, DnnlType(type), Tag::any);
  const auto layout = Describe(type, kPackRows, n, k, any).weights_desc();
  auto state = std::make_unique<State>(type, n, k, layout);
  const dnnl::memory::desc plain({k, n}, dnnl::memory::data_type::f32, Tag::ba);
  dnnl::memory source(plain, CpuEngine(), const_cast<float*>(weights));
  dnnl::memory target(layout, CpuEngine(), state->buffer.data());
  dnnl::stream stream(CpuEngine());
  dnnl::reorder(source, target).execute(stream, source, target);
  stream.wait();
  return PackedMatrix(std::move(state));
}

void PackedMatrix::Multiply(const void* x, int64_t m, float* y) const {
  const SingleOpenMp single;
  const Product& product = state_->cache.Get(state_->type, m, state_->n, state_->k, state_->layout);
  Execute(product, x, state_->buffer.data(), y);
}

int64_t PackedMatrix::n() const { return state_->n; }
int64_t PackedMatrix::k() const { return state_->k; }
DType PackedMatrix::type() const { return state_->type; }
uint64_t PackedMatrix::bytes() const { return state_->buffer.bytes(); }

}  // namespace cairn
