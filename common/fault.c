#include "common/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool fault_set(struct fault *fault, const char *format, ...)
{
    if (!fault)
        return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fault->text, sizeof fault->text, format, arguments);
    va_end(arguments);
    return false;
}

bool fault_errno(struct fault *fault, const char *format, ...)
{
    int error = errno;
    if (!fault)
        return false;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(fault->text, sizeof fault->text, format, arguments);
    va_end(arguments);
    if (length > 0 && (size_t)length < sizeof fault->text)
        snprintf(fault->text + length, sizeof fault->text - (size_t)length, ": %s", strerror(error));
    errno = error;
    return false;
}
