/* The declarations that the parts of the history share. No other file includes this header.
 *
 *   history.c        open, commit, read
 *   objects.c        objects: hashing, writing loose ones, reading
 *   pack.c           packs and their indexes; the objects of one commit as a pack
 *   retired_packs.c  packs that were joined, until they go
 *   file_pool.c      files that are written again instead of making new ones
 *   trees.c          the tree objects of HEAD, and of the commit that is being made
 *   message.c        the commit's text: trailers written and read
 *   refs.c           HEAD, the branch, the lock files
 *   index.c          git's index
 *   index_race.c     an index that git wrote back as it was before our last commits
 *   worktree.c       the files that people see
 *   record.c         the journal's records, and redoing them
 *   ledger.c         which tasks are done
 *   edits.c          what people changed
 *   past.c           commits that people name, and the files as they were
 *   skeleton.c       what makes a folder a repository, as a table
 *   names.c          the names that HEAD tracks in a folder
 *   repository.c     libgit2's handles, opened when they are first needed
 *   file_hash.c      a file of the work tree, and its hash as a blob
 *   file_note.c      a file's identity and the time of its last change
 *   oid.c            object ids
 *   tidy.c           checkpoints and packs */
#pragma once

#include <git2.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/journal.h"
#include "common/repository/commits.h"
#include "worker/history/history.h"

enum {
    REF_NAME_MAX = 256,
    LOCK_PATIENCE_MS = 2000, /* a lock that somebody holds is waited for so long */
    LOCK_STALE_SECONDS = 10, /* an older one counts as left behind */
    FILE_MODE = 0100644,
    FOLDER_MODE = 040000,
    LEDGER_RECORD = 40,
    SPARES_MAX = 80,
    FRESH_MAX = 12,
    ENTERED_MAX = 8, /* our commits that one git command may overtake */
    REMOVED_MAX = 6, /* a descriptor each */
    FRESH_NAME = 40, /* of a file in .agentos/new */
    PACK_BYTES_MAX = 64 * 1024 * 1024,
    GIT_TEXT_MAX = 1024 * 1024, /* bytes of a config or a list of ignored files: thousands of lines */
};

/* --- objects --- */

struct object {
    git_object_t type;
    git_oid id;
    char *data; /* owned by the list, unless borrowed */
    size_t length;
    bool borrowed;
};

struct object_list {
    struct object *items;
    size_t count;
};

/* --- one change of a commit, worked out --- */

/* Which file it is and when it was last written: how our own file is known again, whatever its content. */
struct file_note {
    uint64_t inode; /* 0: none */
    int64_t modified_ns;
};

struct step {
    enum change_kind kind;
    const char *path, *text; /* borrowed from the request or the record */
    size_t length;
    git_oid before, after; /* zero: not there */
    uint32_t mode;         /* of after; of before when removed */
    struct stat prepared;  /* WRITE: the new file before it is exchanged; st_ino 0: none prepared */
    struct file_note note; /* the part of the journal's record about `prepared` */
    struct stat current;   /* the file in the work tree when we looked; st_ino 0: there was none */
    bool left;             /* people's own version stays in the work tree */
    bool done;             /* the work tree is already as it should be */
};

/* A commit on its way: the parts of the journal's record. */
struct work {
    char ref[REF_NAME_MAX]; /* "refs/heads/main", or "HEAD" when it is detached */
    git_oid parent, commit; /* parent zero: the first commit */
    struct object_list objects;
    struct step *steps;
    size_t step_count;
    /* of the files that were prepared to become the ref and the index */
    struct file_note ref_note, index_note;
    char pack[COMMIT_TEXT]; /* the name of the pack that was made; "": there is none */
};

/* The entries that one of our commits put into the index. */
struct entered {
    git_oid commit;
    struct step *steps; /* with paths of their own; kind CHANGE_RECORD */
    size_t count;
};

/* --- the tree objects that were read lately, by path --- */

struct tree_copy {
    char *path; /* "" is the root */
    size_t path_length;
    uint64_t used; /* the set's clock when it was asked for last */
    git_oid id;    /* of raw */
    struct buffer raw;
    bool changed; /* in a draft */
};

struct tree_set {
    struct tree_copy *items;
    size_t count, bytes;
    uint64_t clock; /* counts the requested handles */
};

