// platform.h - which of an index's platforms is the one asked for. Pure.
//
// The rules are containerd's (its package `platforms`), without its willingness to put another
// architecture in the place of a missing one (386 for amd64, arm for arm64): whoever asks for
// a platform gets it or an error.
//
//   - "x86_64" is amd64, "aarch64" is arm64, "armhf" is arm/v7, "armel" is arm/v6, "i386" is 386;
//   - arm64 without a variant is arm64/v8, amd64 without one is amd64/v1, arm without one arm/v7;
//   - of a variant that is a level (arm, arm64, amd64), lower levels run too, the highest wins;
//   - other architectures: the variant must be the same; asked without one, any will do, but
//     one without is preferred.
#pragma once

#include "registry.h"

// How well `offered` serves `wanted`: 0 not at all, otherwise the higher the better.
int registry_platform_rank(const struct registry_platform *wanted,
                           const struct registry_platform *offered);

// buildx lists its attestations as images of this platform that no machine has.
bool registry_platform_is_unknown(const struct registry_platform *platform);
