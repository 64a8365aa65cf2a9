# cmake -C deploy/presets/fuzz.cmake -S . -B build/fuzz
set(CMAKE_C_COMPILER clang CACHE STRING "")
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(AGENTOS_FUZZ ON CACHE BOOL "")
set(AGENTOS_WERROR ON CACHE BOOL "")
set(AGENTOS_SANITIZE "address,undefined" CACHE STRING "")
set(AGENTOS_TESTS ON CACHE BOOL "")
set(AGENTOS_TEST_CLOCK ON CACHE BOOL "")
