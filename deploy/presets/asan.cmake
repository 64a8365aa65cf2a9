# cmake -C deploy/presets/asan.cmake -S . -B build/asan
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(AGENTOS_WERROR ON CACHE BOOL "")
set(AGENTOS_SANITIZE "address,undefined" CACHE STRING "")
set(AGENTOS_TESTS ON CACHE BOOL "")
set(CMAKE_C_FLAGS_DEBUG "-g1 -O1" CACHE STRING "")
set(AGENTOS_TEST_CLOCK ON CACHE BOOL "")
# Nearly 150 programs are linked, and thousands started: gold needs half of the time to link, and a program that has nothing
# to relocate and its sanitizers within it starts in 118 ms of CPU in place of 195.
find_program(AGENTOS_GOLD ld.gold)
set(CMAKE_EXE_LINKER_FLAGS "-no-pie -static-libasan -static-libubsan" CACHE STRING "")
if(AGENTOS_GOLD)
    set(CMAKE_EXE_LINKER_FLAGS "${CMAKE_EXE_LINKER_FLAGS} -fuse-ld=gold" CACHE STRING "" FORCE)
endif()
