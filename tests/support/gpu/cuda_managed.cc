#include "tests/support/gpu/cuda_managed.h"

#include <cuda_runtime.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <memory_resource>
#include <new>

namespace {

enum class Source : uint32_t { kHost, kPool, kOwn };

std::atomic<bool> is_managed = false, is_exact = false;

constexpr size_t kLeastOwn = 256;  // bytes; kernels' buffers have more, most other pieces less

std::byte* Allocate(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMallocManaged(&memory, bytes);
  if (error == cudaSuccess) return static_cast<std::byte*>(memory);
  std::fprintf(stderr, "no managed memory of %zu bytes: %s\n", bytes, cudaGetErrorString(error));
  std::abort();
}

class Managed final : public std::pmr::memory_resource {
  void* do_allocate(size_t bytes, size_t) override { return Allocate(bytes); }
  void do_deallocate(void*, size_t, size_t) override {}  // the program is short
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

struct Header {
  size_t bytes;
  uint32_t before;  // bytes from the piece's beginning to what was asked for
  Source source;
};

std::pmr::synchronized_pool_resource& Pool() {
  alignas(Managed) static std::byte managed[sizeof(Managed)];
  alignas(std::pmr::synchronized_pool_resource) static std::byte
      pool[sizeof(std::pmr::synchronized_pool_resource)];
  // Never destroyed: other statics give back memory after they would be.
  static auto* const made =
      std::construct_at(reinterpret_cast<std::pmr::synchronized_pool_resource*>(pool),
                        std::construct_at(reinterpret_cast<Managed*>(managed)));
  return *made;
}

std::byte* Piece(Source source, size_t bytes, size_t alignment) {
  if (source == Source::kPool) return static_cast<std::byte*>(Pool().allocate(bytes, alignment));
  if (source == Source::kOwn) return Allocate(bytes);
  const size_t whole = (bytes + alignment - 1) / alignment * alignment;
  auto* const piece = static_cast<std::byte*>(std::aligned_alloc(alignment, whole));
  if (piece == nullptr) std::abort();
  return piece;
}

void* Take(size_t bytes, size_t alignment) {
  const size_t before = alignment > sizeof(Header) ? alignment : sizeof(Header);
  const Source source = !is_managed                      ? Source::kHost
                        : is_exact && bytes >= kLeastOwn ? Source::kOwn
                                                         : Source::kPool;
  std::byte* const piece = Piece(source, before + bytes, before);
  const Header header{before + bytes, static_cast<uint32_t>(before), source};
  *reinterpret_cast<Header*>(piece + before - sizeof(Header)) = header;
  return piece + before;
}

void GiveBack(void* memory) {
  if (memory == nullptr) return;
  auto* const at = static_cast<std::byte*>(memory);
  const Header header = *reinterpret_cast<const Header*>(at - sizeof(Header));
  std::byte* const piece = at - header.before;
  if (header.source == Source::kPool) {
    Pool().deallocate(piece, header.bytes, header.before);
  } else if (header.source == Source::kOwn) {
    (void)cudaFree(piece);
  } else {
    std::free(piece);
  }
}

}  // namespace

namespace cairn {

void UseManagedMemory() {
  is_exact = std::getenv("CAIRN_TEST_EXACT_MEMORY") != nullptr;
  is_managed = true;
}

}  // namespace cairn

void* operator new(size_t bytes) { return Take(bytes, sizeof(Header)); }
void* operator new[](size_t bytes) { return Take(bytes, sizeof(Header)); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return Take(bytes, static_cast<size_t>(alignment));
}
void* operator new[](size_t bytes, std::align_val_t alignment) {
  return Take(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { GiveBack(memory); }
void operator delete[](void* memory) noexcept { GiveBack(memory); }
void operator delete(void* memory, size_t) noexcept { GiveBack(memory); }
void operator delete[](void* memory, size_t) noexcept { GiveBack(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { GiveBack(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { GiveBack(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { GiveBack(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { GiveBack(memory); }
