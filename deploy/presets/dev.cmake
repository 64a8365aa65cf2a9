# cmake -C deploy/presets/dev.cmake -S . -B build/dev
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(AGENTOS_WERROR ON CACHE BOOL "")
set(AGENTOS_TESTS ON CACHE BOOL "")
set(AGENTOS_TEST_CLOCK ON CACHE BOOL "")
