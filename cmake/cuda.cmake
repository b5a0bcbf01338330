# CAIRN_CUDA: AUTO takes an nvcc that works, from PATH or /usr/local/cuda/bin, and goes without
# otherwise; ON ends without one. Sets CAIRN_HAS_CUDA, and with it CMake's CUDA language; and
# CAIRN_HAS_CUBLASLT if the header for products is there too.
set(CAIRN_HAS_CUDA OFF)
set(CAIRN_HAS_CUBLASLT OFF)
if(CAIRN_CUDA STREQUAL "OFF")
  return()
endif()

set(CAIRN_CUDA_ARCHITECTURES 80-real 90a-real 80-virtual)

# Says in `problem` why nvcc cannot be used, or nothing.
function(cairn_try_nvcc problem)
  set(${problem} "" PARENT_SCOPE)
  find_program(CAIRN_NVCC nvcc PATHS /usr/local/cuda/bin)
  if(NOT CAIRN_NVCC)
    set(${problem} "no nvcc in PATH or /usr/local/cuda/bin" PARENT_SCOPE)
  elseif(CAIRN_SANITIZE OR CAIRN_FUZZ)
    set(${problem} "sanitizers are for the kernels as tests run them, on a CPU" PARENT_SCOPE)
  elseif(NOT CAIRN_NVCC_WORKS STREQUAL CAIRN_NVCC)
    set(source ${CMAKE_BINARY_DIR}/try_nvcc.cu)
    file(WRITE ${source} "__global__ void Kernel(int* x) { *x = 1; }\nint main() {}\n")
    execute_process(
      COMMAND ${CAIRN_NVCC} -std=c++20 -ccbin ${CMAKE_CXX_COMPILER} -arch=sm_90a ${source}
        -o ${source}.out
      RESULT_VARIABLE failed OUTPUT_QUIET ERROR_VARIABLE words)
    if(failed)
      string(STRIP "${words}" words)
      set(${problem} "${CAIRN_NVCC} does not build for sm_90a: ${words}" PARENT_SCOPE)
    else()
      set(CAIRN_NVCC_WORKS ${CAIRN_NVCC} CACHE INTERNAL "The nvcc that compiled")
    endif()
  endif()
endfunction()

cairn_try_nvcc(problem)
if(problem AND CAIRN_CUDA STREQUAL "ON")
  message(FATAL_ERROR "CAIRN_CUDA=ON: ${problem}")
elseif(problem)
  message(STATUS "CUDA kernels: not built: ${problem}")
  return()
endif()

set(CMAKE_CUDA_COMPILER ${CAIRN_NVCC})
set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
set(CMAKE_CUDA_ARCHITECTURES ${CAIRN_CUDA_ARCHITECTURES})
enable_language(CUDA)
if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # Debian 12's CMake does not know it
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
set(CAIRN_HAS_CUDA ON)
message(STATUS "CUDA kernels: built by ${CAIRN_NVCC} ${CMAKE_CUDA_COMPILER_VERSION}")
foreach(directory ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  if(EXISTS ${directory}/cublasLt.h)
    set(CAIRN_HAS_CUBLASLT ON)
  endif()
endforeach()
if(NOT CAIRN_HAS_CUBLASLT)
  message(STATUS "CUDA products: not built: no cublasLt.h in "
    "${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES} (install libcublas-dev, or PyPI's nvidia-cublas)")
endif()
