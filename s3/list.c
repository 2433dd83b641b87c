// list.c - pages of a bucket's listing. Declared in s3.h. Spec: ListObjectsV2.
//
// Keys are asked for percent-encoded (encoding-type=url), because XML 1.0 cannot carry control
// characters; a store that does not say <EncodingType> in its answer has not encoded them. Where
// a key was encoded, '+' stands for a space.
//
// Continuation tokens are not encoded, and Ceph's is the last key itself: a page that ends at a
// key with a control character is no XML. Such characters are masked then, and the listing goes
// on behind the last name instead. So our own tokens say of what kind they are.

#include "client.h"
#include "xml.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NO_TEXT SIZE_MAX                  // an offset that is none
#define TOKEN_SERVER 't'                  // our token: this, and the server's ...
#define TOKEN_BEHIND 'k'                  // ... or this, and the name to go on behind
#define LAST_CHARACTER "\xF4\x8F\xBF\xBF" // U+10FFFF: behind all keys below a prefix

enum { TEXTS_LIMIT = XML_SIZE_MAX }; // bytes of all strings of a page

// An object on its way into the page: offsets, because the texts still move.
struct entry {
    size_t key;
    size_t etag;
    size_t storage_class;
    uint64_t size_bytes;
    int64_t modified_ms;
};

struct listing {
    struct buf texts; // NUL-terminated strings, one behind another
    struct entry *entries;
    size_t entry_count;
    size_t *prefixes;
    size_t prefix_count;
    size_t next_token;
    struct entry current;
    bool is_listing; // the root element was the expected one
    bool is_truncated;
    bool is_encoded;
    bool is_masked; // some characters were, so the token is of no use
};

static int keep_text(struct listing *listing, const char *text, size_t *ret_offset, struct err *err)
{
    size_t offset = listing->texts.size;
    if (buf_append(&listing->texts, text, strlen(text) + 1) < 0)
        return err_no_memory(err);
    *ret_offset = offset;
    return 0;
}

static int end_entry(struct listing *listing, struct err *err)
{
    struct entry current = listing->current;
    listing->current = (struct entry){NO_TEXT, NO_TEXT, NO_TEXT, 0, 0};
    if (current.key == NO_TEXT)
        return err_set(err, EPROTO, "a listing holds an object without a key");
    if (listing->entry_count == S3_LIST_PAGE_KEYS)
        return err_set(err, EPROTO, "a listing page holds more than %d objects", S3_LIST_PAGE_KEYS);
    listing->entries[listing->entry_count++] = current;
    return 0;
}

static int end_prefix(struct listing *listing, const char *text, struct err *err)
{
    if (listing->prefix_count == S3_LIST_PAGE_KEYS)
        return err_set(err, EPROTO, "a listing page holds more than %d prefixes",
                       S3_LIST_PAGE_KEYS);
    return keep_text(listing, text, &listing->prefixes[listing->prefix_count++], err);
}

static int read_size(const char *text, uint64_t *ret_size, struct err *err)
{
    char *end;
    errno = 0;
    unsigned long long size = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-')
        return err_set(err, EPROTO, "a listing holds the size \"%s\"", text);
    *ret_size = size;
    return 0;
}

static int on_object_element(struct listing *listing, const char *name, const char *text,
                             struct err *err)
{
    struct entry *current = &listing->current;
    if (strcmp(name, "Key") == 0)
        return keep_text(listing, text, &current->key, err);
    if (strcmp(name, "ETag") == 0)
        return keep_text(listing, text, &current->etag, err);
    if (strcmp(name, "StorageClass") == 0)
        return keep_text(listing, text, &current->storage_class, err);
    if (strcmp(name, "Size") == 0)
        return read_size(text, &current->size_bytes, err);
    if (strcmp(name, "LastModified") == 0 && clock_parse_rfc3339(text, &current->modified_ms) < 0)
        return err_set(err, EPROTO, "a listing holds the time \"%s\"", text);
    return 0;
}

