// place.h - where a service is asked: endpoint, region, and how the bucket goes into the URL.
//
// Pure. A place is immutable; when a store says that the bucket lives in another region, a new
// one is made and the older is kept behind it (`older`), so that no text that somebody still
// holds goes away.
//
// Endpoints: AWS's are made from the region, https only; a given one is "http[s]://host[:port]"
// and may have a path, which goes in front of the bucket's. Addressing: path style is
// ENDPOINT/BUCKET/KEY, virtual style is BUCKET.ENDPOINT/KEY; `auto` takes the path with a given
// endpoint, with a dot in the bucket's name (a wildcard certificate covers one label), and with
// a name that is no host label.
#pragma once

#include "s3.h"

enum {
    S3_BUCKET_SIZE_MAX = 255, // old buckets of us-east-1; 63 for every other
    S3_REGION_SIZE_MAX = 63,  // it becomes a label of a host name
};

struct s3_place {
    struct s3_place *older; // owned; NULL for the first
    bool is_tls;
    char *region;
    char *url;    // "https://bucket.s3.eu-west-1.amazonaws.com", what a request's URL begins with
    char *host;   // the Host header's value, as libcurl sends it: without the scheme's own port
    char *origin; // the same for people, always with the port
    char *base_path; // "", "/bucket", "/gateway/bucket": percent-encoded, goes before "/KEY"
};

struct s3_place_options {
    const char *service; // "s3", "sts"
    const char *region;
    const char *endpoint; // NULL: AWS's
    const char *bucket;   // NULL for a service that has none
    enum s3_addressing addressing;
};
// EINVAL: an endpoint, region or bucket's name that cannot be.
int s3_place_new(const struct s3_place_options *options, struct s3_place **ret_place,
                 struct err *err);
void s3_place_free(struct s3_place *place); // and all older ones; accepts NULL

// A region comes from servers as well and goes into host names: letters, digits and '-' only.
bool s3_region_is_valid(const char *region);

// "aws", "aws-cn", "aws-us-gov": the second field of every ARN there.
const char *s3_region_partition(const char *region);
