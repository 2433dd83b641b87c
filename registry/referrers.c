// What a registry has about an image: asked for in every way in which it may have been stored.
#include "image_private.h"
#include "referrer_names.h"
#include "request.h"

#include "base/scope.h"
#include "base/side_by_side.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ASKED_AT_ONCE = 8,   // beside one question an image, over all images: each is a connection
    PAGES_MAX = 64,      // of one list of referrers
    REFERRERS_MAX = 512, // of an image; each is a request or two
    JSON_LIMIT = 16 * 1024 * 1024,                // bytes of all their manifests
    SUBJECTS_MAX = REGISTRY_INDEXES_MAX + 1 + 64, // an image's others are at most 64
};

static void referrer_done(struct registry_referrer *referrer)
{
    for (size_t i = 0; i < referrer->blob_count; i++)
        free(referrer->blobs[i].media_type);
    free(referrer->blobs);
    free(referrer->manifest.media_type);
    free(referrer->manifest_bytes);
    free(referrer->artifact_type);
    *referrer = (struct registry_referrer){0};
}

void registry_referrers_free(struct registry_referrers *referrers)
{
    if (referrers == NULL)
        return;
    for (size_t i = 0; i < referrers->count; i++)
        referrer_done(&referrers->list[i]);
    free(referrers->list);
    free(referrers);
}
DEFINE_SCOPE_CLEANUP(referrers, struct registry_referrers, registry_referrers_free)

// One question about one digest, and what came of it.
struct question {
    const char *subject;
    const struct referrer_name *name; // cosign's; NULL: the list of referrers
    struct registry_referrer *found;
    size_t found_count;
    size_t left_out;
    struct err err; // errnum 0 where it was answered
};

struct asking {
    struct registry_client *client;
    struct call *call;
    const struct registry_image *image;
    struct question *questions;
    size_t question_count;
    // Of all answers together: a registry may say what it likes.
    atomic_size_t entries;
    atomic_size_t bytes;
    atomic_size_t blobs;
};

// ---- what was found ----------------------------------------------------------------------------

static int take_blobs(struct manifest *manifest, struct registry_referrer *referrer,
                      struct err *err)
{
    referrer->blobs = calloc(manifest->layer_count + 1, sizeof(*referrer->blobs));
    if (referrer->blobs == NULL)
        return err_no_memory(err);
    referrer->blobs[referrer->blob_count++] = manifest->config;
    manifest->config = (struct registry_descriptor){0};
    for (size_t i = 0; i < manifest->layer_count; i++)
        referrer->blobs[referrer->blob_count++] = manifest->layers[i];
    manifest->layer_count = 0;
    return 0;
}

static int take_from(atomic_size_t *sum, size_t amount, size_t most, const char *what,
                     struct err *err)
{
    if (atomic_fetch_add(sum, amount) + amount <= most)
        return 0;
    return err_set(err, EFBIG, "they are more than %zu %s, which are not carried", most, what);
}

// Moves a manifest into the list.
static int keep(struct asking *asking, struct question *question, struct resolution *resolution,
                struct err *err)
{
    struct manifest *manifest = &resolution->manifest;
    if (take_from(&asking->bytes, resolution->document.size, JSON_LIMIT, "bytes of manifests",
                  err) < 0 ||
        take_from(&asking->blobs, manifest->layer_count + 1, REGISTRY_LAYERS_MAX, "blobs", err) < 0)
        return -err->errnum;
    struct registry_referrer *longer =
        reallocarray(question->found, question->found_count + 1, sizeof(struct registry_referrer));
    if (longer == NULL)
        return err_no_memory(err);
    question->found = longer;
    struct registry_referrer *referrer = &longer[question->found_count++];
    *referrer = (struct registry_referrer){.statements = 1};
    memcpy(referrer->subject, question->subject, REGISTRY_DIGEST_SIZE);
    memcpy(referrer->manifest.digest, resolution->document.digest, REGISTRY_DIGEST_SIZE);
    referrer->manifest.size_bytes = resolution->document.size;
    referrer->manifest.media_type = TAKE(manifest->media_type);
    referrer->manifest_bytes = TAKE(resolution->document.bytes);
    referrer->artifact_type = TAKE(manifest->artifact_type);
    if (question->name != NULL) {
        referrer_name_tag(question->name, question->subject, referrer->tag);
        referrer->kind = question->name->kind;
        referrer->statements = question->name->has_a_layer_each ? manifest->layer_count : 1;
    } else {
        referrer->kind = referrer_kind(referrer->artifact_type, manifest->config.media_type,
                                       manifest->predicate_type);
    }
    return take_blobs(manifest, referrer, err);
}

