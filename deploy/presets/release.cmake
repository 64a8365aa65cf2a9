# cmake -C deploy/presets/release.cmake -S . -B build/release
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(AGENTOS_TESTS OFF CACHE BOOL "")
