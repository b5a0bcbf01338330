#!/usr/bin/env bash
# Builds test programs with sanitizers and runs them:
#
#   tests/sanitize.sh asan-ubsan | tsan  [PROGRAM...]
#
# asan-ubsan: addresses, leaks and undefined behaviour; tsan: threads, those of kernels as well, and
# streams. Without names, all that need no model. The first report of a program ends it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=${1:?asan-ubsan or tsan}
shift
programs=("$@")
with_fibers=(cuda_kernels_test device_test device_index_test device_llama_test
  device_session_test)
if [ ${#programs[@]} -eq 0 ]; then
  programs=(base_test kernels_test index_test storage_test engine_test model_test device_tier_test
    faiss_gpu_index_test "${with_fibers[@]}")
fi
build=build-asan
if [ "$preset" = tsan ]; then
  build=build-tsan
  # Each thread of a kernel is one for the sanitizer; g++'s takes many times as long to make one.
  command -v clang++-14 >/dev/null ||
    { echo "tsan needs clang: apt-get install clang-14 libclang-rt-14-dev" >&2; exit 1; }
fi
cmake --preset "$preset" >/dev/null
export ASAN_OPTIONS=detect_stack_use_after_return=1
LSAN_OPTIONS="suppressions=$PWD/tests/lsan_suppressions.txt print_suppressions=0"
export LSAN_OPTIONS
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
TSAN_OPTIONS="suppressions=$PWD/tests/tsan_suppressions.txt halt_on_error=1"
export TSAN_OPTIONS
failed=()
for program in "${programs[@]}"; do
  cmake --build "$build" --target "$program"
  options=$ASAN_OPTIONS
  # Stacks kept for that check are given back when a thread ends, and fibers end within one.
  if [[ " ${with_fibers[*]} " == *" $program "* ]]; then
    options=detect_stack_use_after_return=0
  fi
  ASAN_OPTIONS=$options "$build/bin/$program" --gtest_brief=1 || failed+=("$program")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed with $preset: ${failed[*]}" >&2
  exit 1
fi