static int on_element(void *context, const char *path, const char *text, struct err *err)
{
    static const char root[] = "ListBucketResult";
    static const char contents[] = "Contents/";
    struct listing *listing = context;
    size_t root_size = strlen(root);
    if (strncmp(path, root, root_size) != 0 || (path[root_size] && path[root_size] != '/'))
        return 0;
    listing->is_listing = true;
    if (!path[root_size])
        return 0;
    path += root_size + 1;
    if (strncmp(path, contents, strlen(contents)) == 0)
        return on_object_element(listing, path + strlen(contents), text, err);
    if (strcmp(path, "Contents") == 0)
        return end_entry(listing, err);
    if (strcmp(path, "CommonPrefixes/Prefix") == 0)
        return end_prefix(listing, text, err);
    if (strcmp(path, "IsTruncated") == 0)
        listing->is_truncated = strcmp(text, "true") == 0;
    else if (strcmp(path, "EncodingType") == 0)
        listing->is_encoded = strcmp(text, "url") == 0;
    else if (strcmp(path, "NextContinuationToken") == 0)
        return keep_text(listing, text, &listing->next_token, err);
    return 0;
}

// ---- the page -----------------------------------------------------------------------------

static bool is_hexadecimal(char c)
{
    return c && strchr("0123456789abcdefABCDEF", c);
}

// %XX is a byte, '+' a space. In place, since decoded text is never longer. False where the text
// holds a NUL, or a broken escape: that name cannot be named.
static bool decode(char *text)
{
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (*in != '%') {
            *out++ = *in == '+' ? ' ' : *in;
            continue;
        }
        unsigned byte;
        if (!is_hexadecimal(in[1]) || !is_hexadecimal(in[2]) || sscanf(in + 1, "%2x", &byte) != 1 ||
            byte == 0)
            return false;
        *out++ = (char)byte;
        in += 2;
    }
    *out = '\0';
    return true;
}

static char *text_at(const struct listing *listing, size_t offset, char *otherwise)
{
    return offset == NO_TEXT ? otherwise : listing->texts.bytes + offset;
}

// In place. False for a name that cannot be named: one with a NUL, one that is not as it was.
static bool make_name(const struct listing *listing, char *text)
{
    return listing->is_encoded ? decode(text) : !listing->is_masked || !strchr(text, XML_MASK);
}

static void fill_page(struct listing *listing, struct s3_page *page)
{
    static char standard[] = "STANDARD";
    static char nothing[] = "";
    for (size_t i = 0; i < listing->entry_count; i++) {
        const struct entry *entry = &listing->entries[i];
        char *key = text_at(listing, entry->key, nothing);
        if (!make_name(listing, key)) {
            page->unnameable_count++;
            continue;
        }
        page->objects[page->object_count++] = (struct s3_object_info){
            .key = key,
            .size_bytes = entry->size_bytes,
            .modified_ms = entry->modified_ms,
            .etag = text_at(listing, entry->etag, nothing),
            .storage_class = text_at(listing, entry->storage_class, standard),
        };
    }
    for (size_t i = 0; i < listing->prefix_count; i++) {
        char *prefix = text_at(listing, listing->prefixes[i], nothing);
        if (!make_name(listing, prefix)) {
            page->unnameable_count++;
            continue;
        }
        page->prefixes[page->prefix_count++] = prefix;
    }
}

// Keys and prefixes come in one order of bytes, so the page ended at the greater of the last two.
// Behind a prefix means behind all that is below it, or it would come again.
static int go_on_behind(const struct s3_page *page, struct buf *token, struct err *err)
{
    const char *key = page->object_count ? page->objects[page->object_count - 1].key : "";
    const char *prefix = page->prefix_count ? page->prefixes[page->prefix_count - 1] : "";
    if (!*key && !*prefix)
        return err_set(err, EPROTO, "a listing is cut, and does not say how it goes on");
    (void)buf_append_char(token, TOKEN_BEHIND);
    if (strcmp(key, prefix) > 0)
        (void)buf_append_text(token, key);
    else
        (void)buf_printf(token, "%s" LAST_CHARACTER, prefix);
    return 0;
}

static int make_token(const struct listing *listing, struct s3_page *page, struct err *err)
{
    auto_buf struct buf token = BUF_INIT(TEXTS_LIMIT);
    if (listing->next_token == NO_TEXT || listing->is_masked) {
        int r = go_on_behind(page, &token, err);
        if (r < 0)
            return r;
    } else {
        (void)buf_append_char(&token, TOKEN_SERVER);
        (void)buf_append_text(&token, text_at(listing, listing->next_token, NULL));
    }
    page->next_token = buf_take(&token);
    return page->next_token ? 0 : err_no_memory(err);
}