// ---- asking ------------------------------------------------------------------------------------

// What stands under a tag: -ENOENT where there is none.
static int fetch_tagged(struct asking *asking, char *tag, struct resolution *ret_resolution,
                        struct err *err)
{
    struct registry_reference reference = asking->image->reference;
    reference.tag = tag;
    reference.digest = NULL;
    struct document *document = &ret_resolution->document;
    int status =
        registry_document_fetch(asking->client, asking->call, &reference, NULL, document, err);
    if (status < 0)
        return status;
    return registry_manifest_parse(document->bytes, document->size, document->content_type,
                                   &ret_resolution->manifest, err);
}

static int ask_for_tag(struct asking *asking, struct question *question, struct err *err)
{
    char tag[REGISTRY_REFERRER_TAG_SIZE];
    AUTO(registry_resolution_done) struct resolution resolution = {0};
    referrer_name_tag(question->name, question->subject, tag);
    int status = fetch_tagged(asking, tag, &resolution, err);
    if (status == -ENOENT)
        return 0;
    if (status < 0)
        return err_wrap(err, "%s", tag);
    if (resolution.manifest.is_index) {
        question->left_out++;
        return 0;
    }
    return keep(asking, question, &resolution, err);
}

// A list's entry, which may be anything: what is no manifest about the subject is left out.
static int take_entry(struct asking *asking, struct question *question,
                      const struct manifest_entry *entry, struct err *err)
{
    AUTO(registry_resolution_done) struct resolution resolution = {0};
    if (take_from(&asking->entries, 1, REFERRERS_MAX, "referrers", err) < 0)
        return -err->errnum;
    if (entry->descriptor.digest[0] == '\0' || entry->is_index ||
        !registry_manifest_is_choosable(entry)) {
        question->left_out++;
        return 0;
    }
    for (size_t i = 0; i < question->found_count; i++)
        if (strcmp(question->found[i].manifest.digest, entry->descriptor.digest) == 0)
            return 0;
    int status = registry_resolution_enter(asking->client, asking->call, &asking->image->reference,
                                           entry, &resolution, err);
    bool is_lost = status == -ENOENT;
    if (status < 0 && !is_lost)
        return status;
    if (is_lost || resolution.manifest.is_index ||
        strcmp(resolution.manifest.subject, question->subject) != 0) {
        question->left_out++;
        return 0;
    }
    return keep(asking, question, &resolution, err);
}

static int take_entries(struct asking *asking, struct question *question,
                        const struct manifest *list, struct err *err)
{
    for (size_t i = 0; i < list->entry_count; i++)
        if (take_entry(asking, question, &list->entries[i], err) < 0)
            return -err->errnum;
    return 0;
}

// Where a registry has no referrers API, whoever stores one keeps the list under this tag.
static int ask_for_fallback(struct asking *asking, struct question *question, struct err *err)
{
    char tag[REGISTRY_REFERRER_TAG_SIZE];
    AUTO(registry_resolution_done) struct resolution resolution = {0};
    referrer_name_tag(NULL, question->subject, tag);
    int status = fetch_tagged(asking, tag, &resolution, err);
    if (status == -ENOENT)
        return 0;
    if (status < 0)
        return err_wrap(err, "%s", tag);
    if (resolution.manifest.is_index)
        return take_entries(asking, question, &resolution.manifest, err);
    question->left_out++;
    return 0;
}

// Registries without that API answer in many ways: 404 most, ghcr.io with a redirect to another
// host. What may pass (5xx, a limit) or should be mended (401, 403) is a failure.
static bool has_no_api(const struct err *err)
{
    int status = err->http_status;
    return !err->is_retryable && status >= 300 && status != 401 && status != 403 &&
           (status < 500 || status == 501);
}