struct ledger {
    int fd;
    uint32_t *slots; /* open addressing: number of a record plus one; 0 is free */
    size_t slot_count, used;
    size_t records; /* in the file */
    git_oid newest; /* commit of the last record; zero: none */
    uint64_t tasks;
};

/* The files that a commit prepares beside the files that people see. */
enum role { ROLE_PACK, ROLE_PACK_INDEX, ROLE_INDEX, ROLE_REF, ROLE_COUNT };

/* A file that is not needed any more. pages: of its content, for a file of the same size is the best to write over. */
struct numbered_spare {
    unsigned number; /* its name in .agentos/spare */
    unsigned pages;
};
struct fresh_spare {
    char name[FRESH_NAME]; /* in .agentos/new: the file came out of the work tree */
    unsigned pages;
};

struct spares {
    int folder; /* .agentos/spare */
    struct numbered_spare numbered[SPARES_MAX];
    size_t count;
    unsigned next; /* the number of the next one */
    struct {
        bool filled;
        unsigned number;
        struct stat status; /* when it was written */
    } roles[ROLE_COUNT];
    struct fresh_spare fresh[FRESH_MAX];
    size_t fresh_count;
    bool folder_wanted; /* a commit has made one: the next one's is made ahead */
    ino_t folder_ahead; /* its inode; 0: the file isn't there */
    int removed
        [REMOVED_MAX]; /* folders that have no name any more: the file system frees them at their closing */
    size_t removed_count;
};

/* Notes of packs that were joined (retired_packs.c). */
struct retired {
    int64_t look_at; /* epoch seconds: when the first of them is due; 0: not known yet */
    size_t count;
};

/* HEAD and its branch, as they were read last. */
struct head_seen {
    char ref[REF_NAME_MAX]; /* "": not yet */
    git_oid id;
    struct file_stamp head_stamp, ref_stamp;
};

struct folder_look;

#define TRAILER_EPOCH "Agentos-Epoch: "

struct history {
    int tree;       /* borrowed */
    uint64_t epoch; /* history_begin_epoch */
    struct {
        int git;   /* .git */
        int notes; /* .agentos */
        int fresh; /* .agentos/new: files prepared for the exchange */
        int locks; /* .agentos/locks */
    } folders;
    char *path, *agent;
    git_odb *odb;
    git_repository *repository; /* opened when first needed */
    struct journal *journal;
    struct {
        struct head_seen seen;
        char kept[REF_NAME_MAX]; /* the branch of the commits made while HEAD is on none; "": none yet */
        git_oid next;            /* the file that was prepared to become the branch */
        git_oid commit;          /* that HEAD named when we looked last; zero: none yet */
        git_oid rooted, root;    /* the commit that was asked for last, and its tree */
    } head;
    struct tree_set trees;
    struct {
        git_index *copy;
        struct file_stamp stamp; /* of .git/index when the copy was made */
        bool known;
        bool ours; /* .git/index is as a commit of this process left it */
        /* By our last commits, each the child of the commit before; the newest last. */
        struct entered entered[ENTERED_MAX];
        size_t entered_count;
    } index;
    struct {
        struct folder_look *items;
        size_t count;
    } looked; /* edits.c: folders in which everything was known, with their stamps */
    struct ledger ledger;
    bool opened_anew;   /* history_opened_anew */
    char *damage;       /* the same; NULL: none */
    bool pending;       /* the journal's last record is not brought to its end yet */
    size_t young_packs; /* of one commit each: packs that were there at the last count, and ours since */
    struct retired retired;
    int64_t committed_ms; /* monotonic time of the last commit; 0: none in this process */
    struct spares spares;
    struct {
        bool on;                /* the journal is being redone: no spares then */
        struct file_note *ours; /* after a power cut: every file that the journal's records prepared */
        size_t count;
    } redo;
    /* Lock files of git's that we hold, or may have held when a former process was killed: noted (.agentos/locks)
     * before they get their names, so that a later start can tell our leftover from a living git's lock. */
    struct file_note noted[2];
    struct buffer unjoined; /* names of packs that can't be joined */
    struct buffer warned;   /* paths that were complained about, each with a NUL behind it */
};

/* --- file_pool.c --- */

