#include "status.h"

#include "../tsv.h"
#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

struct status_row {
    struct status *status;
    struct status_row *next; // the next younger one
    int64_t started_ms;
    char *file;
    char *reference; // NULL where there is none
    enum status_state state;
    int64_t done_bytes;
    uint64_t total_bytes;
    bool is_total_known;
    char *detail; // NULL where there is nothing to say
};

// The rows of one directory.
struct board {
    char *directory;
    struct status_row *oldest;
    struct status_row **end; // where the next row is hung in
    size_t count;
};

struct status {
    const struct clock *clock;
    pthread_mutex_t lock; // guards everything below, rows included
    void *boards;         // a tree by the directory's name, tsearch's
};

static const char *state_name(enum status_state state)
{
    switch (state) {
    case STATUS_RUNNING:
        return "running";
    case STATUS_PUBLISHED:
        return "published";
    case STATUS_UNCHANGED:
        return "unchanged";
    case STATUS_FAILED:
        return "failed";
    case STATUS_CANCELLED:
        return "cancelled";
    }
    return "-";
}

static void row_free(struct status_row *row)
{
    if (!row)
        return;
    free(row->file);
    free(row->reference);
    free(row->detail);
    free(row);
}

static void board_free(void *context)
{
    struct board *board = context;

    while (board->oldest) {
        struct status_row *row = board->oldest;
        board->oldest = row->next;
        row_free(row);
    }
    free(board->directory);
    free(board);
}

int status_new(const struct clock *clock, struct status **ret_status, struct err *err)
{
    struct status *status = calloc(1, sizeof(*status));

    if (!status)
        return err_no_memory(err);
    status->clock = clock;
    pthread_mutex_init(&status->lock, NULL);
    *ret_status = status;
    return 0;
}

void status_free(struct status *status)
{
    if (!status)
        return;
    tdestroy(status->boards, board_free);
    pthread_mutex_destroy(&status->lock);
    free(status);
}

// ---- boards; with the lock held ----------------------------------------------------------------

static int compare_boards(const void *a, const void *b)
{
    return strcmp(((const struct board *)a)->directory, ((const struct board *)b)->directory);
}

static struct board *board_find_locked(struct status *status, const char *directory)
{
    struct board wanted = {.directory = (char *)directory};
    struct board **node = tfind(&wanted, &status->boards, compare_boards);

    return node ? *node : NULL;
}

static struct board *board_get_locked(struct status *status, const char *directory)
{
    struct board *board = board_find_locked(status, directory);

    if (board)
        return board;
    board = calloc(1, sizeof(*board));
    if (!board || !(board->directory = strdup(directory)) ||
        !tsearch(board, &status->boards, compare_boards)) {
        free(board ? board->directory : NULL);
        free(board);
        return NULL;
    }
    board->end = &board->oldest;
    return board;
}

// Makes room for one more row by forgetting the oldest that has ended; running ones always stay.
static void forget_ended_locked(struct board *board)
{
    struct status_row **link = &board->oldest;

    while (board->count >= STATUS_ROWS_MAX && *link) {
        struct status_row *row = *link;
        if (row->state == STATUS_RUNNING) {
            link = &row->next;
            continue;
        }
        *link = row->next;
        if (board->end == &row->next)
            board->end = link;
        board->count--;
        row_free(row);
    }
}

// ---- rows --------------------------------------------------------------------------------------

static struct status_row *add_row(struct status *status, const char *directory, const char *file,
                                  const char *reference, enum status_state state,
                                  const char *detail)
{
    struct status_row *row = calloc(1, sizeof(*row));
    bool is_whole = row && (row->file = strdup(file)) &&
                    (!reference || (row->reference = strdup(reference))) &&
                    (!detail || (row->detail = strdup(detail)));

    if (!is_whole) {
        row_free(row);
        return NULL;
    }
    row->status = status;
    row->state = state;
    row->started_ms = clock_now_ms(status->clock);

    pthread_mutex_lock(&status->lock);
    struct board *board = board_get_locked(status, directory);
    if (board) {
        forget_ended_locked(board);
        *board->end = row;
        board->end = &row->next;
        board->count++;
    }
    pthread_mutex_unlock(&status->lock);
    if (board)
        return row;
    row_free(row);
    return NULL;
}

