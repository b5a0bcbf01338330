# Every third-party library, found once. docs/architecture.md says why each is here.
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED)  # before FAISS, whose configuration asks for it
find_package(faiss CONFIG REQUIRED)
find_package(BLAS REQUIRED)
find_package(RocksDB CONFIG REQUIRED)
find_package(TBB CONFIG REQUIRED)
find_package(Boost 1.74 REQUIRED)
find_package(dnnl CONFIG REQUIRED)
find_package(fmt CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(HTTPLIB REQUIRED IMPORTED_TARGET cpp-httplib)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)

# Highway builds for every instruction set it can dispatch to; nobody has SSSE3 without SSE4.
add_compile_definitions(HWY_DISABLED_TARGETS=HWY_SSSE3)