/* A removed folder's descriptor, which is closed by history_ready() or spares_close(): that frees the folder, which takes
 * longer than all else that the commit does beside its flush, and nobody waits for it. */
void spares_outlast(struct history *history, int removed);
void spares_let_go(struct history *history); /* of these descriptors */
/* The work tree gets the folder `path`, which isn't there: a folder that was made ahead, while no task waited. False:
 * there is no such folder, or it could not be put there; the caller makes one. */
bool spare_folder(struct history *history, const char *path);
bool spares_open(struct history *history, struct fault *fault);
void spares_close(struct history *history);
/* folder/name is of no use any more: the file becomes a spare, or goes. */
void spare_give(struct history *history, int folder, const char *name);
/* A file with this text as folder/name (on the tree's file system), in the place of a file that lies there; made of a
 * spare where there is one. status: of the file when it was written. False and errno. */
bool spare_write(struct history *history, int folder, const char *name, const char *bytes, size_t length,
                 mode_t mode, struct stat *status);
/* .agentos/new/NAME, which came out of the work tree, is of no use any more: a spare that stays where it is.
 * length: about its bytes. */
void spare_keep(struct history *history, const char *name, size_t length);
/* A spare gets this text, and waits under .agentos/spare for its place; the spare that waited for this role is written
 * over. */
bool spare_fill(struct history *history, enum role role, const char *bytes, size_t length);
/* The filled spare becomes folder/name, unless a file lies there (EEXIST). False and errno. */
bool spare_place(struct history *history, enum role role, int folder, const char *name);
/* All spares go: the disk may be full. */
void spares_drop(struct history *history);

/* --- oid.c --- */

bool object_id_zero(const git_oid *id);

/* --- objects.c --- */

bool object_hash(git_object_t type, const void *data, size_t length, git_oid *id, struct fault *fault);
/* take: the list owns data from now on, also on a fault; else it is borrowed. */
struct object *object_add(struct object_list *list, git_object_t type, char *data, size_t length, bool take,
                          struct fault *fault);
/* The same, when the id is known already. */
struct object *object_add_known(struct object_list *list, git_object_t type, const git_oid *id, char *data,
                                size_t length, bool take);
void object_list_free(struct object_list *list);
bool object_write_loose(struct history *history, const struct object *object, struct fault *fault);
/* bytes as a zlib stream that stores them. Appended to out. */
void object_store(const char *bytes, size_t length, struct buffer *out);
void object_word(struct buffer *out, uint32_t number); /* four bytes, big-endian */
/* Is the object there and whole? */
bool object_sound(struct history *history, const git_oid *id);
bool object_present(struct history *history, const git_oid *id);
/* Without descriptors libgit2 finds no pack, and says that an object is missing. False: there are too few of them now, and
 * what it has just said, or will say, tells nothing about the repository. Its handles are closed. */
bool object_look_counts(struct history *history);
/* Make it so, whatever lies in its place. */
bool object_repair(struct history *history, const struct object *object, struct fault *fault);
bool object_read(struct history *history, const git_oid *id, git_object_t type, git_odb_object **object,
                 struct fault *fault);

/* --- pack.c --- */

/* Objects that are too large for a pack go where they belong at once, each a file of its own. */
bool pack_needless(struct history *history, const struct work *work, struct fault *fault);
/* The other objects are written as a pack that no reader sees yet; pack_place: the pack is where git finds it, or fault
 * says why not. */
bool pack_make(struct history *history, struct work *work, struct fault *fault);
bool pack_place(struct history *history, const struct work *work, struct fault *fault);
/* Is the pack of this commit there? Not asking libgit2, which would open it. */
bool pack_present(struct history *history, const struct work *work);
/* Redo: a pack under the name of this commit's that is not this commit's whole pack goes. True: a pack went. */
bool pack_mend(struct history *history, const struct work *work);

/* --- retired_packs.c --- */

/* The objects of this pack are all in `heir` now, which is durable. */
void retired_add(struct history *history, const char *name, const char *heir);
bool retired_has(const struct history *history, const char *name);
/* The packs that have stayed long enough go. False: none went. */
bool retired_remove(struct history *history);
/* When the next one is due (monotonic); 0: there is none. */
int64_t retired_at(const struct history *history);

