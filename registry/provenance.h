// provenance.h - what an image says of its own making: labels of its config, annotations of its
// manifest and index (OCI image specification 1.1, annotations), and SLSA provenance (v0.2 and v1)
// in an in-toto statement, as buildx attests it.
//
// Pure and total: whoever pushed the image wrote it. A fact that is no line of text, or a longer
// one than REGISTRY_FACT_MAX, is left out.
#pragma once

#include "base/json.h"
#include "registry.h"

enum { PROVENANCE_STATEMENT_LIMIT = 2 * 1024 * 1024 }; // bytes; with mode=max some 100 KB

// Takes what stands under org.opencontainers.image.{source,revision,version,created} and is not
// known yet: who says it first is believed. `labels` may be NULL or anything. -ENOMEM.
int registry_provenance_take_labels(struct registry_provenance *provenance, const json_t *labels);
// Likewise from another, without taking it away.
int registry_provenance_take(struct registry_provenance *provenance,
                             const struct registry_provenance *from);

bool registry_predicate_is_provenance(const char *predicate_type); // of a shape that is read here
// What a statement says of the manifest of that digest: builder, built_from, built_revision. 0 also
// where it says nothing of it. EPROTO: no statement.
int registry_statement_parse(const char *bytes, size_t size, const char *digest,
                             struct registry_provenance *provenance, struct err *err);