static int make_page(struct listing *listing, struct s3_page *ret_page, struct err *err)
{
    struct s3_page page = {0};
    page.objects = calloc(listing->entry_count + 1, sizeof(page.objects[0]));
    page.prefixes = calloc(listing->prefix_count + 1, sizeof(page.prefixes[0]));
    if (!page.objects || !page.prefixes) {
        s3_page_done(&page);
        return err_no_memory(err);
    }
    fill_page(listing, &page);
    int r = listing->is_truncated ? make_token(listing, &page, err) : 0;
    page.arena = buf_take(&listing->texts); // the bytes stay where they are
    if (r == 0 && !page.arena)
        r = err_no_memory(err);
    if (r < 0) {
        s3_page_done(&page);
        return r;
    }
    *ret_page = page;
    return 0;
}

static int read_page(const struct buf *body, bool is_masked, struct s3_page *ret_page,
                     struct err *err)
{
    struct listing listing = {
        .texts = BUF_INIT(TEXTS_LIMIT),
        .entries = calloc(S3_LIST_PAGE_KEYS, sizeof(struct entry)),
        .prefixes = calloc(S3_LIST_PAGE_KEYS, sizeof(size_t)),
        .next_token = NO_TEXT,
        .current = {NO_TEXT, NO_TEXT, NO_TEXT, 0, 0},
        .is_masked = is_masked,
    };
    int r = listing.entries && listing.prefixes ? 0 : err_no_memory(err);
    if (r == 0)
        r = xml_read(body->bytes, body->size, on_element, &listing, err);
    if (r == 0 && !listing.is_listing)
        r = err_set(err, EPROTO, "the answer is no listing");
    if (r == 0)
        r = make_page(&listing, ret_page, err);
    buf_done(&listing.texts);
    free(listing.entries);
    free(listing.prefixes);
    return r;
}

static int read_reply(void *context, struct s3_reply *reply, struct err *err)
{
    struct s3_page *ret_page = context;
    struct buf *body = &reply->http.body;
    int r = read_page(body, false, ret_page, err);
    if (r == -EBADMSG) {
        xml_mask(body->bytes, body->size);
        r = read_page(body, true, ret_page, err);
    }
    if (r < 0 && r != -ENOMEM)
        err->errnum = EPROTO; // whatever it was that XML's reader found: it is no S3
    return r < 0 ? -err->errnum : 0;
}

int s3_list_page(struct s3_client *client, struct call *call, const char *prefix,
                 const char *delimiter, const char *start_after, const char *token, int max_keys,
                 struct s3_page *ret_page, struct err *err)
{
    char max_keys_text[16];
    snprintf(max_keys_text, sizeof(max_keys_text), "%d", max_keys);
    struct s3_request request = {
        .action = "s3:ListBucket",
        .method = "GET",
        .query = {{"list-type", "2"}, {"encoding-type", "url"}, {"max-keys", max_keys_text}},
        .query_count = 3,
        .read = read_reply,
        .context = ret_page,
        .body_limit = XML_SIZE_MAX,
    };
    if (prefix && *prefix)
        request.query[request.query_count++] = (struct sigv4_pair){"prefix", prefix};
    if (delimiter)
        request.query[request.query_count++] = (struct sigv4_pair){"delimiter", delimiter};
    if (token && *token == TOKEN_BEHIND)
        request.query[request.query_count++] = (struct sigv4_pair){"start-after", token + 1};
    else if (token)
        request.query[request.query_count++] = (struct sigv4_pair){"continuation-token", token + 1};
    else if (start_after)
        request.query[request.query_count++] = (struct sigv4_pair){"start-after", start_after};

    auto_reply struct s3_reply reply;
    return s3_request_send(&client->service, call, &request, &reply, err);
}

void s3_page_done(struct s3_page *page)
{
    if (!page)
        return;
    free(page->next_token);
    free(page->objects);
    free(page->prefixes);
    free(page->arena);
    *page = (struct s3_page){0};
}
