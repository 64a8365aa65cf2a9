#include "supervisor/model/budget.h"

#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/utf8.h"

enum { DAY = 86400, HOUR = 3600, SLOT = 15, TASK_SHOWN = 200 };

struct day {
    int64_t day; /* since 1970 */
    struct budget_used used;
    bool taken;
};

/* Tasks begun at a second, or within a slot from then on. */
struct beginning {
    int64_t at, width;
    uint64_t count;
};

struct account {
    char *agent; /* first: the tree finds accounts by it */
    struct day days[BUDGET_DAYS];
    struct beginning *begun; /* oldest first, but after a jump of the clock */
    size_t begun_count;
    char *in_hand[BUDGET_IN_HAND]; /* oldest first */
    size_t in_hand_count;
};

struct reservation {
    uint64_t serial, tokens, cost;
    struct account *account;
    int64_t day;
};

struct budget {
    struct account **accounts; /* in the order of the text */
    size_t account_count;
    void *by_agent; /* tsearch tree of the same */
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

static void leave_alone(void *account)
{
    (void)account;
}

void budget_free(struct budget *budget)
{
    if (!budget)
        return;
    budget_clear(budget);
    tdestroy(budget->by_agent, leave_alone);
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
    return names_find(&budget->by_agent, agent);
}

static struct account *find_or_make(struct budget *budget, const char *agent)
{
    struct account *account = find(budget, agent);
    if (account)
        return account;
    account = memory_new(1, sizeof *account);
    account->agent = memory_text(agent);
    if (!tsearch(account, &budget->by_agent, names_order))
        abort(); /* out of memory, as in common/memory.h */
    *MEMORY_ADD(budget->accounts, budget->account_count) = account;
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

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static void add_used(struct budget_used *sum, const struct budget_used *used)
{
    sum->tokens = more(sum->tokens, used->tokens);
    sum->cached = more(sum->cached, used->cached);
    sum->requests = more(sum->requests, used->requests);
    sum->cost = more(sum->cost, used->cost);
}

static struct budget_used used_on(const struct account *account, int64_t day)
{
    for (size_t i = 0; account && i < BUDGET_DAYS; i++)
        if (account->days[i].taken && account->days[i].day == day)
            return account->days[i].used;
    return (struct budget_used){0};
}

static int64_t distance(int64_t a, int64_t b)
{
    return a > b ? a - b : b - a;
}

/* The day's own place; a new day takes a free place, or that of the day which is farthest from it. */
static struct day *place_of(struct account *account, int64_t day)
{
    struct day *place = &account->days[0];
    for (size_t i = 0; i < BUDGET_DAYS; i++) {
        struct day *here = &account->days[i];
        if (here->taken && here->day == day)
            return here;
        if (place->taken && (!here->taken || distance(here->day, day) > distance(place->day, day)))
            place = here;
    }
    *place = (struct day){.day = day, .taken = true};
    return place;
}

static struct budget_used all_on(const struct budget *budget, int64_t day)
{
    struct budget_used sum = {0};
    for (size_t i = 0; i < budget->account_count; i++) {
        struct budget_used used = used_on(budget->accounts[i], day);
        add_used(&sum, &used);
    }
    return sum;
}

struct budget_used budget_spent(const struct budget *budget, const char *agent, int64_t now)
{
    return agent ? used_on(find(budget, agent), day_of(now)) : all_on(budget, day_of(now));
}

uint64_t budget_left(uint64_t limit, uint64_t spent)
{
    return less(limit, spent);
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

/* When a beginning no longer counts. A beginning in the future was made before the clock was set back: it counts from
 * now. */
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

/* The time at which too_many of the counting beginnings count no longer: the oldest stand first. */
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
    *MEMORY_ADD(account->begun, account->begun_count) =
        (struct beginning){.at = at, .width = width, .count = count};
}

static void count_task(struct account *account, const struct budget_request *request, int64_t now)
{
    int64_t width = request->tasks_per_hour > BUDGET_EXACT ? SLOT : 1;
    add_beginning(account, now - now % width, width, 1);
    take_in_hand(account, request->task);
}

/* A task in hand that is begun again was counted; another task of the same id was not. */
static bool is_counted(const struct account *account, const struct budget_request *request)
{
    return !request->another && is_in_hand(account, request->task);
}

/* --- permission --- */

static char *amount(const struct budget_limit *limit, uint64_t number)
{
    if (!limit->money)
        return memory_print("%" PRIu64, number);
    return memory_print("%.6f", (double)number / USAGE_COST_UNIT);
}

static bool refuse(const struct budget_limit *limit, int64_t now, int64_t *until, struct fault *why)
{
    char when[CLOCK_TEXT];
    OWNED char *most = amount(limit, limit->limit);
    OWNED char *spent = amount(limit, limit->spent);
    OWNED char *wanted = amount(limit, limit->wanted);
    *until = (day_of(now) + 1) * DAY;
    if (limit->wanted > limit->limit)
        return fault_set(why,
                         "%s is %s, and one request may take %s%s: no day is long enough for it; raise the "
                         "limit or lower LLM_MAX_TOKENS",
                         limit->name, most, wanted, limit->money ? "" : " tokens");
    return fault_set(why,
                     "%s is %s: %s%s are spent or reserved today, and the next request may take %s; the work "
                     "goes on at %s, or when the limit is raised",
                     limit->name, most, spent, limit->all ? " by all agents" : "", wanted,
                     clock_format(*until, when));
}

static bool hour_allows(const struct account *account, const struct budget_request *request, int64_t now,
                        int64_t *until, struct fault *why)
{
    char when[CLOCK_TEXT];
    uint64_t limit = request->tasks_per_hour;
    if (!request->task || limit == 0 || is_counted(account, request))
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

static bool exceeds(const struct budget *budget, const struct account *account,
                    const struct budget_request *request, int64_t now, struct budget_limit *exceeded)
{
    struct budget_used own = used_on(account, day_of(now)), all = {0};
    /* The sum walks over every account: a fleet without a limit for all of it doesn't pay for that at each question. */
    if (request->all_tokens_per_day || request->all_cost_per_day)
        all = all_on(budget, day_of(now));
    const struct budget_limit limits[] = {
        {request->all_tokens_per_day, all.tokens, request->tokens, "budget.tokens_per_day", true, false},
        {request->tokens_per_day, own.tokens, request->tokens, "limits.tokens_per_day", false, false},
        {request->all_cost_per_day, all.cost, request->cost, "budget.cost_per_day", true, true},
        {request->cost_per_day, own.cost, request->cost, "limits.cost_per_day", false, true},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        *exceeded = limits[i];
        if (exceeded->limit && more(exceeded->spent, exceeded->wanted) > exceeded->limit)
            return true;
    }
    return false;
}

bool budget_exceeds(const struct budget *budget, const struct budget_request *request, int64_t now,
                    struct budget_limit *exceeded)
{
    return exceeds(budget, find(budget, request->agent), request, now, exceeded);
}

bool budget_allows(const struct budget *budget, const struct budget_request *request, int64_t now,
                   int64_t *until, struct fault *why)
{
    const struct account *account = find(budget, request->agent);
    struct budget_limit exceeded;
    return exceeds(budget, account, request, now, &exceeded) ? refuse(&exceeded, now, until, why)
                                                             : hour_allows(account, request, now, until, why);
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
    struct account *account = find(budget, request->agent);
    budget_keep(budget, request->serial);
    if (account)
        forget_old(account, now); /* also where the request is refused: else the future would never begin */
    if (!budget_allows(budget, request, now, until, why))
        return false;
    account = find_or_make(budget, request->agent);
    struct day *day = place_of(account, day_of(now));
    add_used(&day->used,
             &(struct budget_used){.tokens = request->tokens, .cost = request->cost, .requests = 1});
    if (request->task && request->tasks_per_hour && !is_counted(account, request))
        count_task(account, request, now);
    *MEMORY_ADD(budget->reservations, budget->reservation_count) =
        (struct reservation){.serial = request->serial,
                             .tokens = request->tokens,
                             .cost = request->cost,
                             .account = account,
                             .day = day->day};
    return true;
}

bool budget_settle(struct budget *budget, uint64_t serial, const struct budget_used *used)
{
    struct reservation *reservation = find_reservation(budget, serial);
    if (!reservation)
        return false;
    struct budget_used *day = &place_of(reservation->account, reservation->day)->used;
    day->tokens = less(day->tokens, reservation->tokens);
    day->cost = less(day->cost, reservation->cost);
    day->requests = less(day->requests, 1);
    add_used(day, used);
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

static void print_day(const struct day *day, struct buffer *out)
{
    char at[CLOCK_TEXT];
    clock_format(day->day * DAY, at);
    buffer_print(out, "- tokens: %" PRIu64 " on %.10s\n", day->used.tokens, at);
    if (day->used.cached)
        buffer_print(out, "- cached: %" PRIu64 " on %.10s\n", day->used.cached, at);
    if (day->used.requests)
        buffer_print(out, "- requests: %" PRIu64 " on %.10s\n", day->used.requests, at);
    if (day->used.cost) {
        buffer_text(out, "- cost: ");
        usage_print_cost(out, day->used.cost);
        buffer_print(out, " on %.10s\n", at);
    }
}

static void print_account(const struct account *account, int64_t now, struct buffer *out)
{
    char at[CLOCK_TEXT];
    buffer_print(out, "\n## %s\n", account->agent);
    for (size_t i = 0; i < BUDGET_DAYS; i++)
        if (account->days[i].taken)
            print_day(&account->days[i], out);
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
        "# Budget\n\nThe sums spent, as of %s: tokens (cached tokens are part of them), requests and cost of "
        "each day (UTC),\nwith what is reserved for requests under way, and the tasks that were begun within "
        "an hour.\nAgentOS takes this file as it is when somebody edits it.\n",
        clock_format(now, at));
    for (size_t i = 0; i < budget->account_count; i++)
        print_account(budget->accounts[i], now, out);
}

/* "12", or "0.000250000" where money is read, in USAGE_COST_UNITs then. */
static bool read_amount(const char *value, bool money, uint64_t *count, char **end)
{
    if (*value < '0' || *value > '9')
        return false;
    *count = money ? usage_read_cost(value, end) : strtoull(value, end, 10);
    return true;
}

/* "12 at 2026-04-29T10:05:00Z": an amount, a word, a time. */
static bool read_count(const char *value, bool money, const char *word, uint64_t *count, int64_t *at,
                       char **rest)
{
    char *end, time[CLOCK_TEXT] = "";
    if (!read_amount(value, money, count, &end))
        return false;
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

/* "- tokens: 12 on 2026-04-29" and its like. */
static bool read_used(struct budget *budget, const char *agent, const char *key, const char *value)
{
    struct budget_used used = {0};
    const struct {
        const char *key;
        uint64_t *number;
    } keys[] = {{"tokens", &used.tokens},
                {"cached", &used.cached},
                {"requests", &used.requests},
                {"cost", &used.cost}};
    int64_t at;
    char *rest;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(key, keys[i].key) == 0 &&
            read_count(value, keys[i].number == &used.cost, " on ", keys[i].number, &at, &rest)) {
            add_used(&place_of(find_or_make(budget, agent), day_of(at))->used, &used);
            return true;
        }
    return false;
}

bool budget_line(void *context, const char *agent, const char *key, const char *value)
{
    struct budget *budget = context;
    uint64_t count;
    int64_t at;
    char *rest;
    if (!*agent || strlen(agent) > 256 || strlen(value) > 256)
        return false;
    if (read_used(budget, agent, key, value))
        return true;
    if (strcmp(key, "begun") == 0 && read_count(value, false, " at ", &count, &at, &rest)) {
        add_beginning(find_or_make(budget, agent), at, *rest ? SLOT : 1, count);
        return true;
    }
    if (strcmp(key, "in hand") == 0 && *value) {
        take_in_hand(find_or_make(budget, agent), value);
        return true;
    }
    return false;
}
