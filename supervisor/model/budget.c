#include "supervisor/model/budget.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/utf8.h"

enum { DAY = 86400, HOUR = 3600, SLOT = 15, AGENTS_READ_MAX = 20000, TASK_SHOWN = 200 };

struct day {
    int64_t day; /* since 1970 */
    uint64_t tokens;
    bool used;
};

/* Tasks begun at a second, or within a slot from then on. */
struct beginning {
    int64_t at, width;
    uint64_t count;
};

struct account {
    char *agent;
    struct day days[BUDGET_DAYS];
    struct beginning *begun; /* oldest first, but after a jump of the clock */
    size_t begun_count;
    char *in_hand[BUDGET_IN_HAND]; /* oldest first */
    size_t in_hand_count;
};

struct reservation {
    uint64_t serial, tokens;
    struct account *account;
    int64_t day;
};

struct budget {
    struct account **accounts;
    size_t account_count;
    struct reservation *reservations;
    size_t reservation_count;
};

struct budget *budget_new(void)
{
    return memory_new(1, sizeof(struct budget));
}

static void empty(struct account *account)
{
    memset(account->days, 0, sizeof account->days);
    for (size_t i = 0; i < account->in_hand_count; i++)
        free(account->in_hand[i]);
    account->in_hand_count = account->begun_count = 0;
}

void budget_clear(struct budget *budget)
{
    for (size_t i = 0; i < budget->account_count; i++)
        empty(budget->accounts[i]);
}

void budget_free(struct budget *budget)
{
    if (!budget)
        return;
    budget_clear(budget);
    for (size_t i = 0; i < budget->account_count; i++) {
        free(budget->accounts[i]->begun);
        free(budget->accounts[i]->agent);
        free(budget->accounts[i]);
    }
    free(budget->accounts);
    free(budget->reservations);
    free(budget);
}

static struct account *find(const struct budget *budget, const char *agent)
{
    for (size_t i = 0; i < budget->account_count; i++)
        if (strcmp(budget->accounts[i]->agent, agent) == 0)
            return budget->accounts[i];
    return NULL;
}

static struct account *find_or_make(struct budget *budget, const char *agent)
{
    struct account *account = find(budget, agent);
    if (account)
        return account;
    account = memory_new(1, sizeof *account);
    account->agent = memory_text(agent);
    budget->accounts = memory_grow(budget->accounts, budget->account_count + 1, sizeof(struct account *));
    budget->accounts[budget->account_count++] = account;
    return account;
}

/* --- tokens of a day --- */

static int64_t day_of(int64_t now)
{
    return now >= 0 ? now / DAY : -((-now + DAY - 1) / DAY);
}

static uint64_t more(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t tokens_on(const struct account *account, int64_t day)
{
    for (size_t i = 0; account && i < BUDGET_DAYS; i++)
        if (account->days[i].used && account->days[i].day == day)
            return account->days[i].tokens;
    return 0;
}

static int64_t distance(int64_t a, int64_t b)
{
    return a > b ? a - b : b - a;
}

/* The day's own place; a new day takes a free one, or that of the day which is farthest from it. */
static struct day *place_of(struct account *account, int64_t day)
{
    struct day *place = &account->days[0];
    for (size_t i = 0; i < BUDGET_DAYS; i++) {
        struct day *here = &account->days[i];
        if (here->used && here->day == day)
            return here;
        if (place->used && (!here->used || distance(here->day, day) > distance(place->day, day)))
            place = here;
    }
    *place = (struct day){.day = day, .used = true};
    return place;
}

static uint64_t all_on(const struct budget *budget, int64_t day)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < budget->account_count; i++)
        sum = more(sum, tokens_on(budget->accounts[i], day));
    return sum;
}

uint64_t budget_spent(const struct budget *budget, const char *agent, int64_t now)
{
    return agent ? tokens_on(find(budget, agent), day_of(now)) : all_on(budget, day_of(now));
}

/* --- tasks of an hour --- */

/* Ids are kept, and so compared, up to a length. */
static size_t find_in_hand(const struct account *account, const char *task)
{
    size_t i = 0, length = utf8_cut(task, strlen(task), TASK_SHOWN);
    while (i < account->in_hand_count &&
           (strncmp(account->in_hand[i], task, length) != 0 || account->in_hand[i][length] != '\0'))
        i++;
    return i;
}

static bool is_in_hand(const struct account *account, const char *task)
{
    return account && find_in_hand(account, task) < account->in_hand_count;
}

static void drop_in_hand(struct account *account, size_t i)
{
    free(account->in_hand[i]);
    account->in_hand_count--;
    memmove(&account->in_hand[i], &account->in_hand[i + 1],
            (account->in_hand_count - i) * sizeof account->in_hand[0]);
}

static void take_in_hand(struct account *account, const char *task)
{
    if (is_in_hand(account, task))
        return;
    if (account->in_hand_count == BUDGET_IN_HAND)
        drop_in_hand(account, 0);
    account->in_hand[account->in_hand_count++] = memory_slice(task, utf8_cut(task, strlen(task), TASK_SHOWN));
}

