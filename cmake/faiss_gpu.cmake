# CAIRN_FAISS_GPU: FAISS's search on a GPU, as `system` (an installed FAISS that has it) or `source`
# (Debian's source package, of which what the search needs is built here and linked with Debian's
# library). AUTO takes the first that is there, and goes without otherwise; a named one that is not
# there is an error. Sets CAIRN_HAS_FAISS_GPU, and with it CAIRN_FAISS_GPU_KIND, the target
# cairn_faiss_gpu_library, and CAIRN_FAISS_GPU_FOLDER of `source`, with faiss/gpu in it. Needs
# CAIRN_HAS_CUDA and the target faiss.
set(CAIRN_HAS_FAISS_GPU OFF)
set(CAIRN_FAISS_GPU_KIND "")
if(NOT CAIRN_FAISS_GPU MATCHES "^(AUTO|system|source|OFF)$")
  message(FATAL_ERROR "CAIRN_FAISS_GPU=${CAIRN_FAISS_GPU}: use AUTO, system, source or OFF")
endif()
if(CAIRN_FAISS_GPU STREQUAL "OFF")
  return()
endif()
set(CAIRN_FAISS_SOURCE ${PROJECT_SOURCE_DIR}/.cache/faiss-source CACHE PATH
  "FAISS's sources, or the folder of their Debian source package (tools/setup.sh fetches it)")

# Says in `problem` why the installed FAISS cannot be used, or nothing.
function(cairn_find_faiss_system problem)
  get_target_property(include faiss INTERFACE_INCLUDE_DIRECTORIES)
  find_path(found faiss/gpu/GpuDistance.h PATHS ${include} NO_CACHE NO_DEFAULT_PATH)
  set(${problem} "" PARENT_SCOPE)
  if(NOT found)
    set(${problem} "the installed FAISS has no headers for GPUs" PARENT_SCOPE)
  elseif(faiss_VERSION VERSION_LESS 1.7.3)
    set(${problem} "the installed FAISS is ${faiss_VERSION}, older than 1.7.3" PARENT_SCOPE)
  endif()
endfunction()

# Sets `folder` to one with faiss/gpu in it, or says in `problem` why there is none. A source
# package is unpacked into the build.
function(cairn_find_faiss_source folder problem)
  set(${problem} "" PARENT_SCOPE)
  set(sources ${CAIRN_FAISS_SOURCE})
  file(GLOB packages ${CAIRN_FAISS_SOURCE}/faiss_*.dsc)
  if(packages)
    list(GET packages 0 package)
    get_filename_component(name ${package} NAME_WLE)
    set(sources ${CMAKE_BINARY_DIR}/${name})
    if(NOT EXISTS ${sources}/faiss/gpu/GpuDistance.h)
      file(REMOVE_RECURSE ${sources})
      execute_process(COMMAND dpkg-source --no-check -x ${package} ${sources}
        RESULT_VARIABLE failed OUTPUT_QUIET ERROR_VARIABLE words)
      if(failed)
        string(STRIP "${words}" words)
        set(${problem} "dpkg-source does not unpack ${package}: ${failed} ${words}" PARENT_SCOPE)
        return()
      endif()
    endif()
  endif()
  if(NOT EXISTS ${sources}/faiss/gpu/GpuDistance.h)
    set(${problem} "no sources in ${CAIRN_FAISS_SOURCE} (tools/setup.sh fetches them)"
      PARENT_SCOPE)
    return()
  endif()
  set(version "")
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS ${sources}/faiss/Index.h line REGEX "define FAISS_VERSION_${part} ")
    string(REGEX REPLACE ".* " "" number "${line}")
    list(APPEND version ${number})
  endforeach()
  list(JOIN version "." version)
  if(NOT version VERSION_EQUAL faiss_VERSION)
    set(${problem} "the sources are ${version}, the installed FAISS ${faiss_VERSION}" PARENT_SCOPE)
  endif()
  foreach(header cublas_v2.h cuda_profiler_api.h)
    unset(found)
    find_path(found ${header} PATHS ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}
      NO_CACHE NO_DEFAULT_PATH)
    if(NOT found)
      set(${problem} "CUDA's ${header} is not there" PARENT_SCOPE)
    endif()
  endforeach()
  set(${folder} ${sources} PARENT_SCOPE)
endfunction()