struct status_row *status_open(struct status *status, const char *directory, const char *file,
                               const char *reference)
{
    return add_row(status, directory, file, reference, STATUS_RUNNING, NULL);
}

void status_refused(struct status *status, const char *directory, const char *file,
                    const char *reference, const char *detail)
{
    // No memory: the row is lost, the errno and the log are not.
    add_row(status, directory, file, reference, STATUS_FAILED, detail);
}

void status_row_set_total(struct status_row *row, uint64_t total_bytes)
{
    if (!row)
        return;
    pthread_mutex_lock(&row->status->lock);
    row->total_bytes = total_bytes;
    row->is_total_known = true;
    pthread_mutex_unlock(&row->status->lock);
}

void status_row_add_done(struct status_row *row, int64_t bytes)
{
    if (!row)
        return;
    pthread_mutex_lock(&row->status->lock);
    row->done_bytes += bytes;
    pthread_mutex_unlock(&row->status->lock);
}

void status_row_restart(struct status_row *row)
{
    if (!row)
        return;
    pthread_mutex_lock(&row->status->lock);
    row->done_bytes = 0;
    pthread_mutex_unlock(&row->status->lock);
}

// Takes the sentence over in any case.
static void set_detail_locked(struct status_row *row, char *sentence)
{
    if (!sentence)
        return;
    free(row->detail);
    row->detail = sentence;
}

void status_row_set_detail(struct status_row *row, const char *sentence)
{
    char *copy = row && sentence ? strdup(sentence) : NULL;

    if (!row)
        return;
    pthread_mutex_lock(&row->status->lock);
    set_detail_locked(row, copy);
    pthread_mutex_unlock(&row->status->lock);
}

void status_close(struct status_row *row, enum status_state state, const char *detail)
{
    char *copy = row && detail ? strdup(detail) : NULL;

    if (!row)
        return;
    pthread_mutex_lock(&row->status->lock);
    set_detail_locked(row, copy);
    row->state = state;
    pthread_mutex_unlock(&row->status->lock);
}

// ---- looking -----------------------------------------------------------------------------------

struct search_below {
    const char *directory;
    bool is_found;
};

static void look_below(const void *node, VISIT visit, void *context)
{
    const struct board *board = *(struct board *const *)node;
    struct search_below *search = context;
    size_t size = strlen(search->directory);
    if (visit == preorder || visit == leaf)
        search->is_found |= strncmp(board->directory, search->directory, size) == 0 &&
                            (size == 0 || !board->directory[size] || board->directory[size] == '/');
}

bool status_has_below(struct status *status, const char *directory)
{
    struct search_below search = {.directory = directory};
    pthread_mutex_lock(&status->lock);
    twalk_r(status->boards, look_below, &search);
    pthread_mutex_unlock(&status->lock);
    return search.is_found;
}

bool status_has(struct status *status, const char *directory)
{
    pthread_mutex_lock(&status->lock);
    bool has = board_find_locked(status, directory) != NULL;
    pthread_mutex_unlock(&status->lock);
    return has;
}

static void render_row_locked(const struct status_row *row, struct buf *text)
{
    char started[CLOCK_RFC3339_SIZE];

    clock_format_rfc3339(row->started_ms, started);
    buf_append_text(text, started);
    buf_append_char(text, '\t');
    tsv_field(text, row->file);
    buf_append_char(text, '\t');
    tsv_field(text, row->reference);
    buf_printf(text, "\t%s\t%" PRId64 "\t", state_name(row->state),
               row->done_bytes < 0 ? 0 : row->done_bytes);
    if (row->is_total_known)
        buf_printf(text, "%" PRIu64, row->total_bytes);
    else
        buf_append_char(text, '-');
    buf_append_char(text, '\t');
    tsv_field(text, row->detail);
    buf_append_char(text, '\n');
}

int status_render(struct status *status, const char *directory, struct buf *ret_text)
{
    buf_append_text(ret_text, "started\tfile\treference\tstate\tdone\ttotal\tdetail\n");
    pthread_mutex_lock(&status->lock);
    const struct board *board = board_find_locked(status, directory);
    for (const struct status_row *row = board ? board->oldest : NULL; row; row = row->next)
        render_row_locked(row, ret_text);
    pthread_mutex_unlock(&status->lock);
    return ret_text->is_full ? -EFBIG : 0;
}