void budget_task_ended(struct budget *budget, const char *agent, const char *task)
{
    struct account *account = find(budget, agent);
    size_t i = account ? find_in_hand(account, task) : 0;
    if (account && i < account->in_hand_count)
        drop_in_hand(account, i);
}

/* When it no longer counts. What lies in the future was begun before the clock was set back: it counts from now. */
static int64_t ends_counting(const struct beginning *begun, int64_t now)
{
    int64_t from = begun->at > now ? now : begun->at;
    return from + begun->width - 1 + HOUR;
}

static uint64_t count_begun(const struct account *account, int64_t now)
{
    uint64_t count = 0;
    for (size_t i = 0; account && i < account->begun_count; i++)
        if (ends_counting(&account->begun[i], now) > now)
            count = more(count, account->begun[i].count);
    return count;
}

/* When so many of those that count have ended to: the oldest stand first. */
static int64_t room_at(const struct account *account, uint64_t too_many, int64_t now)
{
    int64_t at = now + 1;
    for (size_t i = 0; i < account->begun_count && too_many > 0; i++) {
        int64_t ends = ends_counting(&account->begun[i], now);
        if (ends <= now)
            continue;
        at = ends > at ? ends : at;
        too_many -= account->begun[i].count < too_many ? account->begun[i].count : too_many;
    }
    return at;
}

static void forget_old(struct account *account, int64_t now)
{
    size_t kept = 0;
    for (size_t i = 0; i < account->begun_count; i++) {
        struct beginning begun = account->begun[i];
        if (begun.at > now)
            begun.at = now;
        if (ends_counting(&begun, now) > now)
            account->begun[kept++] = begun;
    }
    account->begun_count = kept;
}

static void add_beginning(struct account *account, int64_t at, int64_t width, uint64_t count)
{
    struct beginning *last = account->begun_count ? &account->begun[account->begun_count - 1] : NULL;
    if (last && last->at == at && last->width == width) {
        last->count = more(last->count, count);
        return;
    }
    account->begun = memory_grow(account->begun, account->begun_count + 1, sizeof *account->begun);
    account->begun[account->begun_count++] = (struct beginning){.at = at, .width = width, .count = count};
}

static void count_task(struct account *account, const struct budget_request *request, int64_t now)
{
    int64_t width = request->tasks_per_hour > BUDGET_EXACT ? SLOT : 1;
    forget_old(account, now);
    if (!is_in_hand(account, request->task))
        add_beginning(account, now - now % width, width, 1);
    take_in_hand(account, request->task);
}

/* --- may it? --- */

static bool refuse_tokens(uint64_t limit, const char *name, const char *whose, uint64_t spent,
                          uint64_t wanted, int64_t now, int64_t *until, struct fault *why)
{
    char when[CLOCK_TEXT];
    *until = (day_of(now) + 1) * DAY;
    if (wanted > limit)
        return fault_set(why,
                         "%s is %" PRIu64 ", and one request may take %" PRIu64
                         " tokens: no day is long enough for it; raise the limit or lower LLM_MAX_TOKENS",
                         name, limit, wanted);
    return fault_set(why,
                     "%s is %" PRIu64 ": %" PRIu64 "%s are spent or reserved today, and the next request may "
                     "take %" PRIu64 "; the work goes on at %s, or when the limit is raised",
                     name, limit, spent, whose, wanted, clock_format(*until, when));
}

static bool hour_allows(const struct account *account, const struct budget_request *request, int64_t now,
                        int64_t *until, struct fault *why)
{
    char when[CLOCK_TEXT];
    uint64_t limit = request->tasks_per_hour;
    if (!request->task || limit == 0 || is_in_hand(account, request->task))
        return true;
    uint64_t begun = count_begun(account, now);
    if (begun < limit)
        return true;
    *until = room_at(account, begun - limit + 1, now);
    return fault_set(why,
                     "limits.tasks_per_hour is %" PRIu64 ": %" PRIu64 " were begun within the last hour; the "
                     "next one begins at %s, or when the limit is raised",
                     limit, begun, clock_format(*until, when));
}

bool budget_allows(const struct budget *budget, const struct budget_request *request, int64_t now,
                   int64_t *until, struct fault *why)
{
    const struct account *account = find(budget, request->agent);
    uint64_t own = tokens_on(account, day_of(now)), all = all_on(budget, day_of(now));
    uint64_t limit = request->tokens_per_day, all_limit = request->all_tokens_per_day;
    if (all_limit && more(all, request->tokens) > all_limit)
        return refuse_tokens(all_limit, "budget.tokens_per_day", " by all agents", all, request->tokens, now,
                             until, why);
    if (limit && more(own, request->tokens) > limit)
        return refuse_tokens(limit, "limits.tokens_per_day", "", own, request->tokens, now, until, why);
    return hour_allows(account, request, now, until, why);
}