/* --- trees.c --- */

void tree_set_free(struct tree_set *set);
/* 1 found, 0 not there, -1 fault */
int tree_find(struct history *history, const git_oid *root, const char *path, git_oid *id, uint32_t *mode,
              struct fault *fault);
/* The tree object of HEAD's folder, borrowed until the next call that reads trees. 1 found, 0 no such folder, -1 fault */
int tree_of_folder(struct history *history, const char *path, const struct buffer **raw, struct fault *fault);
/* The root tree of a commit; zero for a zero commit. */
bool tree_of_commit(struct history *history, const git_oid *commit, git_oid *root, struct fault *fault);
/* The tree of work->parent with work's steps done; fills each step's before and mode; adds blobs and trees to
 * work->objects. draft becomes the cache with tree_keep when the commit succeeded. effective: something changed. */
bool tree_build(struct history *history, struct work *work, struct tree_set *draft, git_oid *root,
                bool *effective, struct fault *fault);
void tree_keep(struct history *history, struct tree_set *draft);

/* --- message.c --- */

/* The commit object's text. Appended to out. */
void message_commit(const struct history *history, const struct commit_request *request, const git_oid *tree,
                    const git_oid *parent, struct buffer *out);
/* The task that a commit's text says is over; false: none. *task is owned by the caller. answered: the task was done,
 * and did not expire or the like. */
bool message_task(const char *text, size_t length, char **task, uint64_t *task_hash, bool *answered);

/* --- refs.c --- */

/* The ref that HEAD stands for and the commit that it names (zero: unborn). 1; 0 and fault: the file has no ref; -1 and
 * fault: the ref can't be read now. name is set whenever HEAD itself is good, else it is "". */
int ref_read(struct history *history, char name[REF_NAME_MAX], git_oid *id, struct fault *fault);
/* The same, without reading when both files have the stamps that they had; under the lock read it is read. */
int ref_look(struct history *history, char name[REF_NAME_MAX], git_oid *id, struct fault *fault);
/* history->head.commit is what HEAD names now. */
bool history_look(struct history *history, struct fault *fault);
enum lock_kind { LOCK_REF, LOCK_INDEX };
/* The file that was prepared for the ref or the index gets the name `target`.lock (target relative to .git). */
bool lock_take(struct history *history, enum lock_kind kind, const char *target, struct fault *fault);
/* The file under the lock's name becomes the target, and the lock is let go. placed: NULL, or gets the target's stamp,
 * taken before another process can replace the file. */
bool lock_commit(struct history *history, enum lock_kind kind, const char *target, struct file_stamp *placed,
                 struct fault *fault);
void lock_release(struct history *history, enum lock_kind kind, const char *target);
/* At open: our own leftovers go, whatever their age. */
void lock_sweep(struct history *history, const char *ref);
bool ref_prepare(struct history *history, const git_oid *id, struct fault *fault);
bool ref_set(struct history *history, const char *name, const git_oid *id, struct fault *fault);

/* --- index.c --- */

/* Our copy is as .git/index is now. A broken index is made again from HEAD. */
bool index_refresh(struct history *history, struct fault *fault);
bool index_current(struct history *history);
/* The steps in the copy, and the copy prepared. After a fault, or when the commit doesn't come about,
 * call index_forget. */
bool index_prepare(struct history *history, const struct work *work, struct fault *fault);
void index_forget(struct history *history);
/* Under the index's lock: the prepared file becomes .git/index, and the lock is let go. */
bool index_commit(struct history *history, struct fault *fault);
/* Redo: entries of steps whose file is there as it should be. Takes the lock itself. */
bool index_redo(struct history *history, const struct work *work, struct fault *fault);
/* --- index_race.c --- */

void entered_keep(struct history *history, const struct work *work);
void entered_forget(struct history *history);
/* Whether this index, which another process wrote, is as it was before our last commits, and HEAD still the last of
 * them. True: lost->steps are the entries of these commits (free that array; its paths are the history's, until the
 * next commit). */
bool entered_overtaken(const struct history *history, git_index *index, struct work *lost);

