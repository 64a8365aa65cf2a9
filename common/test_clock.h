/* A clock that tests can move. The clock exists where AGENTOS_TEST_CLOCK is defined (the dev, asan and fuzz presets); a
 * release build has no trace of it. Two offsets are added to the kernel's clocks: one to the wall clock, one to the
 * monotonic clock. The offsets are a process's own, or stand in the file that the variable AGENTOS_TEST_CLOCK names: 16
 * bytes, two 64-bit numbers of milliseconds. Each process maps that file before main, so before its sandbox is
 * complete; workers inherit the page from their zygote.
 *
 * A test of a whole system moves the wall clock alone where it can: then no watch for life is hastened, since
 * heartbeats, start deadlines and task_seconds wait by the monotonic clock. A move of the monotonic clock, however far,
 * is one heartbeat at most, and a worker is hung after three without an answer; so a test that moves it waits for an
 * effect between two moves, and moves it while no worker starts or has a request under way. */
#pragma once

#ifdef AGENTOS_TEST_CLOCK

#include <stdbool.h>
#include <stdint.h>

int64_t test_clock_wall_ms(void);
int64_t test_clock_monotonic_ms(void);
int test_clock_wait(int wait_ms);
int test_clock_set_open(void); /* readable when the file was written; -1: no file */

/* Moves the clocks of this process; not where they are a file's. */
void test_clock_move(int64_t wall_ms, int64_t monotonic_ms);
/* While on, no wait takes real time: both clocks move to its deadline at once. */
void test_clock_skip_waits(bool on);

#define TEST_CLOCK_WALL_MS       test_clock_wall_ms()
#define TEST_CLOCK_MONOTONIC_MS  test_clock_monotonic_ms()
#define TEST_CLOCK_WAIT(wait_ms) test_clock_wait(wait_ms)
#define TEST_CLOCK_SET_OPEN()    test_clock_set_open()

#else

#define TEST_CLOCK_WALL_MS       0
#define TEST_CLOCK_MONOTONIC_MS  0
#define TEST_CLOCK_WAIT(wait_ms) (wait_ms)
#define TEST_CLOCK_SET_OPEN()    (-1)

#endif
