# cmake -C deploy/presets/dev.cmake -S . -B build/dev
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(AGENTOS_WERROR ON CACHE BOOL "")
set(AGENTOS_TESTS ON CACHE BOOL "")
set(AGENTOS_TEST_CLOCK ON CACHE BOOL "")
# All targets, also in a folder where deploy/test has built some alone.
set(AGENTOS_UNIT_TESTS "" CACHE STRING "" FORCE)