/* Does the work tree's file have the stamp that the index notes, and which blob? */
bool index_matches(struct history *history, const char *path, const struct stat *status, git_oid *id);
/* The file was read and found to have the blob that the index says, under another stamp: note it (in memory). */
void index_note(struct history *history, const char *path, const struct stat *status);

/* --- worktree.c --- */

/* Before the flush: looks at the files that are there, writes the new files beside. No reader sees them yet. redo: the
 * steps are from the journal; after a power cut a file with a piece of the new text counts as damage and is written
 * again. */
bool worktree_prepare(struct history *history, struct work *work, bool redo, struct fault *fault);
void worktree_discard(struct history *history, const struct work *work);
/* After the flush. False: something could not be done; redo it later. */
bool worktree_apply(struct history *history, struct work *work, struct fault *fault);
/* At open: sweeps the files in .agentos/new that belong to this half-done commit. A text that neither the commit before
 * nor after has is a person's, and goes back to its place or is kept aside. NULL: sweeps all other files, which nobody
 * needs: files that were prepared and never used, and files that were replaced. Not while a commit is half done. */
bool worktree_sweep(struct history *history, const struct work *work, struct fault *fault);
/* --- file_hash.c --- */

/* A file's folder, opened beneath the tree without following links, and its name there. */
struct place {
    int folder;
    bool own;
    const char *name;
};

bool place_open(struct history *history, const char *path, bool create, struct place *place,
                struct fault *fault);
void place_close(struct place *place);
/* Hash of the file as a blob, with its stamp. 1, 0 missing, -1 no regular file or unreadable (errno). text: NULL, or
 * gets its content, which the caller frees. */
int hash_at(int folder, const char *name, git_oid *id, struct stat *status, char **text, size_t *length);
int worktree_hash(struct history *history, const char *path, git_oid *id, struct stat *status);

/* --- file_note.c --- */

struct file_note record_note(const struct stat *status);
bool record_wrote(const struct file_note *note, const struct stat *status);
/* While redoing after a power cut: whether this is a file that a record prepared and nobody has written to since. Its
 * content may be from before all the same. */
bool record_prepared(const struct history *history, const struct stat *status);

/* --- record.c --- */

void record_encode(const struct work *work, struct buffer *out);
/* Borrows from record. */
bool record_decode(const void *record, size_t length, struct work *work);
void work_free(struct work *work);
/* Bring everything in the journal to its end. */
bool record_redo_all(struct history *history, struct fault *fault);

/* --- ledger.c --- */

/* Read the cache, check it against HEAD, read the missing records from git. */
bool ledger_open(struct history *history, struct fault *fault);
void ledger_close(struct history *history);
/* HEAD is another commit than the newest known: find out which tasks that means. */
bool ledger_refresh(struct history *history, struct fault *fault);
void ledger_add(struct history *history, const git_oid *commit, const char *task, uint64_t task_hash,
                bool answered);
bool ledger_find(struct history *history, const char *task, uint64_t task_hash, git_oid *commit);

/* --- edits.c --- */

void edits_forget(struct history *history);

/* --- skeleton.c --- */

/* people_git.c: HEAD is on no branch, and this commit of ours stands there now: a branch keeps it. */
void head_keep(struct history *history, const git_oid *parent, const git_oid *commit);

/* .git is there with all that makes a folder a repository: made, or mended after a power cut. 1; 0 and fault: the file
 * or folder there can't be a repository; -1 and fault. */
int skeleton_make(struct history *history, struct fault *fault);
/* .git goes aside; *damage says where (caller frees). */
bool skeleton_set_aside(struct history *history, const char *why, char **damage, struct fault *fault);
/* HEAD names the branch main again. */
bool skeleton_head(struct history *history, struct fault *fault);

/* --- repository.c --- */

/* libgit2's database of the objects, opened when it is needed; NULL and fault. */
git_odb *history_objects(struct history *history, struct fault *fault);
/* Packs went: libgit2 forgets its list of packs. */
void history_close_objects(struct history *history);
git_repository *history_repository(struct history *history, struct fault *fault);
/* Whether the tree's file is small enough for libgit2, which reads a config or a list of ignored files whole. A file
 * that is missing or not regular is. False and fault: the fault names the file and its size. */
bool history_fits(const struct history *history, const char *path, struct fault *fault);
void history_warn_once(struct history *history, const char *path, const char *why);
