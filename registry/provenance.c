#include "provenance.h"

#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLSA_0_2 "https://slsa.dev/provenance/v0.2"
#define SLSA_1 "https://slsa.dev/provenance/v1"

void registry_provenance_done(struct registry_provenance *provenance)
{
    for (size_t i = 0; i < REGISTRY_FACT_COUNT; i++)
        free(provenance->facts[i]);
    *provenance = (struct registry_provenance){0};
}

bool registry_fact_is_wellformed(const char *fact)
{
    size_t size = strlen(fact);
    if (size == 0 || size > REGISTRY_FACT_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)fact[i], next = (unsigned char)fact[i + 1];
        bool is_c1 = c == 0xC2 && next >= 0x80 && next < 0xA0; // in UTF-8, which JSON is
        if (c < ' ' || c == 0x7F || is_c1)
            return false;
    }
    return true;
}

// NULL also where it holds a NUL, behind which nobody would look.
static const char *text_of(const json_t *object, const char *key)
{
    const json_t *text = json_object_get(object, key);
    const char *value = json_string_value(text);
    return value != NULL && strlen(value) == json_string_length(text) ? value : NULL;
}

static int take(struct registry_provenance *provenance, enum registry_fact fact, const char *value)
{
    if (value == NULL || provenance->facts[fact] != NULL || !registry_fact_is_wellformed(value))
        return 0;
    provenance->facts[fact] = strdup(value);
    return provenance->facts[fact] == NULL ? -ENOMEM : 0;
}

int registry_provenance_take_labels(struct registry_provenance *provenance, const json_t *labels)
{
    static const char *const names[] = {
        [REGISTRY_FACT_SOURCE] = "org.opencontainers.image.source",
        [REGISTRY_FACT_REVISION] = "org.opencontainers.image.revision",
        [REGISTRY_FACT_VERSION] = "org.opencontainers.image.version",
        [REGISTRY_FACT_CREATED] = "org.opencontainers.image.created",
    };
    for (enum registry_fact fact = 0; fact < ARRAY_SIZE(names); fact++)
        if (take(provenance, fact, text_of(labels, names[fact])) < 0)
            return -ENOMEM;
    return 0;
}

int registry_provenance_take(struct registry_provenance *provenance,
                             const struct registry_provenance *from)
{
    for (enum registry_fact fact = 0; fact < REGISTRY_FACT_COUNT; fact++)
        if (take(provenance, fact, from->facts[fact]) < 0)
            return -ENOMEM;
    return 0;
}

// ---- in-toto statements ------------------------------------------------------------------------

bool registry_predicate_is_provenance(const char *predicate_type)
{
    return strcmp(predicate_type, SLSA_0_2) == 0 || strcmp(predicate_type, SLSA_1) == 0;
}

static const json_t *member(const json_t *object, const char *a, const char *b)
{
    return json_object_get(json_object_get(object, a), b);
}

// One that names nobody is about the image that its index says it is about.
static bool is_about(const json_t *statement, const char *digest)
{
    const json_t *subjects = json_object_get(statement, "subject");
    for (size_t i = 0; i < json_array_size(subjects); i++) {
        const json_t *subject = json_array_get(subjects, i);
        const char *hex = text_of(json_object_get(subject, "digest"), "sha256");
        if (hex != NULL && strcmp(hex, digest + strlen("sha256:")) == 0)
            return true;
    }
    return json_array_size(subjects) == 0;
}

// A git repository that was built from, as the builder knows it, and where the sources came from a
// directory, as that directory's own git says.
static int take_origin(struct registry_provenance *provenance, const json_t *source,
                       const json_t *vcs)
{
    const json_t *digest = json_object_get(source, "digest");
    const char *commit = text_of(digest, "sha1");
    if (commit == NULL)
        commit = text_of(digest, "gitCommit");
    if (take(provenance, REGISTRY_FACT_BUILT_FROM, text_of(source, "uri")) < 0 ||
        take(provenance, REGISTRY_FACT_BUILT_FROM, text_of(vcs, "source")) < 0 ||
        take(provenance, REGISTRY_FACT_BUILT_REVISION, commit) < 0 ||
        take(provenance, REGISTRY_FACT_BUILT_REVISION, text_of(vcs, "revision")) < 0)
        return -ENOMEM;
    return 0;
}

static int take_predicate(struct registry_provenance *provenance, const char *type,
                          const json_t *predicate)
{
    bool is_first = strcmp(type, SLSA_0_2) == 0;
    const json_t *run = json_object_get(predicate, "runDetails");
    const json_t *metadata = json_object_get(is_first ? predicate : run, "metadata");
    const json_t *parameters = member(predicate, "buildDefinition", "externalParameters");
    const json_t *source = is_first ? member(predicate, "invocation", "configSource")
                                    : json_object_get(parameters, "configSource");
    const char *buildkit =
        is_first ? "https://mobyproject.org/buildkit@v1#metadata" : "buildkit_metadata";
    const json_t *builder = json_object_get(is_first ? predicate : run, "builder");
    if (take(provenance, REGISTRY_FACT_BUILDER, text_of(builder, "id")) < 0)
        return -ENOMEM;
    return take_origin(provenance, source, member(metadata, buildkit, "vcs"));
}

int registry_statement_parse(const char *bytes, size_t size, const char *digest,
                             struct registry_provenance *provenance, struct err *err)
{
    auto_json json_t *json = json_document_parse(bytes, size, false, "the statement", err);
    if (json == NULL)
        return -err->errnum;
    const char *type = text_of(json, "predicateType");
    if (type == NULL)
        return err_set(err, EPROTO, "the statement has no predicateType");
    if (!registry_predicate_is_provenance(type) || !is_about(json, digest))
        return 0;
    return take_predicate(provenance, type, json_object_get(json, "predicate")) < 0
               ? err_no_memory(err)
               : 0;
}
