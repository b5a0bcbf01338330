// All memory of the program that links this is CUDA's managed memory, which host and device reach
// by the same pointers: so tests written for kernels on a CPU run on a GPU as they are.
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <memory_resource>
#include <new>

namespace {

class Managed final : public std::pmr::memory_resource {
  void* do_allocate(size_t bytes, size_t) override {
    void* memory = nullptr;
    // Without a device the program only says that there is none.
    if (cudaMallocManaged(&memory, bytes) != cudaSuccess) memory = std::malloc(bytes);
    if (memory == nullptr) std::abort();
    return memory;
  }
  void do_deallocate(void*, size_t, size_t) override {}  // the program is short
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

struct Header {
  size_t bytes;
  size_t before;  // bytes from the piece's beginning to what was asked for
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

void* Take(size_t bytes, size_t alignment) {
  const size_t before = alignment > sizeof(Header) ? alignment : sizeof(Header);
  auto* const piece = static_cast<std::byte*>(Pool().allocate(before + bytes, before));
  const Header header{before + bytes, before};
  *reinterpret_cast<Header*>(piece + before - sizeof(Header)) = header;
  return piece + before;
}

void GiveBack(void* memory) {
  if (memory == nullptr) return;
  auto* const at = static_cast<std::byte*>(memory);
  const Header header = *reinterpret_cast<const Header*>(at - sizeof(Header));
  Pool().deallocate(at - header.before, header.bytes, header.before);
}

}  // namespace

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