/* --- reservations --- */

static struct reservation *find_reservation(const struct budget *budget, uint64_t serial)
{
    for (size_t i = 0; i < budget->reservation_count; i++)
        if (budget->reservations[i].serial == serial)
            return &budget->reservations[i];
    return NULL;
}

static void drop(struct budget *budget, struct reservation *reservation)
{
    *reservation = budget->reservations[--budget->reservation_count];
}

bool budget_reserve(struct budget *budget, const struct budget_request *request, int64_t now, int64_t *until,
                    struct fault *why)
{
    budget_keep(budget, request->serial);
    if (!budget_allows(budget, request, now, until, why))
        return false;
    struct account *account = find_or_make(budget, request->agent);
    struct day *day = place_of(account, day_of(now));
    day->tokens = more(day->tokens, request->tokens);
    if (request->task && request->tasks_per_hour)
        count_task(account, request, now);
    budget->reservations =
        memory_grow(budget->reservations, budget->reservation_count + 1, sizeof *budget->reservations);
    budget->reservations[budget->reservation_count++] = (struct reservation){
        .serial = request->serial, .tokens = request->tokens, .account = account, .day = day->day};
    return true;
}

bool budget_settle(struct budget *budget, uint64_t serial, uint64_t tokens)
{
    struct reservation *reservation = find_reservation(budget, serial);
    if (!reservation)
        return false;
    struct day *day = place_of(reservation->account, reservation->day);
    day->tokens = more(day->tokens > reservation->tokens ? day->tokens - reservation->tokens : 0, tokens);
    drop(budget, reservation);
    return true;
}

void budget_keep(struct budget *budget, uint64_t serial)
{
    struct reservation *reservation = find_reservation(budget, serial);
    if (reservation)
        drop(budget, reservation);
}

/* --- as text --- */

static void print_account(const struct account *account, int64_t now, struct buffer *out)
{
    char at[CLOCK_TEXT];
    buffer_print(out, "\n## %s\n", account->agent);
    for (size_t i = 0; i < BUDGET_DAYS; i++)
        if (account->days[i].used)
            buffer_print(out, "- tokens: %" PRIu64 " on %.10s\n", account->days[i].tokens,
                         clock_format(account->days[i].day * DAY, at));
    for (size_t i = 0; i < account->begun_count; i++)
        if (ends_counting(&account->begun[i], now) > now)
            buffer_print(out, "- begun: %" PRIu64 " at %s%s\n", account->begun[i].count,
                         clock_format(account->begun[i].at, at),
                         account->begun[i].width > 1 ? " (15 s)" : "");
    for (size_t i = 0; i < account->in_hand_count; i++)
        buffer_print(out, "- in hand: %s\n", account->in_hand[i]);
}

void budget_print(const struct budget *budget, int64_t now, struct buffer *out)
{
    char at[CLOCK_TEXT];
    buffer_print(
        out,
        "# Budget\n\nWhat was spent, as of %s: tokens of each day (UTC), with those that are reserved "
        "for requests under way,\nand the tasks that were begun within an hour. AgentOS writes this "
        "file while a limit is set in agents.yaml,\nand takes it as it is when somebody edits it.\n",
        clock_format(now, at));
    for (size_t i = 0; i < budget->account_count; i++)
        print_account(budget->accounts[i], now, out);
}

/* "12 at 2026-04-29T10:05:00Z": a number, a word, a time. */
static bool read_count(const char *value, const char *word, uint64_t *count, int64_t *at, char **rest)
{
    char *end, time[CLOCK_TEXT] = "";
    if (*value < '0' || *value > '9')
        return false;
    *count = strtoull(value, &end, 10);
    if (strncmp(end, word, strlen(word)) != 0)
        return false;
    end += strlen(word);
    size_t length = strcspn(end, " ");
    if (length >= sizeof time)
        return false;
    memcpy(time, end, length);
    *rest = end + length;
    return clock_parse(time, at);
}

bool budget_line(void *context, const char *agent, const char *key, const char *value)
{
    struct budget *budget = context;
    uint64_t count;
    int64_t at;
    char *rest;
    if (!*agent || strlen(agent) > 256 || budget->account_count >= AGENTS_READ_MAX || strlen(value) > 256)
        return false;
    if (strcmp(key, "tokens") == 0 && read_count(value, " on ", &count, &at, &rest)) {
        struct day *day = place_of(find_or_make(budget, agent), day_of(at));
        day->tokens = more(day->tokens, count);
        return true;
    }
    if (strcmp(key, "begun") == 0 && read_count(value, " at ", &count, &at, &rest)) {
        add_beginning(find_or_make(budget, agent), at, *rest ? SLOT : 1, count);
        return true;
    }
    if (strcmp(key, "in hand") == 0 && *value) {
        take_in_hand(find_or_make(budget, agent), value);
        return true;
    }
    return false;
}
