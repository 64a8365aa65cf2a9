/* Names and ids: the texts that may become a file's name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* 1 to 64 of a-z 0-9 - _, starting with a letter (contract section 3). */
bool names_agent(const char *name);
/* 1 to 64 of a-z A-Z 0-9 - _: a supervisor on the bus (contract section 12). */
bool names_node(const char *name);
/* 1 to 64 of a-z 0-9 - (contract section 7). */
bool names_skill(const char *name);
/* An id that is a file's name as it stands: 1 to ID_MAX bytes of ASCII letters, digits, '-', '_', '.', not starting with
 * '.'; other letters (UTF-8) only where a hash stands at the end, as names_file makes it. names_file gives it back
 * unchanged. Every envelope's id is one. */
bool names_id(const char *id);

/* A name that an editor, a copier, a synchroniser or the system itself gives to a file while it is written, or to a
 * copy that it keeps: hidden, "x~", "~$x", "#x#", "x.tmp", "x.md.part", "x.md.unreadable-TIME". Such a file is neither
 * work nor a mistake: the reader leaves it alone and does not report it. */
bool names_temporary(const char *file);
/* A synchroniser's conflict copy ("x.sync-conflict-….md", "x (conflicted copy).md"): the copy is reported and never
 * work. */
bool names_conflict(const char *file);
/* "x.md", whatever else it is. */
bool names_markdown(const char *file);
/* "x.md", and neither of these two: a file of that name may be work, in every folder that people put work into. */
bool names_work(const char *file);
/* A file of a folder of envelopes that is no envelope by its name, ID.md, and not temporary: somebody's mistake. */
bool names_stray(const char *file);

/* A task's id as people write it, made into a file's name of at most ID_MAX bytes: letters (of any alphabet), digits,
 * '-', '_', '.' stay, the rest becomes '-'; never empty, never starting with '.' or '-'; a long or changed id, and an
 * id that is not plain ASCII, gets '-' and 8 hex digits of its hash behind it, so that two ids never share a name.
 * Caller frees. */
char *names_file(const char *id);
/* The name that earlier versions made of the id: their files are still found. Caller frees. */
char *names_file_before(const char *id);

/* A new id: UTC time, four hex digits of sequence and eight of chance: "20260429T100505-0001-9f86d081"; sorts
 * by time. */
char *names_new_id(void);

/* Deterministic 64-bit hash (FNV-1a) of bytes: for file names and tables, not for security. */
unsigned long long names_hash(const void *bytes, size_t length);

/* For qsort, bsearch and tsearch: orders records that begin with a char *, or are one, by that text. */
int names_order(const void *a, const void *b);
/* The record of such a tree (tsearch) with this text; NULL: there is none. */
void *names_find(void *const *tree, const char *text);