# What searches of flat vectors need, of the sources in `folder`. Built once for these kernels and
# this nvcc: later builds find the library in .cache/faiss-gpu.
function(cairn_build_faiss folder)
  list(JOIN CAIRN_CUDA_ARCHITECTURES "_" architectures)
  set(name libfaiss-gpu-${faiss_VERSION}-${architectures}-nvcc${CMAKE_CUDA_COMPILER_VERSION}.a)
  set(cache ${PROJECT_SOURCE_DIR}/.cache/faiss-gpu)
  add_library(cairn_faiss_gpu_library INTERFACE)
  target_include_directories(cairn_faiss_gpu_library SYSTEM INTERFACE
    ${folder} ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  if(EXISTS ${cache}/${name})
    add_library(cairn_faiss_gpu_archive STATIC IMPORTED)
    set_target_properties(cairn_faiss_gpu_archive PROPERTIES
      IMPORTED_LOCATION ${cache}/${name} INTERFACE_LINK_LIBRARIES faiss)
    target_link_libraries(cairn_faiss_gpu_library INTERFACE cairn_faiss_gpu_archive)
  else()
    set(gpu ${folder}/faiss/gpu)
    file(GLOB selections ${gpu}/utils/blockselect/*.cu)
    add_library(cairn_faiss_gpu_sources STATIC
      ${gpu}/GpuDistance.cu ${gpu}/GpuResources.cpp ${gpu}/StandardGpuResources.cpp
      ${gpu}/impl/BroadcastSum.cu ${gpu}/impl/Distance.cu ${gpu}/impl/L2Norm.cu
      ${gpu}/impl/L2Select.cu ${gpu}/utils/BlockSelectFloat.cu ${gpu}/utils/DeviceUtils.cu
      ${gpu}/utils/StackDeviceMemory.cpp ${selections})
    set_target_properties(cairn_faiss_gpu_sources PROPERTIES
      CXX_STANDARD 17 CUDA_STANDARD 17 POSITION_INDEPENDENT_CODE ON)
    target_include_directories(cairn_faiss_gpu_sources BEFORE PRIVATE
      ${folder} ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
    target_link_libraries(cairn_faiss_gpu_sources PRIVATE faiss)
    target_compile_definitions(cairn_faiss_gpu_sources PRIVATE FINTEGER=int)
    target_compile_options(cairn_faiss_gpu_sources PRIVATE
      -w $<$<COMPILE_LANGUAGE:CUDA>:-Xfatbin=-compress-all>)
    set(unfinished ${cache}/${name}.unfinished)
    add_custom_command(TARGET cairn_faiss_gpu_sources POST_BUILD
      COMMAND ${CMAKE_COMMAND} -E make_directory ${cache}
      COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:cairn_faiss_gpu_sources> ${unfinished}
      COMMAND ${CMAKE_COMMAND} -E rename ${unfinished} ${cache}/${name} VERBATIM)
    target_link_libraries(cairn_faiss_gpu_library INTERFACE cairn_faiss_gpu_sources)
  endif()
  target_link_libraries(cairn_faiss_gpu_library INTERFACE
    faiss cudart_static Threads::Threads rt ${CMAKE_DL_LIBS})
endfunction()

set(problem "")
if(NOT CAIRN_HAS_CUDA)
  set(problem "it needs the CUDA kernels")
else()
  if(CAIRN_FAISS_GPU MATCHES "AUTO|system")
    cairn_find_faiss_system(problem)
    if(NOT problem)
      set(CAIRN_FAISS_GPU_KIND system)
    endif()
  endif()
  if(NOT CAIRN_FAISS_GPU_KIND AND CAIRN_FAISS_GPU MATCHES "AUTO|source")
    set(problem_of_system "${problem}")
    cairn_find_faiss_source(folder problem)
    if(NOT problem)
      set(CAIRN_FAISS_GPU_KIND source)
    elseif(problem_of_system)
      set(problem "${problem_of_system}, and ${problem}")
    endif()
  endif()
endif()

if(CAIRN_FAISS_GPU_KIND STREQUAL "system")
  find_package(CUDAToolkit QUIET)  # a static FAISS names its targets
  add_library(cairn_faiss_gpu_library INTERFACE)
  target_include_directories(cairn_faiss_gpu_library SYSTEM INTERFACE
    ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  target_link_libraries(cairn_faiss_gpu_library INTERFACE
    faiss cudart_static Threads::Threads rt ${CMAKE_DL_LIBS})
elseif(CAIRN_FAISS_GPU_KIND STREQUAL "source")
  cairn_build_faiss(${folder})
  set(CAIRN_FAISS_GPU_FOLDER ${folder})
elseif(CAIRN_FAISS_GPU STREQUAL "AUTO")
  message(STATUS "FAISS on GPUs: not built: ${problem}")
  return()
else()
  message(FATAL_ERROR "CAIRN_FAISS_GPU=${CAIRN_FAISS_GPU}: ${problem}")
endif()
set(CAIRN_HAS_FAISS_GPU ON)
message(STATUS "FAISS on GPUs: ${CAIRN_FAISS_GPU_KIND}, ${faiss_VERSION}")