// One page. *ret_next becomes the path of the next, or NULL; -EOPNOTSUPP where there is no list.
static int ask_for_page(struct asking *asking, struct question *question, const char *path,
                        char **ret_next, struct err *err)
{
    const struct registry_reference *reference = &asking->image->reference;
    const struct registry_request request = {
        .method = "GET",
        .reference = reference,
        .path = path,
        .accept = MEDIA_TYPE_OCI_INDEX,
        .body_limit = REGISTRY_MANIFEST_LIMIT,
        .stays = true,
    };
    auto_http_response struct http_response response = {0};
    AUTO(registry_manifest_done) struct manifest list = {0};
    if (registry_request_perform(asking->client, asking->call, &request, &response, err) < 0)
        return has_no_api(err) ? -EOPNOTSUPP : -err->errnum;
    const char *type = http_response_header(&response, "content-type");
    size_t type_size = type == NULL ? 0 : strcspn(type, "; \t");
    if (response.status != 200 || type_size != strlen(MEDIA_TYPE_OCI_INDEX) ||
        strncmp(type, MEDIA_TYPE_OCI_INDEX, type_size) != 0)
        return -EOPNOTSUPP;
    if (registry_manifest_parse(buf_text(&response.body), response.body.size, MEDIA_TYPE_OCI_INDEX,
                                &list, err) < 0)
        return err_wrap(err, "its list of referrers");
    if (!list.is_index)
        return err_set(err, EPROTO, "its list of referrers is an image");
    const char *link = http_response_header(&response, "link");
    if (link != NULL && referrer_next_page(link, reference->repository, ret_next, err) < 0)
        return -err->errnum;
    return take_entries(asking, question, &list, err);
}

static int ask_for_list(struct asking *asking, struct question *question, struct err *err)
{
    auto_free char *path = NULL;
    if (asprintf(&path, "referrers/%s", question->subject) < 0) {
        path = NULL;
        return err_no_memory(err);
    }
    for (int page = 1; path != NULL; page++) {
        auto_free char *next = NULL;
        if (page > PAGES_MAX)
            return err_set(err, EFBIG, "its list of referrers has more than %d pages", PAGES_MAX);
        int status = ask_for_page(asking, question, path, &next, err);
        if (status == -EOPNOTSUPP && page == 1)
            return ask_for_fallback(asking, question, err);
        if (status == -EOPNOTSUPP)
            return err_set(err, EPROTO, "page %d of its list of referrers is no such list", page);
        if (status < 0)
            return status;
        free(path);
        path = TAKE(next);
    }
    return 0;
}

static void ask(void *context, size_t index)
{
    struct asking *asking = context;
    struct question *question = &asking->questions[index];
    int status = question->name != NULL ? ask_for_tag(asking, question, &question->err)
                                        : ask_for_list(asking, question, &question->err);
    if (status == 0) // a failure on the way, that there is no such tag, was an answer
        question->err = (struct err){0};
}

// ---- all questions -----------------------------------------------------------------------------

static void add_subject(const char *digest, const char **subjects, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(subjects[i], digest) == 0)
            return;
    subjects[(*count)++] = digest;
}

// What is published first, then the indexes above it: *ret_own of them. Then the manifests that go
// along.
static size_t list_subjects(const struct registry_image *image, const char **subjects,
                            size_t *ret_own)
{
    size_t count = 0;
    add_subject(registry_image_digest(image), subjects, &count);
    for (size_t i = image->index_count; i > 0; i--)
        add_subject(image->indexes[i - 1].descriptor.digest, subjects, &count);
    *ret_own = count;
    add_subject(image->manifest.digest, subjects, &count);
    for (size_t i = 0; i < image->other_count; i++)
        if (!image->others[i]->is_attestation)
            add_subject(image->others[i]->manifest.digest, subjects, &count);
    return count;
}

static int make_questions(struct asking *asking, const char *const *subjects, size_t count,
                          struct err *err)
{
    asking->questions = calloc(count * (REFERRER_NAMES_COUNT + 1) + 1, sizeof(*asking->questions));
    if (asking->questions == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        for (size_t name = 0; name < REFERRER_NAMES_COUNT; name++)
            asking->questions[asking->question_count++] =
                (struct question){.subject = subjects[i], .name = &referrer_names[name]};
        asking->questions[asking->question_count++] = (struct question){.subject = subjects[i]};
    }
    return 0;
}

