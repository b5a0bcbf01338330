// All memory of the program that links this is CUDA's managed memory, which host and device reach
// by the same pointers: so tests written for kernels on a CPU run on a GPU as they are.
#pragma once

namespace cairn {

/// What is allocated from here on is managed memory. CUDA is not to be used before main begins, so
/// what was allocated then is not. With CAIRN_TEST_EXACT_MEMORY in the environment all but small
/// pieces are allocations of CUDA's own, so that compute-sanitizer sees where they end.
void UseManagedMemory();

}  // namespace cairn
