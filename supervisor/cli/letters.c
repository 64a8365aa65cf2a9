#include "supervisor/cli/letters.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/envelope.h"
#include "common/files.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"

static const char *const FOLDERS[] = {TREE_INBOX, TREE_HANDOFFS, TREE_OUTBOX, TREE_ARCHIVE,
                                      TREE_DEAD_LETTERS};
enum { FOLDER_COUNT = sizeof(FOLDERS) / sizeof(FOLDERS[0]) };

/* What has an agent as sender and receiver lies with it twice, once on either side. */
struct place {
    char *id; /* owned */
    const char *folder;
    bool to_itself;
};

struct letters {
    const char *where;
    struct buffer *findings;
    struct place *places;
    size_t count;
};

static void read_letter(struct letters *letters, int folder, const char *folder_name, const char *file)
{
    struct fault fault = {0};
    struct envelope envelope = {0};
    OWNED char *text = NULL;
    size_t length = 0;
    int got = files_read(folder, file, ENVELOPE_MAX, &text, &length, NULL, &fault);
    if (got == 0) {
        return; /* moved on since the folder was read */
    }
    if (got < 0 || !envelope_parse(&envelope, text, length, file, &fault)) {
        buffer_print(letters->findings, "%s: %s/%s is no valid envelope: %s\n", letters->where, folder_name,
                     file, fault.text);
        return;
    }
    OWNED char *name = names_file(envelope.id);
    if (strlen(file) != strlen(name) + 3 || strncmp(file, name, strlen(name)) != 0) {
        buffer_print(letters->findings, "%s: %s/%s holds the envelope %s\n", letters->where, folder_name,
                     file, envelope.id);
    }
    letters->places = memory_grow(letters->places, letters->count + 1, sizeof(*letters->places));
    letters->places[letters->count++] = (struct place){.id = memory_text(envelope.id),
                                                       .folder = folder_name,
                                                       .to_itself = strcmp(envelope.from, envelope.to) == 0};
    envelope_free(&envelope);
}

static bool is_letter(const char *name)
{
    size_t length = strlen(name);
    return name[0] != '.' && length > 3 && strcmp(name + length - 3, ".md") == 0;
}

static void read_folder(struct letters *letters, int above, const char *folder_name)
{
    int folder = files_open(above, folder_name, O_RDONLY | O_DIRECTORY, 0);
    DIR *directory = folder >= 0 ? fdopendir(folder) : NULL;
    if (directory == NULL) {
        if (errno != ENOENT) {
            buffer_print(letters->findings, "%s: %s cannot be read: %s\n", letters->where, folder_name,
                         strerror(errno));
        }
        memory_close_at(&folder);
        return;
    }
    for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        if (is_letter(entry->d_name)) {
            read_letter(letters, folder, folder_name, entry->d_name);
        } else if (entry->d_name[0] != '.') {
            buffer_print(letters->findings, "%s: %s/%s is no envelope\n", letters->where, folder_name,
                         entry->d_name);
        }
    }
    closedir(directory);
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->id, ((const struct place *)b)->id);
}

static void find_doubles(struct letters *letters)
{
    if (letters->count > 0) {
        qsort(letters->places, letters->count, sizeof(*letters->places), by_id);
    }
    for (size_t i = 1; i < letters->count; i++) {
        const struct place *a = &letters->places[i - 1];
        const struct place *b = &letters->places[i];
        if (strcmp(a->id, b->id) == 0 && !a->to_itself) {
            buffer_print(letters->findings, "%s: the envelope %s lies in %s and in %s\n", letters->where,
                         a->id, a->folder, b->folder);
        }
    }
}

static void letters_free(struct letters *letters)
{
    for (size_t i = 0; i < letters->count; i++) {
        free(letters->places[i].id);
    }
    free(letters->places);
}

void letters_check(int agent_folder, const char *where, struct buffer *findings)
{
    struct letters letters = {.where = where, .findings = findings};
    for (size_t i = 0; i < FOLDER_COUNT; i++) {
        read_folder(&letters, agent_folder, FOLDERS[i]);
    }
    find_doubles(&letters);
    letters_free(&letters);
}

void letters_check_shared(const char *data_dir, struct buffer *findings)
{
    struct dirent **queues = NULL;
    OWNED char *path = memory_print("%s/shared/queues", data_dir);
    OWNED_FD int folder = files_open_path(path, NULL);
    int count = folder >= 0 ? scandir(path, &queues, NULL, alphasort) : -1;
    struct letters letters = {.where = "shared/queues", .findings = findings};
    for (int i = 0; i < count; i++) {
        if (queues[i]->d_name[0] != '.') {
            read_folder(&letters, folder, queues[i]->d_name);
        }
    }
    find_doubles(&letters);
    letters_free(&letters);
    for (int i = 0; i < count; i++) {
        free(queues[i]); /* only now: places name their folders by these */
    }
    free(queues);
}
