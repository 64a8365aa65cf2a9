/* Preloaded into a program of ours, this object shows it a kernel with Landlock ABI 5, which keeps no signals within a
 * sandbox. */
#include <dlfcn.h>
#include <linux/landlock.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SHOWN_ABI = 5, ARGUMENTS = 6 };

long syscall(long number, ...)
{
    static long (*real)(long, ...);
    long a[ARGUMENTS];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < ARGUMENTS; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "syscall");
    if (number == SYS_landlock_create_ruleset && a[0] == 0 && a[2] == LANDLOCK_CREATE_RULESET_VERSION)
        return SHOWN_ABI;
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
