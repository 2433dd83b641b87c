#include "role.h"

#include <errno.h>

// The bucket's client corrects the mount's clock and tells how far it was off; what STS says of
// the time must not interfere, so it corrects this one.
struct side_clock {
    struct clock clock;
    const struct clock *machine;
    int64_t offset_ms;
};

static int64_t side_now_ms(const struct clock *clock)
{
    const struct side_clock *side = (const struct side_clock *)clock;
    return clock_now_ms(side->machine) + side->offset_ms;
}

static int64_t side_monotonic_ms(const struct clock *clock)
{
    return clock_monotonic_ms(((const struct side_clock *)clock)->machine);
}

static void side_correct(const struct clock *clock, int64_t offset_ms)
{
    ((struct side_clock *)clock)->offset_ms = offset_ms;
}

static int ask(const struct s3_chain *chain, struct s3_provider *provider,
               const struct sts_assume *assume, struct s3_credentials **ret_credentials,
               struct err *err)
{
    struct side_clock side = {
        .clock = {side_now_ms, side_monotonic_ms, side_correct},
        .machine = chain->clock,
    };
    struct s3_skew skew;
    s3_skew_init(&skew, &side.clock);
    struct s3_service_options options = {
        .name = "sts",
        .region = chain->region,
        .endpoint = chain->sts_endpoint,
        .provider = provider,
        .http = chain->http,
        .clock = &side.clock,
        .skew = &skew,
    };
    struct s3_service sts = {0};
    int r = s3_service_init(&sts, &options, err);
    if (r == 0)
        r = sts_assume_role(&sts, chain->call, assume, ret_credentials, err);
    s3_service_done(&sts);
    s3_skew_done(&skew);
    return r;
}

int s3_role_assume(const struct s3_chain *chain, struct s3_credentials *own,
                   const struct sts_assume *assume, struct s3_credentials **ret_credentials,
                   struct err *err)
{
    struct sts_assume whole = *assume;
    char name[STS_SESSION_NAME_SIZE];
    if (!whole.session_name) {
        char host[256] = "";
        (void)gethostname(host, sizeof(host) - 1);
        sts_session_name(host, name);
        whole.session_name = name;
    }
    struct s3_provider *provider = NULL;
    int r = own ? s3_provider_new_fixed(own, chain->clock, &provider, err) : 0;
    if (r == 0)
        r = ask(chain, provider, &whole, ret_credentials, err);
    s3_provider_free(provider);
    // A bare 400: some stores say no more of a role that they do not know.
    if (r == -EINVAL)
        err_wrap(err, "the role cannot be assumed: there is none of that name, it does not trust "
                      "these credentials, or it refuses the session's duration");
    return r;
}
