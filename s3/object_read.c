// object_read.c - a range of an object as a stream that outlives broken connections. Declared in
// s3.h. Spec: GetObject with Range and If-Match.
//
// Each attempt asks for what is still missing. From the first answer on, If-Match binds all
// others to its ETag, and the ETag of every answer is compared (some stores ignore the
// condition): bytes of two objects are never mixed.

#include "object.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { HEADER_RANGE, HEADER_IF_MATCH, HEADERS };

struct reading {
    int (*sink)(void *context, const void *bytes, size_t size);
    void *context;
    uint64_t next; // offset of the first byte that the sink has not had
    uint64_t end;
    char etag[S3_ETAG_SIZE]; // "" until it is known
    int result;              // why the reading gave up by itself; 0 while it goes on
    struct err err;          // and its sentence

    // One attempt
    uint64_t attempt_start; // `next` when it began
    uint64_t to_skip;       // a store that ignores Range sends the object from its start ...
    bool has_more_behind;   // ... and to its end
    char range[64];
    struct http_header headers[HEADERS];
    struct s3_request request;
};

static void ask_for_the_rest(struct reading *reading)
{
    reading->attempt_start = reading->next;
    snprintf(reading->range, sizeof(reading->range), "bytes=%" PRIu64 "-%" PRIu64, reading->next,
             reading->end - 1);
    reading->request.header_count = *reading->etag ? HEADERS : HEADER_IF_MATCH;
}

static bool reading_has_progressed(void *context)
{
    struct reading *reading = context;
    bool has_progressed = reading->next > reading->attempt_start;
    ask_for_the_rest(reading);
    return has_progressed;
}

// ---- the answer's head --------------------------------------------------------------------

static int check_etag(struct reading *reading, const struct http_response *response)
{
    const char *etag = http_response_header(response, "etag");
    if (!etag || strlen(etag) >= S3_ETAG_SIZE)
        return err_set(&reading->err, EPROTO, "%s comes without a usable ETag",
                       reading->request.key);
    if (*reading->etag && strcmp(etag, reading->etag) != 0)
        return err_set(&reading->err, ESTALE, "%s is another object by now", reading->request.key);
    memcpy(reading->etag, etag, strlen(etag) + 1);
    return 0;
}

static int too_short(struct reading *reading, uint64_t size)
{
    return err_set(&reading->err, EIO, "%s has %" PRIu64 " bytes, not %" PRIu64,
                   reading->request.key, size, reading->end);
}

static int check_whole(struct reading *reading, const struct http_response *response)
{
    reading->to_skip = reading->next;
    reading->has_more_behind =
        response->content_length < 0 || (uint64_t)response->content_length > reading->end;
    if (response->content_length >= 0 && (uint64_t)response->content_length < reading->end)
        return too_short(reading, (uint64_t)response->content_length);
    return 0;
}

static int check_range(struct reading *reading, const struct http_response *response)
{
    reading->to_skip = 0;
    reading->has_more_behind = false;
    const char *text = http_response_header(response, "content-range");
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t total = 0;
    char behind;
    if (!text || sscanf(text, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64 "%c", &first, &last, &total,
                        &behind) != 3)
        return err_set(&reading->err, EPROTO, "%s comes without a usable Content-Range",
                       reading->request.key);
    if (total < reading->end)
        return too_short(reading, total);
    if (first != reading->next || last != reading->end - 1)
        return err_set(&reading->err, EPROTO,
                       "%s comes as bytes %" PRIu64 " to %" PRIu64
                       ", which is not what was asked for",
                       reading->request.key, first, last);
    return 0;
}

static bool reading_wants_bytes(void *context, const struct http_response *response)
{
    struct reading *reading = context;
    reading->result = check_etag(reading, response);
    if (reading->result == 0)
        reading->result = response->status == 206 ? check_range(reading, response)
                                                  : check_whole(reading, response);
    return true; // of a wrong answer too: its first byte then ends the exchange
}

// ---- its bytes ----------------------------------------------------------------------------

static int reading_on_bytes(void *context, const void *bytes, size_t size)
{
    struct reading *reading = context;
    if (reading->result < 0)
        return reading->result;
    const char *at = bytes;
    size_t skipped = reading->to_skip < size ? (size_t)reading->to_skip : size;
    reading->to_skip -= skipped;
    at += skipped;
    size -= skipped;
    if (size > reading->end - reading->next)
        size = (size_t)(reading->end - reading->next);
    if (size == 0) // what follows on the range is not waited for: it may never end
        return reading->next == reading->end ? -ECANCELED : 0;
    int r = reading->sink(reading->context, at, size);
    if (r < 0) {
        reading->result = r;
        return err_set(&reading->err, -r, "reading %s was given up", reading->request.key);
    }
    reading->next += size;
    bool is_done = reading->next == reading->end;
    return is_done && reading->has_more_behind ? -ECANCELED : 0;
}

int s3_object_read(struct s3_client *client, struct call *call, const char *key,
                   const char *if_match, uint64_t offset, uint64_t size,
                   int (*sink)(void *context, const void *bytes, size_t size), void *context,
                   struct err *err)
{
    if (size == 0)
        return 0;
    if (size > UINT64_MAX - offset)
        return err_set(err, EINVAL, "a range of %s that no number can name", key);
    struct reading reading = {
        .sink = sink,
        .context = context,
        .next = offset,
        .end = offset + size,
        .request =
            {
                .action = "s3:GetObject",
                .method = "GET",
                .key = key,
                .is_about_etag = true,
                .has_progressed = reading_has_progressed,
                .wants_bytes = reading_wants_bytes,
                .on_bytes = reading_on_bytes,
                .body_limit = S3_ERROR_BODY_LIMIT,
            },
    };
    snprintf(reading.etag, sizeof(reading.etag), "%s", if_match ? if_match : "");
    reading.headers[HEADER_RANGE] = (struct http_header){"Range", reading.range};
    reading.headers[HEADER_IF_MATCH] = (struct http_header){"If-Match", reading.etag};
    reading.request.headers = reading.headers;
    reading.request.context = &reading;
    ask_for_the_rest(&reading);

    auto_reply struct s3_reply reply;
    int r = s3_request_send(&client->service, call, &reading.request, &reply, err);
    if (reading.result < 0) {
        *err = reading.err;
        return reading.result;
    }
    if (r == 0 && reading.next != reading.end)
        return err_set(err, EIO, "%s/%s ended early", client->service.bucket, key);
    return r;
}