static void asking_done(struct asking *asking)
{
    for (size_t i = 0; i < asking->question_count; i++) {
        for (size_t at = 0; at < asking->questions[i].found_count; at++)
            referrer_done(&asking->questions[i].found[at]);
        free(asking->questions[i].found);
    }
    free(asking->questions);
}

// Under cosign's tag and in a list of referrers, too.
static bool is_kept(const struct registry_referrers *referrers,
                    const struct registry_referrer *referrer)
{
    for (size_t i = 0; i < referrers->count; i++)
        if (strcmp(referrers->list[i].manifest.digest, referrer->manifest.digest) == 0 &&
            strcmp(referrers->list[i].subject, referrer->subject) == 0)
            return true;
    return false;
}

static int compare_digests(const void *a, const void *b)
{
    const struct registry_referrer *first = a, *second = b;
    return strcmp(first->manifest.digest, second->manifest.digest);
}

// In an order of their own: a registry may list them in any.
static void gather(struct question *question, struct registry_referrers *referrers)
{
    if (question->found_count > 0)
        qsort(question->found, question->found_count, sizeof(*question->found), compare_digests);
    for (size_t i = 0; i < question->found_count; i++) {
        struct registry_referrer *referrer = &question->found[i];
        if (is_kept(referrers, referrer))
            continue;
        referrers->statements[referrer->kind] += referrer->statements;
        referrers->list[referrers->count++] = *referrer;
        *referrer = (struct registry_referrer){0};
    }
    referrers->left_out += question->left_out;
}

static void sum_up(struct registry_referrers *referrers, const char *const *subjects,
                   size_t own_count)
{
    struct sha256 sha;
    sha256_init(&sha);
    for (size_t i = 0; i < referrers->count; i++) {
        struct registry_referrer *referrer = &referrers->list[i];
        sha256_update(&sha, referrer->manifest.digest, REGISTRY_DIGEST_SIZE);
        for (size_t at = 0; at < own_count; at++)
            referrer->is_about_published |= strcmp(referrer->subject, subjects[at]) == 0;
        referrers->is_signed |= referrer->is_about_published &&
                                referrer->kind == REGISTRY_SIGNATURE && referrer->statements > 0;
    }
    sha256_final_hex(&sha, referrers->sha256);
}

// As many of those wanted as there are left.
static size_t take_helpers(struct registry_client *client, size_t wanted)
{
    size_t taken = atomic_fetch_add(&client->helpers, wanted);
    size_t left = taken < ASKED_AT_ONCE ? ASKED_AT_ONCE - taken : 0;
    if (wanted > left)
        atomic_fetch_sub(&client->helpers, wanted - left);
    return wanted < left ? wanted : left;
}

static int find(struct asking *asking, struct registry_referrers *referrers, struct err *err)
{
    const char *subjects[SUBJECTS_MAX];
    size_t own_count, found_count = 0;
    size_t count = list_subjects(asking->image, subjects, &own_count);
    if (make_questions(asking, subjects, count, err) < 0)
        return -err->errnum;
    size_t helpers = take_helpers(asking->client, asking->question_count - 1);
    side_by_side(asking->question_count, helpers + 1, ask, asking);
    atomic_fetch_sub(&asking->client->helpers, helpers);
    for (size_t i = 0; i < asking->question_count; i++) {
        if (asking->questions[i].err.errnum != 0) {
            *err = asking->questions[i].err;
            return err_wrap(err, "what is about %s", asking->questions[i].subject);
        }
        found_count += asking->questions[i].found_count;
    }
    referrers->list = calloc(found_count + 1, sizeof(*referrers->list));
    if (referrers->list == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < asking->question_count; i++)
        gather(&asking->questions[i], referrers);
    sum_up(referrers, subjects, own_count);
    return 0;
}

int registry_referrers_find(struct registry_client *client, struct call *call,
                            const struct registry_image *image,
                            struct registry_referrers **ret_referrers, struct err *err)
{
    AUTO(asking_done) struct asking asking = {.client = client, .call = call, .image = image};
    AUTO(referrers_scope) struct registry_referrers *referrers = calloc(1, sizeof(*referrers));
    if (referrers == NULL)
        return err_no_memory(err);
    if (find(&asking, referrers, err) < 0)
        return err_wrap(err, "%s: its signatures", image->reference.text);
    *ret_referrers = TAKE(referrers);
    return 0;
}
