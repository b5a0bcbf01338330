// What FAISS's search of inner products is linked with and does not call: other distances, the
// least of numbers, and more of them than cairn asks for.
#include <cstdlib>
#include <faiss/gpu/impl/BroadcastSum.cuh>
#include <faiss/gpu/impl/L2Norm.cuh>
#include <faiss/gpu/impl/L2Select.cuh>
#include <faiss/gpu/utils/DeviceTensor.cuh>
#include <faiss/gpu/utils/Float16.cuh>

namespace faiss::gpu {

using Line = Tensor<float, 1, true>;
using Numbers = Tensor<float, 2, true>;
using Labels = Tensor<int, 2, true>;

void runL2Norm(Numbers&, bool, Line&, bool, cudaStream_t) { std::abort(); }
void runL2Norm(Tensor<half, 2, true>&, bool, Line&, bool, cudaStream_t) { std::abort(); }
void runL2SelectMin(Numbers&, Line&, Numbers&, Labels&, int, cudaStream_t) { std::abort(); }
void runSumAlongColumns(Line&, Numbers&, cudaStream_t) { std::abort(); }
void runSumAlongRows(Line&, Numbers&, bool, cudaStream_t) { std::abort(); }

#define NOT_SELECTED(direction, most)                                                         \
  void runBlockSelect_float_##direction##_##most##_(Numbers&, Numbers&, Labels&, bool, int,   \
                                                    cudaStream_t) {                           \
    std::abort();                                                                             \
  }                                                                                           \
  void runBlockSelectPair_float_##direction##_##most##_(Numbers&, Labels&, Numbers&, Labels&, \
                                                        bool, int, cudaStream_t) {            \
    std::abort();                                                                             \
  }
NOT_SELECTED(false, 512)
NOT_SELECTED(false, 1024)
NOT_SELECTED(false, 2048)
NOT_SELECTED(true, 2048)

}  // namespace faiss::gpu
