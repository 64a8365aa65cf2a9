/* Where the HTTP interface listens, as AGENTOS_LISTEN has it: ADDRESS:PORT. The address is a number, as 127.0.0.1, 0.0.0.0
 * or [::1], or "localhost", which is 127.0.0.1: a name would have to be asked for, and asking may take minutes. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "common/fault.h"

enum { ADDRESS_TEXT = 64 };

struct address {
    struct sockaddr_storage socket;
    socklen_t length;
};

bool address_parse(const char *text, struct address *address, struct fault *fault);
bool address_is_loopback(const struct address *address); /* no other machine reaches this address */
/* "127.0.0.1:8080", "[::1]:8080". Returns text. */
const char *address_text(const struct address *address, char text[ADDRESS_TEXT]);
